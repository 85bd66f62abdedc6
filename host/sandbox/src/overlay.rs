//! Single files that may be made or replaced.
//!
//! Most programs change a file by writing a new one beside it and renaming it, which takes rights on the whole
//! folder. So the folder is covered by an overlay in which programs may do that, with the file's neighbours
//! mounted read-only on top, or hidden if they may not be read. What the granted files have become is brought
//! into the real folder after the step; everything else that was made there is dropped and reported.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use capstan_policy::{FileAccess, FileRule, Grant, GrantCheck};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};

use crate::error::SandboxError;
use crate::mount;

/// A covered folder.
#[derive(Debug)]
pub(crate) struct Overlay {
    pub(crate) folder: PathBuf,
    /// The real folder, reachable by this descriptor alone.
    pub(crate) real: OwnedFd,
    upper: PathBuf,
    names: BTreeSet<OsString>,
    /// Inode, size and time of change of what was brought over already.
    committed: Mutex<HashMap<OsString, (u64, u64, i64, i64)>>,
}

/// An overlay that is still to be mounted.
pub(crate) struct Planned {
    overlay: Overlay,
    work: PathBuf,
    /// Neighbours, each with the tree that goes on top of it.
    neighbours: Vec<(PathBuf, OwnedFd)>,
}

/// Whether a rule is for a single file that may be made or replaced.
pub(crate) fn is_single(rule: &FileRule) -> bool {
    let makes =
        rule.access.contains(&FileAccess::Create) || rule.access.contains(&FileAccess::Replace);
    makes
        && !Path::new(&rule.path).is_dir()
        && Path::new(&rule.path)
            .parent()
            .is_some_and(|parent| parent != Path::new("/") && parent.is_dir())
}

/// Looks at the real folders before anything is mounted. `base` is for what programs write.
pub(crate) fn plan(grant: &Grant, base: &Path) -> Result<Vec<Planned>, SandboxError> {
    let mut folders: BTreeMap<PathBuf, BTreeSet<OsString>> = BTreeMap::new();
    for rule in grant.files.iter().filter(|rule| is_single(rule)) {
        let path = Path::new(&rule.path);
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
            folders
                .entry(parent.to_owned())
                .or_default()
                .insert(name.to_owned());
        }
    }
    let check = GrantCheck::new(grant.clone());
    // A folder that may be written as a whole needs no overlay.
    folders.retain(|folder, _| !check.allows_file(&folder.to_string_lossy(), FileAccess::Create));
    let mut list = Vec::new();
    for (number, (folder, names)) in folders.into_iter().enumerate() {
        let failed = |error: io::Error| {
            SandboxError::system(format!("the folder {}", folder.display()), error)
        };
        let own = base.join(number.to_string());
        let (upper, work, empty) = (own.join("upper"), own.join("work"), own.join("empty"));
        for path in [&upper, &work, &empty] {
            fs::create_dir_all(path).map_err(failed)?;
        }
        let nothing = own.join("nothing");
        File::create(&nothing).map_err(failed)?;
        // The overlay's root looks like the folder that it covers.
        let metadata = fs::metadata(&folder).map_err(failed)?;
        fs::set_permissions(&upper, metadata.permissions()).map_err(failed)?;
        let _ = std::os::unix::fs::chown(&upper, Some(metadata.uid()), Some(metadata.gid()));
        let mut neighbours = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed)?.flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            // Links cannot be mounted on; what they lead to has rules of its own.
            if names.contains(&name) || entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                continue;
            }
            let readable = check.allows_file(&path.to_string_lossy(), FileAccess::Read);
            let source = match (readable, path.is_dir()) {
                (true, _) => &path,
                (false, true) => &empty,
                (false, false) => &nothing,
            };
            let tree = mount::open_tree(source)?;
            mount::make_tree_read_only(&tree)?;
            neighbours.push((path, tree));
        }
        let real = mount::open_tree(&folder)?;
        list.push(Planned {
            overlay: Overlay {
                folder,
                real,
                upper,
                names,
                committed: Mutex::new(HashMap::new()),
            },
            work,
            neighbours,
        });
    }
    Ok(list)
}

impl Planned {
    /// Covers the folder.
    pub(crate) fn mount(self) -> Result<Overlay, SandboxError> {
        let folder = &self.overlay.folder;
        let user = if rustix::process::geteuid().is_root() {
            ""
        } else {
            ",userxattr"
        };
        let options = format!(
            "lowerdir={},upperdir={},workdir={}{user}",
            escape(folder),
            escape(&self.overlay.upper),
            escape(&self.work)
        );
        mount::mount(
            Some("overlay"),
            folder,
            Some("overlay"),
            libc::MS_NOSUID | libc::MS_NODEV,
            Some(&options),
        )?;
        for (path, tree) in &self.neighbours {
            mount::move_to(tree, path)?;
        }
        Ok(self.overlay)
    }
}

/// Paths in mount options: commas and colons mean something there.
fn escape(path: &Path) -> String {
    path.to_string_lossy()
        .replace('\\', "\\\\")
        .replace(':', "\\:")
        .replace(',', "\\,")
}

impl Overlay {
    /// Brings the granted files over and returns the paths of what else was made or changed.
    pub(crate) fn commit(&self) -> Vec<String> {
        let mut dropped = Vec::new();
        for entry in fs::read_dir(&self.upper).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if !self.names.contains(&name) {
                dropped.push(self.folder.join(&name).display().to_string());
                let path = entry.path();
                let _ = if metadata.is_dir() {
                    fs::remove_dir_all(&path)
                } else {
                    fs::remove_file(&path)
                };
                continue;
            }
            let state = (
                metadata.ino(),
                metadata.len(),
                metadata.ctime(),
                metadata.ctime_nsec(),
            );
            let mut committed = self
                .committed
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if committed.get(&name) == Some(&state) {
                continue;
            }
            let done = if metadata.is_file() {
                self.replace(&name, &entry.path(), &metadata)
            } else if metadata.file_type().is_char_device() && metadata.rdev() == 0 {
                // The overlay's mark of a file that was removed.
                rustix::fs::unlinkat(&self.real, name.as_os_str(), AtFlags::empty())
                    .map_err(io::Error::from)
            } else {
                Err(io::Error::other("it is no plain file any more"))
            };
            match done {
                Ok(()) => drop(committed.insert(name, state)),
                Err(error) => {
                    dropped.push(format!("{} ({error})", self.folder.join(&name).display()))
                }
            }
        }
        dropped
    }

    fn replace(&self, name: &OsString, from: &Path, metadata: &fs::Metadata) -> io::Result<()> {
        let mut temporary = OsString::from(".capstan-");
        temporary.push(name);
        let _ = rustix::fs::unlinkat(&self.real, temporary.as_os_str(), AtFlags::empty());
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(
            &self.real,
            temporary.as_os_str(),
            flags,
            Mode::from_raw_mode(0o600),
        )?;
        let mut file = File::from(file);
        io::copy(&mut File::open(from)?, &mut file)?;
        rustix::fs::fchown(
            &file,
            Some(Uid::from_raw(metadata.uid())),
            Some(Gid::from_raw(metadata.gid())),
        )?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(metadata.mode() & 0o777))?;
        file.sync_data()?;
        rustix::fs::renameat(
            &self.real,
            temporary.as_os_str(),
            &self.real,
            name.as_os_str(),
        )?;
        Ok(())
    }

    /// The real folder for Landlock, by a name of this process.
    pub(crate) fn real_path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.real.as_fd().as_raw_fd()))
    }
}
