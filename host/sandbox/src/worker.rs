//! The worker process of a document: how the supervisor starts it and how it confines itself.

use std::ffi::{CString, OsString};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use capstan_policy::{Confinement, Grant, Layer};
use serde::{Deserialize, Serialize};

use crate::cgroup::{self, Cgroup};
use crate::child::Sandbox;
use crate::enforced::{Enforced, Enforcement};
use crate::error::SandboxError;
use crate::landlock::Outer;
use crate::{clone, landlock, mount, network, process, seccomp, user};

/// A worker to start.
#[derive(Debug)]
pub struct WorkerCommand {
    /// Usually this very binary.
    pub program: PathBuf,
    /// After the program's name.
    pub args: Vec<OsString>,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Become 3, 4, …; standard output and input are closed, standard error is the supervisor's.
    pub inherit: Vec<OwnedFd>,
    /// Whether to ask for namespaces at all.
    pub namespaces: bool,
}

/// A started worker. It dies with the thread that started it.
#[derive(Debug)]
pub struct WorkerProcess {
    pid: i32,
    pidfd: OwnedFd,
    /// Which of the layers that are made at the start there are.
    pub namespaces: Enforced,
    /// For [`WorkerSpec::cgroup`].
    pub cgroup: String,
}

const NAMESPACE_LAYERS: [Layer; 3] = [
    Layer::PidNamespace,
    Layer::MountNamespace,
    Layer::NetworkNamespace,
];

/// Starts a worker in namespaces of its own, as far as the machine lets this user.
///
/// # Errors
/// When the program cannot be started at all. Missing namespaces are no error but a part of the result.
pub fn spawn_worker(command: &WorkerCommand) -> Result<WorkerProcess, SandboxError> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let null = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(|error| SandboxError::system("/dev/null", error))?;
    let stderr = std::io::stderr();
    let mut descriptors: Vec<BorrowedFd<'_>> = vec![null.as_fd(), null.as_fd(), stderr.as_fd()];
    descriptors.extend(command.inherit.iter().map(OwnedFd::as_fd));
    let text = |text: &std::ffi::OsStr| {
        CString::new(text.as_bytes())
            .map_err(|_| SandboxError::Nul(text.to_string_lossy().into_owned()))
    };
    let program = text(command.program.as_os_str())?;
    let mut args = vec![program.clone()];
    for argument in &command.args {
        args.push(text(argument)?);
    }
    let mut env = Vec::new();
    for (name, value) in &command.env {
        let mut pair = name.clone();
        pair.push("=");
        pair.push(value);
        env.push(text(&pair)?);
    }

    let all = libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWNET | libc::CLONE_NEWIPC;
    let root = rustix::process::geteuid().is_root();
    let maps = || {
        let (uid, gid) = (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        Some((
            CString::new(format!("{uid} {uid} 1")).ok()?,
            CString::new(format!("{gid} {gid} 1")).ok()?,
        ))
    };
    // Most confinement first; the last attempt asks for none.
    let mut attempts = Vec::new();
    if command.namespaces {
        attempts.push(if root {
            (all, None)
        } else {
            (all | libc::CLONE_NEWUSER, maps())
        });
    }
    attempts.push((0, None));

    let mut namespaces = Enforced::default();
    let mut refusal = "it was not asked for".to_owned();
    for (flags, maps) in attempts {
        let spec = clone::Spec {
            program: program.clone(),
            args: args.clone(),
            env: env.clone(),
            descriptors: descriptors.clone(),
            namespaces: flags,
            maps,
            cgroups: Vec::new(),
            rlimits: Vec::new(),
            directory: None,
            user: None,
            capabilities: None,
            no_new_privs: false,
            landlock: None,
            seccomp: &[],
            die_with_parent: true,
        };
        match clone::spawn(&spec) {
            Ok(started) => {
                for layer in NAMESPACE_LAYERS {
                    namespaces.set(
                        layer,
                        if flags == 0 {
                            Enforcement::Missing(refusal.clone())
                        } else {
                            Enforcement::Full
                        },
                    );
                }
                return Ok(WorkerProcess {
                    pid: started.pid,
                    pidfd: started.pidfd,
                    namespaces,
                    cgroup: cgroup::name(NEXT.fetch_add(1, Ordering::Relaxed)),
                });
            }
            Err(failure) if flags != 0 => {
                refusal = format!(
                    "this user may not make namespaces here ({}: {})",
                    failure.stage, failure.error
                );
            }
            Err(failure) => {
                return Err(SandboxError::Spawn {
                    program: command.program.display().to_string(),
                    stage: failure.stage,
                    error: failure.error,
                });
            }
        }
    }
    Err(SandboxError::System {
        what: "starting a worker".into(),
        error: std::io::Error::other("there was nothing to try"),
    })
}

