//! Single files that may be made or replaced.
//!
//! Most programs change a file by writing a new one beside it and renaming it, which takes rights on the whole
//! folder. So the folder is covered by an overlay in which programs may do that. It holds copies of the granted
//! files, and the neighbours that were there when the run began: mounted read-only, or hidden if they may not be
//! read. The real folder is no part of it, or what others make there later could be read. What the granted files
//! have become is brought into the real folder after the step; everything else that was made there is dropped and
//! reported.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
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
    pub(crate) upper: PathBuf,
    names: BTreeSet<OsString>,
    /// The files that are the same here and there.
    same: Mutex<HashMap<OsString, Same>>,
}

/// What tells whether a file was changed: inode, size and time of change.
type State = (u64, u64, i64, i64);

/// A file that was brought over, either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Same {
    here: State,
    real: State,
}

fn state(metadata: &fs::Metadata) -> State {
    (
        metadata.ino(),
        metadata.len(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    )
}

/// An overlay that is still to be mounted.
pub(crate) struct Planned {
    overlay: Overlay,
    lower: PathBuf,
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

/// Looks at the real folders before anything is mounted. `base` is for what programs write; `kept` are paths that will
/// be mounted on top.
pub(crate) fn plan(
    grant: &Grant,
    base: &Path,
    kept: &[&Path],
) -> Result<Vec<Planned>, SandboxError> {
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
        let own = own_folder(base, number).map_err(failed)?;
        let [upper, lower, work, empty] =
            ["upper", "lower", "work", "empty"].map(|name| own.join(name));
        for path in [&upper, &lower, &work, &empty] {
            fs::create_dir(path).map_err(failed)?;
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
            if names.contains(&name) {
                continue;
            }
            let place = lower.join(&name);
            // Links cannot be mounted on; what they lead to has rules of its own.
            if let Ok(target) = fs::read_link(&path) {
                std::os::unix::fs::symlink(target, place).map_err(failed)?;
                continue;
            }
            if path.is_dir() {
                fs::create_dir(place).map_err(failed)?;
            } else {
                File::create(place).map_err(failed)?;
            }
            let readable = check.allows_file(&path.to_string_lossy(), FileAccess::Read);
            let source = match (readable, path.is_dir()) {
                (true, _) => path.clone(),
                (false, true) => {
                    let places = kept
                        .iter()
                        .filter_map(|kept| Some((*kept, kept.strip_prefix(&path).ok()?)));
                    empty_with(&empty, &name, places).map_err(failed)?
                }
                (false, false) => nothing.clone(),
            };
            let tree = mount::open_tree(&source)?;
            mount::make_tree_read_only(&tree)?;
            neighbours.push((path, tree));
        }
        let real = mount::open_tree(&folder)?;
        let overlay = Overlay {
            folder,
            real,
            upper,
            names,
            same: Mutex::new(HashMap::new()),
        };
        overlay.fetch(&overlay.upper).map_err(|error| {
            let folder = overlay.folder.display();
            SandboxError::system(format!("copying single files of {folder}"), error)
        })?;
        list.push(Planned {
            overlay,
            lower,
            work,
            neighbours,
        });
    }
    Ok(list)
}

/// A folder with nothing in it but the places that paths are mounted on, by their names from there.
fn empty_with<'a>(
    empty: &Path,
    name: &OsStr,
    places: impl Iterator<Item = (&'a Path, &'a Path)>,
) -> io::Result<PathBuf> {
    let own = empty.join(name);
    fs::create_dir(&own)?;
    for (path, place) in places {
        let place = own.join(place);
        if path.is_dir() {
            fs::create_dir_all(place)?;
        } else {
            fs::create_dir_all(place.parent().unwrap_or(&own))?;
            File::create(place)?;
        }
    }
    Ok(own)
}

/// A folder that no earlier worker of the run has used: each starts from the real files.
fn own_folder(base: &Path, number: usize) -> io::Result<PathBuf> {
    let mut name = number.to_string();
    loop {
        let own = base.join(&name);
        match fs::create_dir(&own) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => name.push('+'),
            done => return done.map(|()| own),
        }
    }
}

impl Planned {
    /// Whether the overlay will be on top of this path.
    pub(crate) fn covers(&self, path: &Path) -> bool {
        path.starts_with(&self.overlay.folder)
    }

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
            escape(&self.lower),
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
        let mut same = self.same.lock().unwrap_or_else(PoisonError::into_inner);
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
            if same.get(&name).map(|same| same.here) == Some(state(&metadata)) {
                continue;
            }
            let done = if metadata.is_file() {
                self.replace(&name, &entry.path(), &metadata)
            } else {
                Err(io::Error::other("it is no plain file any more"))
            };
            match done.and_then(|()| self.real_state(&name)) {
                Ok(real) => {
                    let here = state(&metadata);
                    same.insert(name, Same { here, real });
                }
                Err(error) => {
                    dropped.push(format!("{} ({error})", self.folder.join(&name).display()))
                }
            }
        }
        same.retain(|name, _| {
            let removed = matches!(
                fs::symlink_metadata(self.upper.join(name)),
                Err(error) if error.kind() == io::ErrorKind::NotFound
            );
            if removed
                && let Err(error) =
                    rustix::fs::unlinkat(&self.real, name.as_os_str(), AtFlags::empty())
                && error != rustix::io::Errno::NOENT
            {
                dropped.push(format!("{} ({error})", self.folder.join(name).display()));
            }
            !removed
        });
        dropped
    }

    /// Brings files that others have made or changed since over to here, unless the run changed them, too.
    pub(crate) fn refresh(&self) {
        // What cannot be brought over stays as it was; the step meets it when it opens the file.
        let _ = self.fetch(&self.folder);
    }

    /// Copies the granted files, as far as they are not the same already, into the overlay: into its upper folder
    /// before it is mounted, and through the mount after that.
    fn fetch(&self, into: &Path) -> io::Result<()> {
        let mut same = self.same.lock().unwrap_or_else(PoisonError::into_inner);
        for name in &self.names {
            let Ok(real) = self.real_state(name) else {
                continue;
            };
            let (known, upper) = (same.get(name).copied(), self.upper.join(name));
            let here = fs::symlink_metadata(&upper)
                .ok()
                .map(|metadata| state(&metadata));
            if known.is_some_and(|known| known.real == real)
                || here != known.map(|known| known.here)
            {
                continue;
            }
            self.fetch_one(name, &into.join(name))?;
            let here = state(&fs::symlink_metadata(&upper)?);
            same.insert(name.clone(), Same { here, real });
        }
        Ok(())
    }

    fn fetch_one(&self, name: &OsStr, to: &Path) -> io::Result<()> {
        let from = self.real_path().join(name);
        let metadata = fs::symlink_metadata(&from)?;
        match fs::remove_file(to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if metadata.is_symlink() {
            return std::os::unix::fs::symlink(fs::read_link(&from)?, to);
        }
        let mut copy = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(to)?;
        // What this user may not read nobody here will read; its place is taken all the same.
        if metadata.is_file()
            && let Ok(mut file) = File::open(&from)
        {
            io::copy(&mut file, &mut copy)?;
        }
        let _ = std::os::unix::fs::fchown(&copy, Some(metadata.uid()), Some(metadata.gid()));
        rustix::fs::fchmod(&copy, Mode::from_raw_mode(metadata.mode() & 0o777))?;
        copy.set_modified(metadata.modified()?)
    }

    fn real_state(&self, name: &OsStr) -> io::Result<State> {
        Ok(state(&fs::symlink_metadata(self.real_path().join(name))?))
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
