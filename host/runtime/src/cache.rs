//! Compiled components on disk.
//!
//! A compiled component is native code, and loading one is as good as running it: the folder must belong to this
//! user and be closed to all others, and only this program writes to it. Beside each file stands its SHA-256, so
//! that what a full disk or a crash has left of one is compiled anew, and not tried again and again.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use capstan_sandbox::{Distrust, check_own};

use crate::error::RuntimeError;

/// Part of every file name, so that another version or configuration of the engine never sees it. To be raised
/// with every change of the engine's configuration.
const GENERATION: &str = concat!(env!("CARGO_PKG_VERSION"), "-w48-1");

/// A folder of compiled components.
#[derive(Debug, Clone)]
pub struct CompileCache {
    folder: PathBuf,
}

impl CompileCache {
    /// Opens the folder and makes it if it is missing.
    ///
    /// # Errors
    /// When it belongs to somebody else or others can write to it.
    pub fn open(folder: &Path) -> Result<Self, RuntimeError> {
        let failed = |why: String| RuntimeError::Cache {
            path: folder.to_owned(),
            why,
        };
        if !folder.is_dir() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(|error| failed(error.to_string()))?;
        }
        let metadata = fs::metadata(folder).map_err(|error| failed(error.to_string()))?;
        match check_own(&metadata) {
            Ok(()) => Ok(Self {
                folder: folder.to_owned(),
            }),
            Err(Distrust::OwnedBy(user)) => Err(failed(format!(
                "it belongs to user {user}, so its content is not to be trusted; remove it"
            ))),
            Err(Distrust::WritableByOthers) => Err(failed("others can write to it, so its content is not to be trusted; remove it and chmod 700 its parent".into())),
        }
    }

    /// Where the code of a component is, or would be.
    #[must_use]
    pub fn path_of(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{digest}-{GENERATION}.cwasm"))
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn sum_of(&self, digest: &str) -> PathBuf {
        self.path_of(digest).with_extension("sha256")
    }

    /// Whether the code of a component is there, whole and nobody else's.
    #[must_use]
    pub fn has(&self, digest: &str) -> bool {
        let path = self.path_of(digest);
        let Ok((mut file, stamp)) = open_own(&path) else {
            return false;
        };
        let mut checked = CHECKED.lock().unwrap_or_else(PoisonError::into_inner);
        if checked.get(&path) == Some(&stamp) {
            return true;
        }
        let whole = read(&mut file).is_ok_and(|code| {
            open_own(&self.sum_of(digest))
                .and_then(|(mut sum, _)| read(&mut sum))
                .is_ok_and(|sum| sum == crate::component::digest(&code).as_bytes())
        });
        if whole {
            checked.insert(path, stamp);
        }
        whole
    }

    /// Keeps the code of a component: whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn store(&self, digest: &str, code: &[u8]) -> Result<(), RuntimeError> {
        let temporary = self
            .folder
            .join(format!(".{digest}-{}", std::process::id()));
        let sum = crate::component::digest(code);
        // Between the two there is a sum that does not fit, which is as good as none.
        for (target, content) in [
            (self.path_of(digest), code),
            (self.sum_of(digest), sum.as_bytes()),
        ] {
            replace(&temporary, &target, content).map_err(|error| {
                let _ = fs::remove_file(&temporary);
                RuntimeError::Cache {
                    path: target,
                    why: match error.kind() {
                        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => format!(
                            "no space is left for {} bytes; make room in {}, or name a folder elsewhere in CAPSTAN_CACHE",
                            content.len(),
                            self.folder.display()
                        ),
                        _ => error.to_string(),
                    },
                }
            })?;
        }
        Ok(())
    }
}

/// What changes whenever a file does: its number, its size and the time of its last change of any kind.
type Stamp = (u64, u64, i64, i64);

/// The files that this process has found whole: each step asks for one.
static CHECKED: Mutex<BTreeMap<PathBuf, Stamp>> = Mutex::new(BTreeMap::new());

/// A file that belongs to this user and that others cannot write to.
fn open_own(path: &Path) -> io::Result<(fs::File, Stamp)> {
    let no_links = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(no_links)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || check_own(&metadata).is_err() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let stamp = (
        metadata.ino(),
        metadata.len(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    );
    Ok((file, stamp))
}

fn read(file: &mut fs::File) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    Ok(content)
}

fn replace(temporary: &Path, target: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(temporary)?;
    file.write_all(content)?;
    file.sync_data()?;
    fs::rename(temporary, target)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::PathBuf;

    use super::CompileCache;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("capstan-{name}-{}", std::process::id()));
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn code_that_is_damaged_or_open_to_others_is_not_there() {
        let folder = Folder::new("damaged");
        let cache = CompileCache::open(&folder.0).unwrap();
        let code: Vec<u8> = (0..400_000_u32).map(|byte| byte.to_le_bytes()[0]).collect();
        let path = cache.path_of("abc");
        let mut flipped = code.clone();
        flipped[200_000] ^= 1;
        assert!(!cache.has("abc"));
        for bad in [&code[..1000], &[][..], &flipped[..]] {
            cache.store("abc", &code).unwrap();
            assert!(cache.has("abc"));
            fs::write(&path, bad).unwrap();
            assert!(!cache.has("abc"), "{} bytes", bad.len());
        }
        cache.store("abc", &code).unwrap();
        for (mode, there) in [(0o666, false), (0o620, false), (0o600, true)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(cache.has("abc"), there, "{mode:o}");
        }
        let elsewhere = folder.0.join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        symlink(&elsewhere, &path).unwrap();
        assert!(!cache.has("abc"));
        fs::remove_file(path.with_extension("sha256")).unwrap();
        fs::rename(&elsewhere, &path).unwrap();
        assert!(!cache.has("abc"));
    }

    #[test]
    fn a_full_disk_is_told_and_nothing_is_left_on_it() {
        let folder = Folder::new("full");
        let cache = CompileCache::open(&folder.0).unwrap();
        let temporary = folder.0.join(format!(".abc-{}", std::process::id()));
        symlink("/dev/full", &temporary).unwrap();
        let error = cache.store("abc", b"code").unwrap_err().to_string();
        assert!(
            error.contains("no space is left") && error.contains("CAPSTAN_CACHE"),
            "{error}"
        );
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0);
    }
}