impl WorkerProcess {
    /// The worker's number, as its supervisor sees it.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Readable when the worker has ended.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Ends the worker with all that it started: the kernel does it where there is a process namespace, elsewhere
    /// the worker's guardian, which is what was started and has to live for it.
    pub fn kill(&self) {
        if self.namespaces.has(Layer::PidNamespace) {
            process::kill(self.pid);
        } else {
            process::signal(self.pid, libc::SIGTERM);
        }
    }

    /// Waits for the end and says how it came: `exit 0`, `signal 9`.
    #[must_use]
    pub fn wait(&self) -> String {
        match process::wait(self.pid, true) {
            Ok(Some(reaped)) => crate::child::describe(reaped.status),
            _ => "unknown".into(),
        }
    }
}

/// Removes what workers left in the control group file system. To be called when a worker has ended.
pub fn cleanup_worker() {
    cgroup::sweep();
}

/// How a worker confines itself. Crosses the process border as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorkerSpec {
    /// The union of what the steps of the document may do.
    pub ceiling: Grant,
    /// Appears as `/tmp` where there is a mount namespace.
    pub private_tmp: PathBuf,
    /// A folder for what programs write beside single files that they may replace.
    pub overlays: PathBuf,
    /// What the worker itself reads: the compile cache.
    pub readable: Vec<PathBuf>,
    /// What the worker itself writes: the run's folders.
    pub writable: Vec<PathBuf>,
    /// From [`WorkerProcess`].
    pub namespaces: Enforced,
    /// From [`WorkerProcess`].
    pub cgroup: String,
}

/// Confines this process, for good. To be called while it has one thread.
///
/// # Errors
/// When a layer that exists on this machine cannot be set up. Layers that do not exist are a part of the result.
pub fn enter_worker(spec: &WorkerSpec) -> Result<Sandbox, SandboxError> {
    process::hide_memory();
    let mut enforced = spec.namespaces.clone();
    let alone = enforced.has(Layer::PidNamespace);
    if !alone {
        process::leave_guardian()
            .map_err(|error| SandboxError::system("starting the worker's guardian", error))?;
    }
    if spec.ceiling.confinement == Confinement::Unconfined {
        return Ok(Sandbox::new(Enforced::default(), None, alone, true));
    }
    if enforced.has(Layer::NetworkNamespace) {
        network::loopback_up()
            .map_err(|error| SandboxError::system("bringing up the loopback interface", error))?;
    }
    let mut overlays = Vec::new();
    if enforced.has(Layer::MountNamespace) {
        let layout = mount::Layout {
            grant: &spec.ceiling,
            private_tmp: &spec.private_tmp,
            readable: &spec.readable,
            writable: &spec.writable,
            overlays: &spec.overlays,
            proc: alone,
        };
        overlays = mount::enter(&layout)?;
    }
    let cgroup = match Cgroup::create(&spec.cgroup) {
        Ok(cgroup) => {
            enforced.set(
                Layer::Cgroup,
                match (cgroup.has_memory(), cgroup.has_processes()) {
                    (true, true) => Enforcement::Full,
                    (true, false) => Enforcement::Partial("there is no pids controller".into()),
                    _ => Enforcement::Partial("there is no memory controller".into()),
                },
            );
            Some(cgroup)
        }
        Err(why) => {
            enforced.set(Layer::Cgroup, Enforcement::Missing(why));
            None
        }
    };
    if enforced.has(Layer::MountNamespace) {
        mount::close_control_groups(&spec.ceiling)?;
    }
    if rustix::process::geteuid().is_root() || enforced.has(Layer::PidNamespace) {
        // In a user namespace of its own the worker held everything; now it needs what its children keep.
        // And it looks at the open files of its children, whoever they run as, where nobody else's can be seen.
        let looking = if alone { 1 << CAP_SYS_PTRACE } else { 0 };
        let errno = clone::drop_capabilities(
            user::kept_capabilities(true) | 1 << CAP_SETPCAP | looking,
            clone::bounding_set(),
        );
        if errno != 0 {
            return Err(SandboxError::system(
                "capset",
                std::io::Error::from_raw_os_error(errno),
            ));
        }
    }

    let mut extra: Vec<_> = Vec::new();
    let own = spec
        .readable
        .iter()
        .map(|path| (path.clone(), landlock::read_only()));
    extra.extend(own);
    extra.extend(
        spec.writable
            .iter()
            .map(|path| (path.clone(), landlock::read_write())),
    );
    extra.push((spec.private_tmp.clone(), landlock::read_write()));
    let private_tmp = if enforced.has(Layer::MountNamespace) {
        extra.push((Path::new("/tmp").to_owned(), landlock::read_write()));
        None
    } else {
        Some(spec.private_tmp.clone())
    };
    // Names, users and certificates for what the worker does itself; its own threads and children.
    for path in [
        "/etc/passwd",
        "/etc/group",
        "/etc/ssl/certs",
        "/etc/pki/tls/certs",
        "/usr/share/ca-certificates",
        "/proc",
    ] {
        extra.push((PathBuf::from(path), landlock::read_only()));
    }
    extra.push((PathBuf::from("/dev/null"), landlock::read_write()));
    extra.extend(process::own_program().map(|path| (path, landlock::executable())));
    extra.push((spec.overlays.clone(), landlock::read_write()));
    // Its children make files there, and a child never has more than the worker.
    extra.extend(
        overlays
            .iter()
            .map(|overlay| (overlay.folder.clone(), landlock::replace_files())),
    );
    extra.extend(
        overlays
            .iter()
            .map(|overlay| (overlay.real_path(), landlock::read_write())),
    );
    let rules = landlock::Rules {
        files: &spec.ceiling.files,
        extra,
        connect: Vec::new(),
        // The worker's proxy listens, and its children connect to it; which port is only known later.
        bind: true,
        connect_any: true,
        outer: None,
    };
    let outer = Outer::of(&rules);
    no_new_privs()?;
    let prepared = landlock::build(&rules)?;
    enforced.0.extend(prepared.enforced.0);
    if let Some(ruleset) = &prepared.fd {
        // SAFETY: a plain system call.
        let result =
            unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) };
        if result < 0 {
            return Err(SandboxError::last("landlock_restrict_self"));
        }
    }
    let setuid_files = spec.ceiling.may_lack.contains(&Layer::SetuidFiles);
    seccomp::load(&seccomp::for_worker(setuid_files)?)?;
    for layer in [Layer::Seccomp, Layer::NoNewPrivs, Layer::Rlimits] {
        enforced.set(layer, Enforcement::Full);
    }
    // The filters of the steps see to these, if the policy does not leave them out.
    for layer in [Layer::FileMetadata, Layer::SetuidFiles] {
        let by_mounts = layer == Layer::FileMetadata && enforced.has(Layer::MountNamespace);
        let left_out = !by_mounts && spec.ceiling.may_lack.contains(&layer);
        enforced.set(
            layer,
            if left_out {
                Enforcement::Missing("the policy accepts that (`mayLack`)".into())
            } else {
                Enforcement::Full
            },
        );
    }
    Ok(Sandbox::new(enforced, cgroup, alone, false)
        .with_overlays(overlays)
        .with_private_tmp(private_tmp)
        .with_outer(prepared.fd.is_some().then_some(outer)))
}

