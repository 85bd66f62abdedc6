//! Changes of files that Landlock does not cover: set-user-ID bits, and modes, owners and times.

use super::Rules;
use super::condition::{differs_wide, has_bits, is, rule};
use super::refused::{SYS_FCHMODAT2, SYS_FILE_SETATTR, SYS_REMOVEXATTRAT, SYS_SETXATTRAT};
use crate::error::SandboxError;

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
pub(super) fn refuse_setuid_bits(rules: &mut Rules) -> Result<(), SandboxError> {
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
pub(super) fn refuse_metadata(rules: &mut Rules) -> Result<(), SandboxError> {
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
