//! What reaches other processes, where no namespace keeps them apart.

use super::Rules;
use super::condition::{differs, rule};
use crate::error::SandboxError;

/// What reaches other processes of the same user, and of everybody for root, where they are in the same namespace.
pub(super) fn refuse_others(rules: &mut Rules) -> Result<(), SandboxError> {
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