const CAP_SETPCAP: u64 = 8;
const CAP_SYS_PTRACE: u64 = 19;

fn no_new_privs() -> Result<(), SandboxError> {
    // SAFETY: a plain system call.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } < 0 {
        return Err(SandboxError::last("prctl PR_SET_NO_NEW_PRIVS"));
    }
    Ok(())
}

/// Limits for a process that compiles a foreign component.
#[derive(Debug, Clone, Copy)]
pub struct CompilerConfinement {
    /// Bytes of memory that it writes to; the engine reserves address space without end.
    pub memory_bytes: u64,
    /// Seconds of CPU time, over all threads.
    pub cpu_seconds: u64,
}

/// Confines this process to reading its standard input and writing its standard output: no files, no network.
/// For the one-shot compiler, which sees foreign code before anything has checked it.
///
/// # Errors
/// When a layer that exists on this machine cannot be set up.
pub fn confine_compiler(limits: CompilerConfinement) -> Result<(), SandboxError> {
    process::hide_memory();
    for (resource, value) in [
        (libc::RLIMIT_DATA, limits.memory_bytes),
        (libc::RLIMIT_CPU, limits.cpu_seconds),
        (libc::RLIMIT_CORE, 0),
        (libc::RLIMIT_FSIZE, 1 << 30),
    ] {
        let limit = libc::rlimit {
            rlim_cur: value,
            rlim_max: value,
        };
        // SAFETY: the pointer is to a local value.
        if unsafe { libc::setrlimit(resource, &raw const limit) } < 0 {
            return Err(SandboxError::last("setrlimit"));
        }
    }
    no_new_privs()?;
    let prepared = landlock::build(&landlock::Rules::default())?;
    if let Some(ruleset) = &prepared.fd {
        // SAFETY: a plain system call.
        if unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) } < 0 {
            return Err(SandboxError::last("landlock_restrict_self"));
        }
    }
    seccomp::load(&seccomp::for_compiler()?)
}
