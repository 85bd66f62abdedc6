//! The files of a world: below one folder of their own, looked at before and after.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use jiff::Timestamp;

use crate::content::Content;
use crate::error::HarnessError;
use crate::report::FileReport;
use crate::request::FileSpec;

/// The folder of a world, which goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Files {
    root: PathBuf,
    /// What the script itself does to files stays below the folder, whatever links the component made.
    dir: Dir,
    before: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    what: What,
    mode: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    File(Vec<u8>),
    Folder,
    Link(String),
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// What a step left.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) files: BTreeMap<String, Option<FileReport>>,
    pub(crate) modes: BTreeMap<String, String>,
}

impl Files {
    /// Makes the folder with these files, and with empty folders.
    pub(crate) fn new(
        specs: &BTreeMap<String, FileSpec>,
        folders: &[&str],
        now: Timestamp,
    ) -> Result<Self, HarnessError> {
        let root = make_root().map_err(HarnessError::io("a folder for the files of the test"))?;
        let dir = Dir::open_ambient_dir(&root, ambient_authority())
            .map_err(HarnessError::io(root.display().to_string()))?;
        let mut files = Self {
            root,
            dir,
            before: BTreeMap::new(),
        };
        for folder in folders {
            let made = files.dir.create_dir_all(inner(folder));
            made.map_err(HarnessError::io(format!("the folder {folder}")))?;
        }
        for (path, spec) in specs {
            files
                .give(path, spec)
                .map_err(HarnessError::io(format!("the file {path} of the world")))?;
        }
        let looked = files.settle(specs, now);
        files.before = looked.map_err(HarnessError::io("the files of the world"))?;
        Ok(files)
    }

    /// The folder, without links in its path.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn give(&self, path: &str, spec: &FileSpec) -> io::Result<()> {
        match &spec.content {
            Some(content) => {
                self.make_parent(path)?;
                self.dir.write(inner(path), content)
            }
            None => self.dir.create_dir_all(inner(path)),
        }
    }

    fn make_parent(&self, path: &str) -> io::Result<()> {
        match Path::new(inner(path)).parent() {
            Some(parent) if parent != Path::new("") => self.dir.create_dir_all(parent),
            _ => Ok(()),
        }
    }

    /// Sets times and modes, now that all is there, and looks at everything.
    fn settle(
        &self,
        specs: &BTreeMap<String, FileSpec>,
        now: Timestamp,
    ) -> io::Result<BTreeMap<String, Entry>> {
        for path in self.look()?.keys() {
            let modified = specs.get(path).and_then(|spec| spec.modified);
            let modified = modified.map_or(now, |time| time.0);
            let file = File::open(self.root.join(inner(path)))?;
            file.set_modified(SystemTime::from(modified))?;
        }
        for (path, spec) in specs {
            if let Some(mode) = spec.mode {
                let path = self.root.join(inner(path));
                fs::set_permissions(path, Permissions::from_mode(mode))?;
            }
        }
        self.look()
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        self.dir.symlink_metadata(inner(path)).is_ok()
    }

    /// What a program of the script writes.
    pub(crate) fn write(&self, path: &str, content: &[u8], now: Timestamp) -> io::Result<()> {
        self.make_parent(path)?;
        self.dir.write(inner(path), content)?;
        let file = self.dir.open(inner(path))?.into_std();
        file.set_modified(SystemTime::from(now))
    }

    /// What a program of the script removes.
    pub(crate) fn remove(&self, path: &str) -> io::Result<()> {
        let path = inner(path);
        if self.dir.symlink_metadata(path)?.is_dir() {
            self.dir.remove_dir_all(path)
        } else {
            self.dir.remove_file(path)
        }
    }

    fn look(&self) -> io::Result<BTreeMap<String, Entry>> {
        let mut found = BTreeMap::new();
        look_into(&self.root, "", &mut found)?;
        Ok(found)
    }

    /// What is otherwise than in the beginning.
    pub(crate) fn changes(&self) -> Result<Changes, HarnessError> {
        let after = self
            .look()
            .map_err(HarnessError::io("the files that the step left"))?;
        let mut changes = Changes::default();
        for (path, entry) in &after {
            let before = self.before.get(path);
            if before == Some(entry) {
                continue;
            }
            if !matches!(entry.what, What::Link(_)) {
                let mode = format!("{:04o}", entry.mode);
                changes.modes.insert(path.clone(), mode);
            }
            let same = before.is_some_and(|before| before.what == entry.what);
            let report = match &entry.what {
                _ if same => continue,
                What::File(content) => FileReport::File(Content(content.clone())),
                What::Link(to) => FileReport::Link(to.clone()),
                // One that holds something is told by what it holds.
                What::Folder if holds(&after, path) => continue,
                What::Folder => FileReport::Directory,
            };
            changes.files.insert(path.clone(), Some(report));
        }
        for path in self.before.keys() {
            if !after.contains_key(path) {
                changes.files.insert(path.clone(), None);
            }
        }
        Ok(changes)
    }
}

