//! The folders of a run, for a step whose programs run as another user than the supervisor.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use capstan_sandbox::User;
use rustix::fs::{CWD, Gid, Mode, OFlags, Uid, fchmod, fchown, openat};

use crate::error::RunnerError;
use crate::state::StateFolder;

fn open(at: impl AsFd, path: impl rustix::path::Arg, links: OFlags) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | links;
    Ok(openat(at, path, flags, Mode::empty())?)
}

/// Lets a user pass the state folder, and gives it the work folder of a step; what the steps of the run share is
/// for its group. Everything else stays closed: the files of the state folder are their owner's alone.
///
/// # Errors
/// When a folder above the state folder is closed to the user.
pub(crate) fn open_folders(
    state: &StateFolder,
    run: &Path,
    step: &str,
    user: &User,
) -> Result<(), RunnerError> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    let give = || -> io::Result<()> {
        let mut above = run.to_owned();
        while above != state.root() && above.pop() {
            fs::set_permissions(&above, Permissions::from_mode(0o711))?;
        }
        let run = open(CWD, run, OFlags::NOFOLLOW)?;
        fchown(&run, None, Some(gid))?;
        fchmod(&run, Mode::from_raw_mode(0o710))?;
        for (name, mode) in [("work", 0o710), ("downloads", 0o1770), ("tmp", 0o1770)] {
            let folder = open(&run, name, OFlags::NOFOLLOW)?;
            fchown(&folder, None, Some(gid))?;
            fchmod(&folder, Mode::from_raw_mode(mode))?;
            // The worker may write here: what it put in the way is not followed.
            if name == "work" {
                let work = open(&folder, step, OFlags::NOFOLLOW)?;
                fchown(&work, Some(uid), Some(gid))?;
            }
        }
        Ok(())
    };
    give().map_err(RunnerError::io(format!(
        "giving the folders in {} to user {}",
        run.display(),
        user.uid
    )))?;
    let closed = state.root().ancestors().skip(1).find(|folder| {
        fs::metadata(folder).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 == 0)
    });
    match closed {
        None => Ok(()),
        Some(folder) => Err(RunnerError::Invalid(format!(
            "programs of user {} cannot reach their work folder: {} is closed to others; keep the state elsewhere (--state)",
            user.uid,
            folder.display()
        ))),
    }
}
