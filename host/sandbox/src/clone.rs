//! Starting a process without copying the address space of this one.
//!
//! A worker maps terabytes for its instances, and `fork` copies the tables of all of it. `clone` with `CLONE_VM`
//! and `CLONE_VFORK` shares the memory and holds the parent's thread until the child has executed its program
//! or given up. Until then the child may only make system calls: no allocation, no locks, no panics.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::ptr;
use std::sync::OnceLock;

use seccompiler::sock_filter;

use crate::rlimits::Rlimit;
use crate::user::User;

/// Everything the child does between `clone` and `execve`, in this order.
#[derive(Debug)]
pub(crate) struct Spec<'a> {
    pub(crate) program: CString,
    pub(crate) args: Vec<CString>,
    pub(crate) env: Vec<CString>,
    /// Become 0, 1, 2, 3, …; every other descriptor is closed.
    pub(crate) descriptors: Vec<BorrowedFd<'a>>,
    /// `CLONE_NEW*`.
    pub(crate) namespaces: i32,
    /// With `CLONE_NEWUSER`: the lines for `uid_map` and `gid_map`.
    pub(crate) maps: Option<(CString, CString)>,
    /// Open files of control groups (`cgroup.procs`, `tasks`) to join.
    pub(crate) cgroups: Vec<BorrowedFd<'a>>,
    pub(crate) rlimits: Vec<Rlimit>,
    pub(crate) directory: Option<CString>,
    pub(crate) user: Option<User>,
    /// Drop every capability but these.
    pub(crate) capabilities: Option<u64>,
    pub(crate) no_new_privs: bool,
    pub(crate) landlock: Option<BorrowedFd<'a>>,
    pub(crate) seccomp: &'a [Vec<sock_filter>],
    /// Die when the thread that started this process ends.
    pub(crate) die_with_parent: bool,
}

/// A started process.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
}

/// What failed in the child.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) stage: &'static str,
    pub(crate) error: io::Error,
}

const STACK_BYTES: usize = 64 * 1024;
/// Above every descriptor number that a child is given.
const SPARE_DESCRIPTORS: i32 = 64;
const MAX_DESCRIPTORS: usize = 8;

/// What the child reads and, on failure, writes.
struct Shared<'a> {
    spec: &'a Spec<'a>,
    argv: Vec<*const libc::c_char>,
    envp: Vec<*const libc::c_char>,
    bounding: u64,
    stage: &'static str,
    errno: i32,
}

/// Starts the process and returns when it has executed its program.
pub(crate) fn spawn(spec: &Spec<'_>) -> Result<Started, Failure> {
    // Asked once: the first child is started when this process has confined itself, and nothing is added later.
    static BOUNDING: OnceLock<u64> = OnceLock::new();
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter()
            .map(|text| text.as_ptr())
            .chain([ptr::null()])
            .collect()
    };
    let mut shared = Shared {
        spec,
        argv: pointers(&spec.args),
        envp: pointers(&spec.env),
        bounding: if spec.capabilities.is_some() {
            *BOUNDING.get_or_init(bounding_set)
        } else {
            0
        },
        stage: "clone",
        errno: 0,
    };
    let mut stack: Box<[MaybeUninit<u128>]> =
        Box::new_uninit_slice(STACK_BYTES / size_of::<u128>());
    let mut pidfd: RawFd = -1;
    let flags =
        libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD | spec.namespaces;

    // SAFETY: the stack and everything reachable from `shared` outlive the call, because CLONE_VFORK returns only
    // after the child has executed or exited, and `child` keeps to system calls. All signals are blocked, so that
    // no handler of this process runs in the child.
    let pid = unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let top = stack.as_mut_ptr().add(stack.len());
        let pid = libc::clone(
            child,
            top.cast(),
            flags,
            (&raw mut shared).cast(),
            &raw mut pidfd,
        );
        let errno = *libc::__errno_location();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut());
        if pid < 0 {
            shared.errno = errno;
        }
        pid
    };
    if pid < 0 {
        return Err(Failure {
            stage: "clone",
            error: io::Error::from_raw_os_error(shared.errno),
        });
    }
    // SAFETY: the kernel has just opened it for us.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    if shared.errno != 0 {
        // SAFETY: reaps the child that gave up; no memory is touched but through the null pointer allowed here.
        unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
        return Err(Failure {
            stage: shared.stage,
            error: io::Error::from_raw_os_error(shared.errno),
        });
    }
    Ok(Started { pid, pidfd })
}

