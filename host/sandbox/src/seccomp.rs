//! The filter on system calls: what no step needs and what the other layers leave open.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

use crate::error::SandboxError;

/// What the filter of a child leaves open, because the step was granted it or another layer sees to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a part of the filter that is there or not"
)]
pub(crate) struct Openings {
    /// TCP over IPv4 and IPv6.
    pub(crate) tcp: bool,
    /// Unix-domain sockets that can be connected by path.
    pub(crate) unix: bool,
    /// There is a network namespace: whatever else TCP can do stays in it.
    pub(crate) own_network: bool,
    /// There are namespaces for processes and for what they share: there are no others to reach.
    pub(crate) own_processes: bool,
    /// Modes, owners, times and attributes of files may be changed.
    pub(crate) file_metadata: bool,
    /// Files may get the set-user-ID and set-group-ID bits.
    pub(crate) setuid_files: bool,
    /// The worker's own filter sees to that.
    pub(crate) setuid_refused: bool,
}

/// Calls that are newer than the C library's list of them; the numbers are those of every architecture.
const SYS_FCHMODAT2: i64 = 452;
const SYS_STATMOUNT: i64 = 457;
const SYS_LISTMOUNT: i64 = 458;
const SYS_SETXATTRAT: i64 = 463;
const SYS_REMOVEXATTRAT: i64 = 466;
const SYS_OPEN_TREE_ATTR: i64 = 467;
const SYS_FILE_SETATTR: i64 = 469;

/// System calls that are refused with `EPERM`, with the reason. The names are the kernel's.
const REFUSED: &[(i64, &str)] = &[
    (libc::SYS_ptrace, "reads and changes other processes"),
    (
        libc::SYS_process_vm_readv,
        "reads the memory of other processes",
    ),
    (
        libc::SYS_process_vm_writev,
        "changes the memory of other processes",
    ),
    (
        libc::SYS_move_pages,
        "moves and finds the memory of other processes",
    ),
    (libc::SYS_memfd_secret, "memory that no limit can look at"),
    (libc::SYS_kcmp, "compares the resources of other processes"),
    (
        libc::SYS_pidfd_getfd,
        "takes descriptors from other processes",
    ),
    (libc::SYS_mount, "changes what is visible as files"),
    (libc::SYS_umount2, "the same"),
    (libc::SYS_pivot_root, "the same"),
    (libc::SYS_chroot, "the same"),
    (libc::SYS_move_mount, "the same"),
    (libc::SYS_open_tree, "the same"),
    (SYS_OPEN_TREE_ATTR, "the same"),
    (SYS_STATMOUNT, "tells what is mounted elsewhere"),
    (SYS_LISTMOUNT, "the same"),
    (libc::SYS_fsopen, "the same"),
    (libc::SYS_fsconfig, "the same"),
    (libc::SYS_fsmount, "the same"),
    (libc::SYS_fspick, "the same"),
    (libc::SYS_mount_setattr, "the same"),
    (libc::SYS_setns, "enters other namespaces"),
    (
        libc::SYS_unshare,
        "makes namespaces, in which there are new privileges",
    ),
    (libc::SYS_bpf, "loads programs into the kernel"),
    (
        libc::SYS_perf_event_open,
        "observes the kernel and other processes",
    ),
    (
        libc::SYS_userfaultfd,
        "stops the kernel at a chosen point; exploits need it",
    ),
    (
        libc::SYS_io_uring_setup,
        "makes system calls past this filter",
    ),
    (libc::SYS_io_uring_enter, "the same"),
    (libc::SYS_io_uring_register, "the same"),
    (libc::SYS_keyctl, "keyrings are not confined by file rules"),
    (libc::SYS_add_key, "the same"),
    (libc::SYS_request_key, "the same"),
    (libc::SYS_init_module, "loads code into the kernel"),
    (libc::SYS_finit_module, "the same"),
    (libc::SYS_delete_module, "takes code out of the kernel"),
    (libc::SYS_kexec_load, "starts another kernel"),
    (libc::SYS_kexec_file_load, "the same"),
    (libc::SYS_reboot, "stops the machine"),
    (libc::SYS_swapon, "changes the machine's memory"),
    (libc::SYS_swapoff, "the same"),
    (libc::SYS_acct, "writes a file of the kernel's"),
    (libc::SYS_quotactl, "changes the limits of others"),
    (
        libc::SYS_open_by_handle_at,
        "opens files past every path rule",
    ),
    (libc::SYS_name_to_handle_at, "makes the handles for that"),
    (libc::SYS_settimeofday, "sets the clock"),
    (libc::SYS_clock_settime, "the same"),
    (libc::SYS_clock_adjtime, "the same"),
    (libc::SYS_adjtimex, "the same"),
    (libc::SYS_sethostname, "names the machine"),
    (libc::SYS_setdomainname, "the same"),
    (libc::SYS_syslog, "reads the kernel's messages"),
    (libc::SYS_lookup_dcookie, "a leftover of profiling"),
    (libc::SYS_vhangup, "takes terminals from others"),
    (libc::SYS_fanotify_init, "observes the files of others"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_iopl, "talks to hardware"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_ioperm, "the same"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_modify_ldt, "has been the way in for exploits"),
];

