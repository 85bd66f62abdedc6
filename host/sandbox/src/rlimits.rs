//! Resource limits by process.

use capstan_policy::Limits;

/// A limit as `setrlimit` takes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rlimit {
    pub(crate) resource: libc::__rlimit_resource_t,
    pub(crate) value: u64,
}

/// The limits for a child. Memory and processes only where no control group does better: an address space is
/// more than what is used of it, and processes are counted by user.
pub(crate) fn of(
    limits: &Limits,
    memory_by_cgroup: bool,
    processes_by_cgroup: bool,
) -> Vec<Rlimit> {
    let mut list = vec![
        Rlimit {
            resource: libc::RLIMIT_CORE,
            value: 0,
        },
        Rlimit {
            resource: libc::RLIMIT_FSIZE,
            value: limits.disk_bytes,
        },
        Rlimit {
            resource: libc::RLIMIT_NOFILE,
            value: limits.open_files,
        },
        Rlimit {
            resource: libc::RLIMIT_CPU,
            value: limits.child_cpu_millis.div_ceil(1000).max(1),
        },
    ];
    if !memory_by_cgroup {
        list.push(Rlimit {
            resource: libc::RLIMIT_AS,
            value: limits.child_memory_bytes,
        });
    }
    if !processes_by_cgroup {
        list.push(Rlimit {
            resource: libc::RLIMIT_NPROC,
            value: limits.processes,
        });
    }
    list
}
