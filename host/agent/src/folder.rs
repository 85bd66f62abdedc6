//! The agent's folder in the state folder, for this user alone. Files are replaced as a whole and are on the disk
//! before anything is said of them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::AgentError;

/// Where the agent keeps what outlives it.
#[derive(Debug, Clone)]
pub struct AgentFolder {
    root: PathBuf,
}

/// Commands that were accepted and are not over.
pub(crate) const PENDING: &str = "pending";
/// Final replies that were not delivered.
pub(crate) const REPLIES: &str = "replies";
/// Final replies that were.
pub(crate) const DONE: &str = "done";

impl AgentFolder {
    /// The agent's folder in this state folder; it is made if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(state: &Path) -> Result<Self, AgentError> {
        let root = state.join("agent");
        for folder in [PENDING, REPLIES, DONE] {
            let path = root.join(folder);
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .map_err(AgentError::io(format!("making {}", path.display())))?;
        }
        Ok(Self { root })
    }

    /// The path of something in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Takes the folder for one agent, as long as the file that this returns is open. None if another agent has it.
    ///
    /// # Errors
    /// When the lock's file cannot be opened.
    pub fn lock(&self) -> Result<Option<File>, AgentError> {
        let path = self.path("lock");
        let open = || -> io::Result<Option<File>> {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => Ok(Some(file)),
                Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
                Err(error) => Err(error.into()),
            }
        };
        open().map_err(AgentError::io(format!("locking {}", path.display())))
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, value: &impl Serialize) -> Result<(), AgentError> {
        let path = self.path(name);
        let write = || -> io::Result<()> {
            let new = path.with_extension("new");
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&new)?;
            file.write_all(&serde_json::to_vec(value)?)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            sync_folder(&path)
        };
        write().map_err(AgentError::io(format!("writing {}", path.display())))
    }

    /// Reads a file; nothing if there is none.
    pub(crate) fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, AgentError> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
                AgentError::Damaged(format!("{} is damaged: {error}", path.display()))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(AgentError::io(format!("reading {}", path.display()))(error)),
        }
    }

    /// Removes a file, if it is there.
    pub(crate) fn remove(&self, name: &str) -> Result<(), AgentError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(AgentError::io(format!("removing {}", path.display()))(
                error,
            )),
        }
    }

    /// Moves a file to another place in the folder. False if it is not there.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<bool, AgentError> {
        let (from, to) = (self.path(from), self.path(to));
        let moved = || -> io::Result<bool> {
            match fs::rename(&from, &to) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(error),
            }
            sync_folder(&to)?;
            Ok(true)
        };
        moved().map_err(AgentError::io(format!("moving {}", from.display())))
    }

    /// The names of the JSON files in one of its folders, without their ending, oldest first.
    pub(crate) fn list(&self, folder: &str) -> Result<Vec<String>, AgentError> {
        let path = self.path(folder);
        let list = || -> io::Result<Vec<String>> {
            let mut found = Vec::new();
            for entry in fs::read_dir(&path)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if let Some(name) = name.strip_suffix(".json") {
                    found.push((entry.metadata()?.modified()?, name.to_owned()));
                }
            }
            found.sort();
            Ok(found.into_iter().map(|(_, name)| name).collect())
        };
        list().map_err(AgentError::io(format!("reading {}", path.display())))
    }
}

/// Brings the name of a file to the disk.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