/// `ioctl` requests that push characters into a terminal as if typed.
const REFUSED_IOCTLS: &[(u64, &str)] = &[(0x5412, "TIOCSTI"), (0x541C, "TIOCLINUX")];

/// Namespace flags of `clone`.
const NAMESPACE_FLAGS: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP) as u64;

/// The programs to load, in this order.
#[derive(Debug)]
pub(crate) struct Filters(pub(crate) Vec<Vec<sock_filter>>);

fn arch() -> Result<TargetArch, SandboxError> {
    TargetArch::try_from(std::env::consts::ARCH).map_err(failed)
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> SandboxError {
    SandboxError::System {
        what: "building the seccomp filter".into(),
        error: std::io::Error::other(error),
    }
}

fn condition(
    argument: u8,
    length: SeccompCmpArgLen,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, SandboxError> {
    SeccompCondition::new(argument, length, operator, value).map_err(failed)
}

fn compile(rules: Rules, errno: i32) -> Result<BpfProgram, SandboxError> {
    #[expect(clippy::cast_sign_loss, reason = "errno values are positive")]
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(errno as u32),
        arch()?,
    )
    .map_err(failed)?;
    filter.try_into().map_err(failed)
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn rule(conditions: Vec<SeccompCondition>) -> Result<SeccompRule, SandboxError> {
    SeccompRule::new(conditions).map_err(failed)
}

/// What no process of a document may do.
fn common(families: &[i32], mut rules: Rules) -> Result<Filters, SandboxError> {
    rules.extend(REFUSED.iter().map(|(call, _)| (*call, Vec::new())));
    let mut ioctls = Vec::new();
    for (request, _) in REFUSED_IOCTLS {
        ioctls.push(rule(vec![condition(
            1,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::Eq,
            *request,
        )?])?);
    }
    rules.insert(libc::SYS_ioctl, ioctls);
    // `clone` with any namespace flag.
    let mut clones = Vec::new();
    for bit in 0..64_u32 {
        let flag = 1_u64 << bit;
        if NAMESPACE_FLAGS & flag != 0 {
            clones.push(rule(vec![condition(
                0,
                SeccompCmpArgLen::Qword,
                SeccompCmpOp::MaskedEq(flag),
                flag,
            )?])?);
        }
    }
    rules.insert(libc::SYS_clone, clones);
    rules.insert(libc::SYS_socket, other_families(families)?);
    // Limits of one's own may be changed, those of others only looked at: a limit on CPU time ends a process.
    rules.insert(
        libc::SYS_prlimit64,
        vec![rule(vec![differs(0, 0)?, differs_wide(2, 0)?])?],
    );
    Ok(Filters(vec![
        #[cfg(target_arch = "x86_64")]
        no_second_numbering(),
        compile(rules, libc::EPERM)?,
        // The flags of clone3 are in memory, which a filter cannot read; C libraries fall back to clone.
        compile(Rules::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS)?,
    ]))
}

/// Some kernels take each call under a second number, of the x32 interface, which the rules do not name.
#[cfg(target_arch = "x86_64")]
fn no_second_numbering() -> BpfProgram {
    const X32: u32 = 0x4000_0000;
    let instruction = |code: u32, jf: u8, k: u32| sock_filter {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "instruction codes are small"
        )]
        code: code as u16,
        jt: 0,
        jf,
        k,
    };
    vec![
        // The number of the call is at the beginning of what a filter sees.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 1, X32),
        instruction(
            libc::BPF_RET | libc::BPF_K,
            0,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32,
        ),
        instruction(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

/// An argument of 32 bits is this.
fn is(argument: u8, value: u64) -> Result<SeccompCondition, SandboxError> {
    condition(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

/// An argument of 32 bits is not this.
fn differs(argument: u8, value: u64) -> Result<SeccompCondition, SandboxError> {
    condition(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, value)
}

/// An argument of 64 bits, such as a pointer, is not this.
fn differs_wide(argument: u8, value: u64) -> Result<SeccompCondition, SandboxError> {
    condition(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, value)
}

/// An argument of 32 bits has all of these bits.
fn has_bits(argument: u8, bits: u64) -> Result<SeccompCondition, SandboxError> {
    condition(
        argument,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::MaskedEq(bits),
        bits,
    )
}

/// The type of a socket without its flags is this.
#[expect(clippy::cast_sign_loss, reason = "socket types are positive")]
fn is_kind(kind: i32) -> Result<SeccompCondition, SandboxError> {
    condition(
        1,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::MaskedEq(0xF),
        kind as u64,
    )
}

/// A socket of a family that is none of these.
#[expect(clippy::cast_sign_loss, reason = "socket families are positive")]
fn other_families(families: &[i32]) -> Result<Vec<SeccompRule>, SandboxError> {
    if families.is_empty() {
        // Without a condition: every one.
        return Ok(Vec::new());
    }
    let conditions = families
        .iter()
        .map(|family| condition(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, *family as u64))
        .collect::<Result<_, _>>()?;
    Ok(vec![rule(conditions)?])
}

/// The filters of the worker, which its children inherit; with `setuid_files`, files may get those bits.
pub(crate) fn for_worker(setuid_files: bool) -> Result<Filters, SandboxError> {
    let mut rules = Rules::new();
    if !setuid_files {
        refuse_setuid_bits(&mut rules)?;
    }
    common(&[libc::AF_INET, libc::AF_INET6, libc::AF_UNIX], rules)
}

/// The filters of the compiler, which has nothing to do but to compute.
pub(crate) fn for_compiler() -> Result<Filters, SandboxError> {
    common(&[], Rules::new())
}

/// The filters of a child, on top of the worker's: the fewer instructions, the sooner it starts.
pub(crate) fn for_child(open: Openings) -> Result<Filters, SandboxError> {
    let mut rules = Rules::from([
        (libc::SYS_socket, sockets(open)?),
        (libc::SYS_socketpair, socket_pairs(open)?),
    ]);
    if open.tcp && !open.own_network {
        refuse_past_landlock(&mut rules)?;
    }
    if !open.own_processes {
        refuse_others(&mut rules)?;
    }
    if !open.setuid_files && !open.setuid_refused {
        refuse_setuid_bits(&mut rules)?;
    }
    if !open.file_metadata {
        refuse_metadata(&mut rules)?;
    }
    let mut filters = vec![compile(rules, libc::EPERM)?];
    if !open.setuid_files {
        // The mode is in memory, which a filter cannot read; who uses this call falls back to the older one.
        filters.push(compile(
            Rules::from([(libc::SYS_openat2, Vec::new())]),
            libc::ENOSYS,
        )?);
    }
    Ok(Filters(filters))
}

#[expect(
    clippy::cast_sign_loss,
    reason = "socket families and protocols are positive"
)]
fn sockets(open: Openings) -> Result<Vec<SeccompRule>, SandboxError> {
    let mut families = Vec::new();
    if open.tcp {
        families.extend([libc::AF_INET, libc::AF_INET6]);
    }
    if open.unix {
        families.push(libc::AF_UNIX);
    }
    let mut rules = other_families(&families)?;
    if !open.tcp {
        return Ok(rules);
    }
    for family in [libc::AF_INET, libc::AF_INET6] {
        // Of the internet only streams. There is no "not equal under a mask", so each other type is refused by name.
        for kind in [
            libc::SOCK_DGRAM,
            libc::SOCK_RAW,
            libc::SOCK_RDM,
            libc::SOCK_SEQPACKET,
            libc::SOCK_DCCP,
        ] {
            rules.push(rule(vec![is(0, family as u64)?, is_kind(kind)?])?);
        }
        // And of streams only TCP: MPTCP and SCTP are none of Landlock's.
        rules.push(rule(vec![
            is(0, family as u64)?,
            differs(2, 0)?,
            differs(2, libc::IPPROTO_TCP as u64)?,
        ])?);
    }
    Ok(rules)
}

/// Pairs are connected, but those of datagrams can be connected anew, to any socket with a path.
fn socket_pairs(open: Openings) -> Result<Vec<SeccompRule>, SandboxError> {
    let mut rules = vec![rule(vec![differs(0, libc::AF_UNIX as u64)?])?];
    if !open.unix {
        // The kernel takes the second for the first.
        for kind in [libc::SOCK_DGRAM, libc::SOCK_RAW] {
            rules.push(rule(vec![is_kind(kind)?])?);
        }
    }
    Ok(rules)
}

/// What TCP can do that Landlock's rules on ports do not see. For where no network namespace holds it.
fn refuse_past_landlock(rules: &mut Rules) -> Result<(), SandboxError> {
    // Listening without binding takes any free port.
    for call in [libc::SYS_listen, libc::SYS_accept, libc::SYS_accept4] {
        rules.insert(call, Vec::new());
    }
    // Connects without `connect`.
    let fast_open = libc::MSG_FASTOPEN as u64;
    for (call, flags) in [
        (libc::SYS_sendto, 3),
        (libc::SYS_sendmsg, 2),
        (libc::SYS_sendmmsg, 3),
    ] {
        rules.insert(call, vec![rule(vec![has_bits(flags, fast_open)?])?]);
    }
    // Turns a socket into one of another protocol.
    rules.insert(
        libc::SYS_setsockopt,
        vec![rule(vec![
            is(1, libc::IPPROTO_TCP as u64)?,
            is(2, libc::TCP_ULP as u64)?,
        ])?],
    );
    Ok(())
}

/// What reaches other processes of the same user, and of everybody for root, where they are in the same namespace.
fn refuse_others(rules: &mut Rules) -> Result<(), SandboxError> {
    for call in [
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_setscheduler,
        libc::SYS_sched_setparam,
        libc::SYS_sched_setattr,
        libc::SYS_migrate_pages,
    ] {
        rules.insert(call, vec![rule(vec![differs(0, 0)?])?]);
    }
    // Only this process, never a group of them or a user's.
    let one_process = u64::from(libc::PRIO_PROCESS);
    const IOPRIO_WHO_PROCESS: u64 = 1;
    for (call, which) in [
        (libc::SYS_setpriority, one_process),
        (libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS),
    ] {
        rules.insert(
            call,
            vec![rule(vec![differs(0, which)?])?, rule(vec![differs(1, 0)?])?],
        );
    }
    for call in [
        libc::SYS_shmget,
        libc::SYS_shmat,
        libc::SYS_shmctl,
        libc::SYS_shmdt,
        libc::SYS_msgget,
        libc::SYS_msgsnd,
        libc::SYS_msgrcv,
        libc::SYS_msgctl,
        libc::SYS_semget,
        libc::SYS_semop,
        libc::SYS_semtimedop,
        libc::SYS_semctl,
        libc::SYS_mq_open,
        libc::SYS_mq_unlink,
        libc::SYS_mq_timedsend,
        libc::SYS_mq_timedreceive,
        libc::SYS_mq_notify,
        libc::SYS_mq_getsetattr,
    ] {
        rules.insert(call, Vec::new());
    }
    Ok(())
}

/// The calls that take a mode, with its argument.
const MODES: &[(i64, u8)] = &[
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chmod, 1),
    (libc::SYS_fchmod, 1),
    (libc::SYS_fchmodat, 2),
    (SYS_FCHMODAT2, 2),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_creat, 1),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mknod, 1),
    (libc::SYS_mknodat, 2),
];