extern "C" fn child(argument: *mut libc::c_void) -> libc::c_int {
    // SAFETY: `spawn` passes a `Shared` that nothing else touches while this runs.
    let shared = unsafe { &mut *argument.cast::<Shared<'_>>() };
    // SAFETY: only system calls, on values that `spawn` prepared.
    let (stage, errno) = unsafe { prepare_and_execute(shared) };
    shared.stage = stage;
    shared.errno = if errno == 0 { libc::EINVAL } else { errno };
    // SAFETY: ends this process alone, without running anything of the parent's.
    unsafe { libc::_exit(127) }
}

/// Returns only on failure.
unsafe fn prepare_and_execute(shared: &Shared<'_>) -> (&'static str, i32) {
    let spec = shared.spec;
    // SAFETY: see the call; every pointer comes from `shared`, which outlives this process's use of it.
    unsafe {
        macro_rules! check {
            ($stage:literal, $call:expr) => {
                if $call < 0 {
                    return ($stage, *libc::__errno_location());
                }
            };
        }
        if let Some((uids, gids)) = &spec.maps {
            check!(
                "writing setgroups",
                write_file(c"/proc/self/setgroups", b"deny")
            );
            check!(
                "writing uid_map",
                write_file(c"/proc/self/uid_map", uids.to_bytes())
            );
            check!(
                "writing gid_map",
                write_file(c"/proc/self/gid_map", gids.to_bytes())
            );
        }
        if spec.maps.is_some() && !raise_ambient() {
            return ("capset", *libc::__errno_location());
        }
        if spec.die_with_parent {
            check!("prctl", libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL));
        }
        check!("setsid", libc::setsid());
        for cgroup in &spec.cgroups {
            check!(
                "joining the control group",
                libc::write(cgroup.as_raw_fd(), c"0".as_ptr().cast(), 1)
            );
        }

        // Out of the way first, so that no descriptor is overwritten before it is used.
        let mut spare = [-1_i32; MAX_DESCRIPTORS];
        for (slot, descriptor) in spare.iter_mut().zip(&spec.descriptors) {
            *slot = libc::fcntl(
                descriptor.as_raw_fd(),
                libc::F_DUPFD_CLOEXEC,
                SPARE_DESCRIPTORS,
            );
            check!("fcntl", *slot);
        }
        let mut landlock = -1;
        if let Some(ruleset) = spec.landlock {
            landlock = libc::fcntl(
                ruleset.as_raw_fd(),
                libc::F_DUPFD_CLOEXEC,
                SPARE_DESCRIPTORS,
            );
            check!("fcntl", landlock);
        }
        let mut number = 0;
        for descriptor in spare.iter().take(spec.descriptors.len()) {
            check!("dup2", libc::dup2(*descriptor, number));
            number += 1;
        }
        let close_on_exec: libc::c_uint = 4;
        #[expect(clippy::cast_sign_loss, reason = "a small positive number")]
        if libc::syscall(
            libc::SYS_close_range,
            number as libc::c_uint,
            libc::c_uint::MAX,
            close_on_exec,
        ) < 0
        {
            // Before Linux 5.11; what this process opens is close-on-exec already.
        }

        if let Some(directory) = &spec.directory {
            check!("chdir", libc::chdir(directory.as_ptr()));
        }
        for limit in &spec.rlimits {
            let value = libc::rlimit {
                rlim_cur: limit.value,
                rlim_max: limit.value,
            };
            if libc::setrlimit(limit.resource, &raw const value) < 0 {
                // Not above the hard limit that is there already: then that one holds.
                let mut current = libc::rlimit {
                    rlim_cur: 0,
                    rlim_max: 0,
                };
                check!(
                    "getrlimit",
                    libc::getrlimit(limit.resource, &raw mut current)
                );
                if current.rlim_max > limit.value {
                    return ("setrlimit", *libc::__errno_location());
                }
            }
        }
        // The C library would change every thread of the parent; the bare calls change only this process.
        if let Some(user) = &spec.user {
            check!(
                "setgroups",
                libc::syscall(libc::SYS_setgroups, user.groups.len(), user.groups.as_ptr())
            );
            check!(
                "setresgid",
                libc::syscall(libc::SYS_setresgid, user.gid, user.gid, user.gid)
            );
            check!(
                "setresuid",
                libc::syscall(libc::SYS_setresuid, user.uid, user.uid, user.uid)
            );
        }
        if spec.no_new_privs {
            check!("prctl", libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        }
        if let Some(keep) = spec.capabilities {
            let errno = drop_capabilities(keep, shared.bounding);
            if errno != 0 {
                return ("capset", errno);
            }
        }
        if landlock >= 0 {
            check!(
                "landlock_restrict_self",
                libc::syscall(libc::SYS_landlock_restrict_self, landlock, 0)
            );
        }

        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        libc::sigaction(libc::SIGPIPE, &raw const action, ptr::null_mut());
        // A caller that ignores it passes that on; a worker is ended by it, and programs expect to be.
        libc::sigaction(libc::SIGTERM, &raw const action, ptr::null_mut());
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        check!(
            "sigprocmask",
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut())
        );

        for filter in spec.seccomp {
            let program = libc::sock_fprog {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "the kernel's limit is 4096"
                )]
                len: filter.len() as libc::c_ushort,
                filter: filter.as_ptr().cast_mut().cast(),
            };
            let mode_filter: libc::c_uint = 1;
            check!(
                "seccomp",
                libc::syscall(libc::SYS_seccomp, mode_filter, 0, &raw const program)
            );
        }
        libc::execve(
            spec.program.as_ptr(),
            shared.argv.as_ptr(),
            shared.envp.as_ptr(),
        );
        ("execve", *libc::__errno_location())
    }
}

