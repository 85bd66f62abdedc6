//! As whom a child runs, and with which capabilities.

use capstan_policy::RunAs;

use crate::error::SandboxError;

/// The numbers of a user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user.
    pub uid: u32,
    /// The group that `/etc/passwd` names.
    pub gid: u32,
    /// All groups, with that one first.
    pub groups: Vec<u32>,
}

/// What a child of root keeps: work on files that belong to others, and changing to another user. All of it ends
/// at the Landlock rules and the read-only mounts.
const KEPT: &[u32] = &[
    0, // CAP_CHOWN
    1, // CAP_DAC_OVERRIDE
    3, // CAP_FOWNER
    4, // CAP_FSETID
    5, // CAP_KILL
    6, // CAP_SETGID
    7, // CAP_SETUID
];

/// Those of them with which root passes the modes of files that belong to others: by its own power, or by becoming
/// their owner.
const PASSING_MODES: &[u32] = &[
    1, // CAP_DAC_OVERRIDE
    2, // CAP_DAC_READ_SEARCH
    6, // CAP_SETGID
    7, // CAP_SETUID
];

fn set(capabilities: &[u32]) -> u64 {
    capabilities
        .iter()
        .fold(0, |set, capability| set | 1 << capability)
}

/// The capabilities of a child as a bit set.
pub(crate) fn kept_capabilities(files_are_read_only_outside: bool) -> u64 {
    if files_are_read_only_outside {
        set(KEPT)
    } else {
        0
    }
}

/// The same for a child that may use only what every user may, and its own.
pub(crate) fn without_files_of_others(capabilities: u64) -> u64 {
    capabilities & !set(PASSING_MODES)
}

/// Looks a user up in `/etc/passwd`, by name or number; none when the grant names none.
///
/// # Errors
/// When there is no such user.
pub fn find_user(run_as: &RunAs) -> Result<Option<User>, SandboxError> {
    let Some(name) = &run_as.user else {
        return Ok(None);
    };
    let unknown = || SandboxError::UnknownUser(name.clone());
    let passwd = std::fs::read_to_string("/etc/passwd")
        .map_err(|error| SandboxError::system("/etc/passwd", error))?;
    let line = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.len() >= 4 && (fields[0] == name || fields[2] == name))
        .ok_or_else(unknown)?;
    let uid = line[2].parse().map_err(|_| unknown())?;
    let gid = line[3].parse().map_err(|_| unknown())?;
    let mut groups = vec![gid];
    for group in std::fs::read_to_string("/etc/group")
        .unwrap_or_default()
        .lines()
    {
        let fields: Vec<&str> = group.split(':').collect();
        if fields.len() >= 4
            && fields[3].split(',').any(|member| member == line[0])
            && let Ok(number) = fields[2].parse()
        {
            groups.push(number);
        }
    }
    Ok(Some(User { uid, gid, groups }))
}