/// The calls that take a mode if their flags say so, with the arguments of the flags and of the mode.
const OPENS: &[(i64, u8, u8)] = &[
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, 1, 2),
    (libc::SYS_openat, 2, 3),
];

/// A set-user-ID file is a way to its owner's rights for everybody who can execute it, and stays after the step.
fn refuse_setuid_bits(rules: &mut Rules) -> Result<(), SandboxError> {
    // The kernel's own flag, without that for folders, which the C library's constant includes.
    let temporary = (libc::O_TMPFILE & !libc::O_DIRECTORY) as u64;
    let bits = [u64::from(libc::S_ISUID), u64::from(libc::S_ISGID)];
    for (call, mode) in MODES {
        let list = rules.entry(*call).or_default();
        for bit in bits {
            list.push(rule(vec![has_bits(*mode, bit)?])?);
        }
    }
    for (call, flags, mode) in OPENS {
        let list = rules.entry(*call).or_default();
        for flag in [libc::O_CREAT as u64, temporary] {
            for bit in bits {
                list.push(rule(vec![has_bits(*flags, flag)?, has_bits(*mode, bit)?])?);
            }
        }
    }
    Ok(())
}

/// Changes of modes, owners, times and attributes, which Landlock does not cover: for where no read-only mount
/// keeps them to what was granted.
fn refuse_metadata(rules: &mut Rules) -> Result<(), SandboxError> {
    const FS_IOC_SETFLAGS: u64 = 0x4008_6602;
    const FS_IOC32_SETFLAGS: u64 = 0x4004_6602;
    const FS_IOC_FSSETXATTR: u64 = 0x401C_5820;
    for call in [
        #[cfg(target_arch = "x86_64")]
        libc::SYS_chmod,
        libc::SYS_fchmod,
        libc::SYS_fchmodat,
        SYS_FCHMODAT2,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_chown,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_lchown,
        libc::SYS_fchown,
        libc::SYS_fchownat,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_utime,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_utimes,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_futimesat,
        libc::SYS_setxattr,
        libc::SYS_lsetxattr,
        libc::SYS_fsetxattr,
        SYS_SETXATTRAT,
        libc::SYS_removexattr,
        libc::SYS_lremovexattr,
        libc::SYS_fremovexattr,
        SYS_REMOVEXATTRAT,
        SYS_FILE_SETATTR,
    ] {
        rules.insert(call, Vec::new());
    }
    // A file that is open may be given the current time, as `touch` does.
    rules.insert(
        libc::SYS_utimensat,
        vec![
            rule(vec![differs_wide(1, 0)?])?,
            rule(vec![differs_wide(2, 0)?])?,
        ],
    );
    let mut ioctls = Vec::new();
    for request in [FS_IOC_SETFLAGS, FS_IOC32_SETFLAGS, FS_IOC_FSSETXATTR] {
        ioctls.push(rule(vec![is(1, request)?])?);
    }
    rules.insert(libc::SYS_ioctl, ioctls);
    Ok(())
}