unsafe fn write_file(path: &std::ffi::CStr, content: &[u8]) -> libc::ssize_t {
    // SAFETY: the pointers are valid for the lengths given.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if file < 0 {
            return -1;
        }
        let written = libc::write(file, content.as_ptr().cast(), content.len());
        libc::close(file);
        written
    }
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct CapabilityData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// Changes what this thread may do. On failure it is false, and `errno` says why. Allocates nothing, so that it can
/// be called between `clone` and `execve`.
fn change_capabilities(change: impl FnOnce(&mut [CapabilityData; 2])) -> bool {
    let header = CapabilityHeader {
        version: CAPABILITY_VERSION_3,
        pid: 0,
    };
    let mut data = [CapabilityData {
        effective: 0,
        permitted: 0,
        inheritable: 0,
    }; 2];
    // SAFETY: plain system calls on local values.
    unsafe {
        if libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) < 0 {
            return false;
        }
        change(&mut data);
        libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) >= 0
    }
}

/// The capabilities that this thread can pass on.
pub(crate) fn bounding_set() -> u64 {
    (0..64_u32)
        // SAFETY: this call only answers, with less than 0 for a number that the kernel does not know.
        .filter(|capability| unsafe {
            libc::prctl(
                libc::PR_CAPBSET_READ,
                libc::c_ulong::from(*capability),
                0,
                0,
                0,
            ) == 1
        })
        .fold(0, |set, capability| set | 1 << capability)
}

/// Keeps of what this thread holds only `keep`, also over `execve`; returns an errno or 0. Only system calls.
/// `bounding` is what may be in the thread's bounding set ([`bounding_set`]).
pub(crate) fn drop_capabilities(keep: u64, bounding: u64) -> i32 {
    // SAFETY: plain system calls on local values.
    unsafe {
        libc::prctl(
            libc::PR_CAP_AMBIENT,
            libc::PR_CAP_AMBIENT_CLEAR_ALL,
            0,
            0,
            0,
        );
        // Dropping fails without CAP_SETPCAP; capset below counts.
        let mut drop = bounding & !keep;
        while drop != 0 {
            let capability = drop.trailing_zeros();
            drop &= drop - 1;
            libc::prctl(
                libc::PR_CAPBSET_DROP,
                libc::c_ulong::from(capability),
                0,
                0,
                0,
            );
        }
        #[expect(clippy::cast_possible_truncation, reason = "the two halves of a set")]
        let halves = [keep as u32, (keep >> 32) as u32];
        let changed = change_capabilities(|data| {
            for (data, keep) in data.iter_mut().zip(halves) {
                data.permitted &= keep;
                data.effective = data.permitted;
                data.inheritable = 0;
            }
        });
        if !changed {
            return *libc::__errno_location();
        }
    }
    0
}

/// Keeps all that this thread may have over the next `execve` of a program that is not root's. For a worker in a
/// user namespace of its own.
pub(crate) fn raise_ambient() -> bool {
    let changed = change_capabilities(|data| {
        for data in data {
            data.inheritable = data.permitted;
        }
    });
    if !changed {
        return false;
    }
    for capability in 0..64_u64 {
        // SAFETY: a plain system call on a number.
        unsafe {
            libc::prctl(
                libc::PR_CAP_AMBIENT,
                libc::PR_CAP_AMBIENT_RAISE,
                capability,
                0,
                0,
            );
        }
    }
    true
}