fn holds(all: &BTreeMap<String, Entry>, folder: &str) -> bool {
    let inside = format!("{folder}/");
    all.range(inside.clone()..)
        .next()
        .is_some_and(|(path, _)| path.starts_with(&inside))
}

/// A path of the world, from the folder on.
fn inner(path: &str) -> &str {
    path.trim_start_matches('/')
}

/// A folder of this user's own.
fn make_root() -> io::Result<PathBuf> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let base = fs::canonicalize(std::env::temp_dir())?;
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let time = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |time| time.as_nanos());
        let root = base.join(format!(
            "capstan-world-{}-{number}-{time:x}",
            std::process::id()
        ));
        match DirBuilder::new().mode(0o700).create(&root) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| root),
        }
    }
}

/// Follows no links. What the step closed to its own user is opened again: it is over.
fn look_into(folder: &Path, name: &str, found: &mut BTreeMap<String, Entry>) -> io::Result<()> {
    let entries = opened(folder, |folder| fs::read_dir(folder))?;
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        let metadata = fs::symlink_metadata(&path)?;
        let kind = metadata.file_type();
        let what = if kind.is_dir() {
            look_into(&path, &name, found)?;
            What::Folder
        } else if kind.is_symlink() {
            What::Link(fs::read_link(&path)?.to_string_lossy().into_owned())
        } else if kind.is_file() {
            What::File(opened(&path, |path| fs::read(path))?)
        } else {
            continue;
        };
        let mode = metadata.permissions().mode() & 0o7777;
        found.insert(name, Entry { what, mode });
    }
    Ok(())
}

fn opened<T>(path: &Path, read: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let before = fs::metadata(path)?.permissions();
            fs::set_permissions(path, Permissions::from_mode(0o700))?;
            let answer = read(path);
            fs::set_permissions(path, before)?;
            answer
        }
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use jiff::Timestamp;
    use serde_json::json;

    use super::Files;
    use crate::request::FileSpec;

    #[test]
    fn what_changes_is_told_and_nothing_leads_out_of_the_folder() {
        let spec = |value| FileSpec::try_from(value).unwrap();
        let specs = BTreeMap::from([
            ("/etc/app/a".to_owned(), spec(json!("one"))),
            ("/etc/app/b".to_owned(), spec(json!({ "base64": "/w==" }))),
            ("/srv".to_owned(), spec(json!({ "directory": true }))),
            (
                "/closed".to_owned(),
                spec(json!({ "text": "x", "mode": "0000", "modified": "2020-01-01T00:00:00Z" })),
            ),
        ]);
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let files = Files::new(&specs, &["/work"], now).unwrap();
        let root = files.root().to_owned();
        let modified = |path: &str| {
            let time = fs::metadata(root.join(path)).unwrap().modified().unwrap();
            Timestamp::try_from(time).unwrap().as_second()
        };
        assert_eq!(modified("etc/app/a"), 1_700_000_000);
        assert_eq!(modified("closed"), 1_577_836_800);
        assert!(files.changes().unwrap().files.is_empty());

        fs::remove_file(root.join("etc/app/b")).unwrap();
        fs::create_dir(root.join("work/empty")).unwrap();
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(root.join("etc/app/a"), mode).unwrap();
        let outside = root.with_extension("outside");
        symlink(&outside, root.join("work/out")).unwrap();
        assert!(files.write("/work/out", b"x", now).is_err());
        assert!(!outside.exists());
        files.write("/new/deep/file", b"two", now).unwrap();
        let changes = files.changes().unwrap();
        let told = serde_json::to_value(&changes.files).unwrap();
        assert_eq!(
            told,
            json!({
                "/etc/app/b": null, "/new/deep/file": "two",
                "/work/empty": { "directory": true }, "/work/out": { "link": outside },
            })
        );
        assert_eq!(changes.modes["/etc/app/a"], "0600");
        files.remove("/new").unwrap();
        drop(files);
        assert!(!root.exists());
    }
}