/// Puts filters in force for this process.
pub(crate) fn load(filters: &Filters) -> Result<(), SandboxError> {
    for filter in &filters.0 {
        seccompiler::apply_filter(filter).map_err(|error| SandboxError::System {
            what: "loading the seccomp filter".into(),
            error: std::io::Error::other(error),
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeSet;

    use super::{Openings, REFUSED, for_child, for_compiler, for_worker};

    #[test]
    fn no_rule_is_there_twice() {
        let calls: BTreeSet<i64> = REFUSED.iter().map(|(call, _)| *call).collect();
        assert_eq!(calls.len(), REFUSED.len());
    }

    #[test]
    fn every_combination_compiles_below_the_kernels_limit() {
        let mut all = vec![
            for_worker(true).unwrap(),
            for_worker(false).unwrap(),
            for_compiler().unwrap(),
        ];
        for bits in 0..128 {
            all.push(
                for_child(Openings {
                    tcp: bits & 1 != 0,
                    unix: bits & 2 != 0,
                    own_network: bits & 4 != 0,
                    own_processes: bits & 8 != 0,
                    file_metadata: bits & 16 != 0,
                    setuid_files: bits & 32 != 0,
                    setuid_refused: bits & 64 != 0,
                })
                .unwrap(),
            );
        }
        for program in all.iter().flat_map(|filters| &filters.0) {
            assert!(program.len() < 4096);
        }
    }
}
