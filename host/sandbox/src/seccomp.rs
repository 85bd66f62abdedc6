//! The filter on system calls: what no step needs and what the other layers leave open.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

use crate::error::SandboxError;

/// What a filter leaves open of the socket families.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Sockets {
    /// TCP over IPv4 and IPv6.
    pub(crate) tcp: bool,
    /// Unix-domain sockets that can be connected by path.
    pub(crate) unix: bool,
}

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
fn common(families: &[i32]) -> Result<Filters, SandboxError> {
    let mut rules: Rules = REFUSED
        .iter()
        .map(|(call, _)| (*call, Vec::new()))
        .collect();
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
    Ok(Filters(vec![
        compile(rules, libc::EPERM)?,
        // The flags of clone3 are in memory, which a filter cannot read; C libraries fall back to clone.
        compile(Rules::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS)?,
    ]))
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

/// The filters of the worker, which its children inherit.
pub(crate) fn for_worker() -> Result<Filters, SandboxError> {
    common(&[libc::AF_INET, libc::AF_INET6, libc::AF_UNIX])
}

/// The filters of the compiler, which has nothing to do but to compute.
pub(crate) fn for_compiler() -> Result<Filters, SandboxError> {
    common(&[])
}

/// The filters of a child, on top of the worker's: the fewer instructions, the sooner it starts.
pub(crate) fn for_child(sockets: Sockets) -> Result<Filters, SandboxError> {
    let mut families = Vec::new();
    if sockets.tcp {
        families.extend([libc::AF_INET, libc::AF_INET6]);
    }
    if sockets.unix {
        families.push(libc::AF_UNIX);
    }
    let mut socket_rules = other_families(&families)?;
    if sockets.tcp {
        // Of the internet only streams. There is no "not equal under a mask", so each other type is refused by name.
        for family in [libc::AF_INET, libc::AF_INET6] {
            for kind in [
                libc::SOCK_DGRAM,
                libc::SOCK_RAW,
                libc::SOCK_RDM,
                libc::SOCK_SEQPACKET,
                libc::SOCK_DCCP,
            ] {
                #[expect(
                    clippy::cast_sign_loss,
                    reason = "socket families and types are positive"
                )]
                socket_rules.push(rule(vec![
                    condition(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, family as u64)?,
                    condition(
                        1,
                        SeccompCmpArgLen::Dword,
                        SeccompCmpOp::MaskedEq(0xF),
                        kind as u64,
                    )?,
                ])?);
            }
        }
    }
    let rules = Rules::from([(libc::SYS_socket, socket_rules)]);
    Ok(Filters(vec![compile(rules, libc::EPERM)?]))
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

    use super::{REFUSED, Sockets, for_child, for_compiler, for_worker};

    #[test]
    fn no_rule_is_there_twice() {
        let calls: BTreeSet<i64> = REFUSED.iter().map(|(call, _)| *call).collect();
        assert_eq!(calls.len(), REFUSED.len());
    }

    #[test]
    fn every_combination_compiles_below_the_kernels_limit() {
        let mut all = vec![for_worker().unwrap(), for_compiler().unwrap()];
        for bits in 0..4 {
            all.push(
                for_child(Sockets {
                    tcp: bits & 1 != 0,
                    unix: bits & 2 != 0,
                })
                .unwrap(),
            );
        }
        for program in all.iter().flat_map(|filters| &filters.0) {
            assert!(program.len() < 4096);
        }
    }
}
