//! The filter on system calls: what no step needs and what the other layers leave open.

mod condition;
mod files;
mod others;
mod refused;
mod sockets;

use std::collections::BTreeMap;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, SeccompRule, TargetArch, sock_filter};

use crate::error::SandboxError;
use condition::{differs, differs_wide, failed, has_bits_wide, is, rule};
use files::{refuse_metadata, refuse_setuid_bits};
use others::refuse_others;
use refused::{NAMESPACE_FLAGS, REFUSED, REFUSED_IOCTLS};
use sockets::{other_families, refuse_past_landlock, socket_pairs, sockets};

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

/// The programs to load, in this order.
#[derive(Debug)]
pub(crate) struct Filters(pub(crate) Vec<Vec<sock_filter>>);

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

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

/// What no process of a document may do.
fn common(families: &[i32], mut rules: Rules) -> Result<Filters, SandboxError> {
    rules.extend(REFUSED.iter().map(|(call, _)| (*call, Vec::new())));
    let mut ioctls = Vec::new();
    for (request, _) in REFUSED_IOCTLS {
        ioctls.push(rule(vec![is(1, *request)?])?);
    }
    rules.insert(libc::SYS_ioctl, ioctls);
    // `clone` with any namespace flag.
    let mut clones = Vec::new();
    for bit in 0..64_u32 {
        let flag = 1_u64 << bit;
        if NAMESPACE_FLAGS & flag != 0 {
            clones.push(rule(vec![has_bits_wide(0, flag)?])?);
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

fn arch() -> Result<TargetArch, SandboxError> {
    TargetArch::try_from(std::env::consts::ARCH).map_err(failed)
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
