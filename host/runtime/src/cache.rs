//! Compiled components on disk.
//!
//! A compiled component is native code, and loading one is as good as running it: the folder must belong to this
//! user and be closed to all others, and only this program writes to it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

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
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(failed(format!(
                "it belongs to user {}, so its content is not to be trusted; remove it",
                metadata.uid()
            )));
        }
        if metadata.mode() & 0o022 != 0 {
            return Err(failed("others can write to it, so its content is not to be trusted; remove it and chmod 700 its parent".into()));
        }
        Ok(Self {
            folder: folder.to_owned(),
        })
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

    /// Whether the code of a component is there.
    #[must_use]
    pub fn has(&self, digest: &str) -> bool {
        self.path_of(digest).is_file()
    }

    /// Keeps the code of a component: whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn store(&self, digest: &str, code: &[u8]) -> Result<(), RuntimeError> {
        let target = self.path_of(digest);
        let temporary = self
            .folder
            .join(format!(".{digest}-{}", std::process::id()));
        let write = || -> std::io::Result<()> {
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(code)?;
            file.sync_data()?;
            fs::rename(&temporary, &target)
        };
        write().map_err(|error| RuntimeError::Cache {
            path: target,
            why: error.to_string(),
        })
    }
}
