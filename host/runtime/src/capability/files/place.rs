//! Files and folders by handle: what is opened here is opened without following a link.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use cap_std::fs::Dir;
use capstan_sandbox::User;
use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, ResolveFlags, Uid, chownat, openat, openat2, unlinkat,
};
use rustix::io::Errno;

/// Where something is or is to be: a folder, by handle, and a name in it.
pub(super) struct Place {
    pub(super) folder: OwnedFd,
    pub(super) name: OsString,
    pub(super) path: PathBuf,
}

/// Opens a path that has no links in it.
pub(super) fn open_plain(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    Ok(openat2(
        CWD,
        path,
        flags | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )?)
}

/// Opens for reading. A pipe without a writer does not hold the call up.
pub(super) fn open_to_read(path: &Path) -> io::Result<File> {
    open_plain(path, OFlags::RDONLY | OFlags::NONBLOCK).map(File::from)
}

impl Place {
    /// Of a path without links.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let name = path
            .file_name()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        Ok(Self {
            folder: open_plain(parent, OFlags::PATH | OFlags::DIRECTORY)?,
            name: name.to_owned(),
            path: path.to_owned(),
        })
    }

    /// Opens what is there, or makes it, but follows no link.
    pub(super) fn open(&self, name: &OsString, flags: OFlags, mode: u32) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = openat(&self.folder, name, flags, Mode::from_raw_mode(mode))?;
        Ok(file.into())
    }

    /// Gives what is there to a user.
    pub(super) fn give(&self, owner: Option<&User>) -> io::Result<()> {
        let Some(user) = owner else {
            return Ok(());
        };
        let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(chownat(
            &self.folder,
            &self.name,
            Some(uid),
            Some(gid),
            flags,
        )?)
    }

    /// Removes what is there: a link itself, not where it leads.
    pub(super) fn remove(&self, recursive: bool) -> io::Result<()> {
        match unlinkat(&self.folder, &self.name, AtFlags::empty()) {
            // POSIX says the one for folders, Linux the other.
            Err(Errno::PERM | Errno::ISDIR) => {}
            result => return Ok(result?),
        }
        if recursive {
            Dir::from(self.folder.try_clone()?).remove_dir_all(&self.name)
        } else {
            Ok(unlinkat(&self.folder, &self.name, AtFlags::REMOVEDIR)?)
        }
    }
}
