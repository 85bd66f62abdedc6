//! The state folder.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use capstan_document::action_folder;
use capstan_plugins::PluginStore;
use capstan_sandbox::{Distrust, check_own};

use crate::error::RunnerError;
use crate::run::check_id;

/// Where a node keeps what outlives a process. Closed to other users.
#[derive(Debug, Clone)]
pub struct StateFolder {
    root: PathBuf,
    cache: PathBuf,
}

/// Makes a folder for this user alone, with the missing ones above it.
pub(crate) fn make_private(path: &Path) -> Result<(), RunnerError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(RunnerError::io(format!(
            "making the folder {}",
            path.display()
        )))
}

/// Opens a file of this user's alone for writing, as it is, or makes it.
pub(crate) fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// The folder named, else the one that is usual for this user.
fn usual_root(path: Option<&Path>) -> Result<PathBuf, RunnerError> {
    if let Some(path) = path {
        return Ok(path.to_owned());
    }
    if let Some(path) = variable("CAPSTAN_STATE") {
        return Ok(path);
    }
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/capstan"));
    }
    let base = variable("XDG_STATE_HOME")
        .or_else(|| Some(variable("HOME")?.join(".local/state")))
        .ok_or_else(|| {
            RunnerError::Invalid(
                "there is no place for the state folder: set HOME or CAPSTAN_STATE".into(),
            )
        })?;
    Ok(base.join("capstan"))
}

impl StateFolder {
    /// Opens the folder if it is there, for those who only look at what is in it.
    ///
    /// # Errors
    /// As for `open`, when it is there.
    pub fn existing(path: Option<&Path>) -> Result<Option<Self>, RunnerError> {
        match usual_root(path) {
            Ok(root) if root.is_dir() => Self::open(Some(&root)).map(Some),
            Err(error) if path.is_some() => Err(error),
            _ => Ok(None),
        }
    }

    /// Opens the folder: the one named, else `$CAPSTAN_STATE`, else `/var/lib/capstan` for root and
    /// `$XDG_STATE_HOME/capstan` for others. `$CAPSTAN_CACHE` moves the compiled components elsewhere.
    ///
    /// # Errors
    /// When it cannot be made, belongs to somebody else, or others can write to it: documents, journals and
    /// parameters are believed.
    pub fn open(path: Option<&Path>) -> Result<Self, RunnerError> {
        let root = usual_root(path)?;
        if !root.is_dir() {
            make_private(&root)?;
        }
        let root = fs::canonicalize(&root).map_err(RunnerError::io(format!(
            "the state folder {}",
            root.display()
        )))?;
        let metadata = fs::metadata(&root).map_err(RunnerError::io(format!(
            "the state folder {}",
            root.display()
        )))?;
        if let Err(distrust) = check_own(&metadata) {
            let why = match distrust {
                Distrust::OwnedBy(user) => format!("belongs to user {user}"),
                Distrust::WritableByOthers => "can be written to by others (chmod 700)".to_owned(),
            };
            return Err(RunnerError::Invalid(format!(
                "the state folder {} {why}; what is in it cannot be trusted",
                root.display()
            )));
        }
        let cache = match variable("CAPSTAN_CACHE") {
            Some(cache) => {
                if !cache.is_dir() {
                    make_private(&cache)?;
                }
                fs::canonicalize(&cache).map_err(RunnerError::io(format!(
                    "the cache folder {}",
                    cache.display()
                )))?
            }
            None => root.join("cache"),
        };
        Ok(Self { root, cache })
    }

    /// Its path.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Compiled components.
    #[must_use]
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// The folders that no step gets as a part of a larger one: journals, parameters, receipts and compiled code.
    pub(crate) fn withheld(&self) -> Vec<String> {
        [&self.root, &self.cache]
            .map(|folder| folder.display().to_string())
            .into()
    }

    /// Outputs, downloads and work folders of a run, laid out as by SSM's agent.
    #[must_use]
    pub fn orchestration(&self, run_id: &str) -> PathBuf {
        self.root.join("document/orchestration").join(run_id)
    }

    /// Journal, receipts, grants and policies of a run.
    #[must_use]
    pub fn run(&self, run_id: &str) -> PathBuf {
        self.root.join("runs").join(run_id)
    }

    /// The journal of a run.
    #[must_use]
    pub fn journal(&self, run_id: &str) -> PathBuf {
        self.run(run_id).join("journal.jsonl")
    }

    /// Whether a run of this id was accepted, which [`crate::Runner::resume`] goes on with. What a process left that
    /// died while it accepted the run is no such run, and makes room for one.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn has_begun(&self, run_id: &str) -> Result<bool, RunnerError> {
        let path = self.journal(&check_id(run_id)?);
        let failed = || format!("the journal {}", path.display());
        match fs::read(&path) {
            Ok(bytes) if bytes.contains(&b'\n') => Ok(true),
            Ok(_) => fs::remove_file(&path)
                .map(|()| false)
                .map_err(RunnerError::io(failed())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(RunnerError::io(failed())(error)),
        }
    }

    /// What an action keeps between runs: `data/NAMESPACE/NAME`.
    #[must_use]
    pub fn data(&self, action: &str) -> PathBuf {
        let (namespace, name) = action.split_once(':').unwrap_or(("none", action));
        let data = self.root.join("data");
        data.join(action_folder(namespace))
            .join(action_folder(name))
    }

    /// Held by the run that works with what an action keeps.
    #[must_use]
    pub fn data_lock(&self, action: &str) -> PathBuf {
        self.root.join("locks").join(action_folder(action))
    }

    /// The receipts of all runs.
    #[must_use]
    pub fn receipts(&self) -> PathBuf {
        self.root.join("receipts.jsonl")
    }

    /// The receipts of one run: copies, beside its journal.
    #[must_use]
    pub fn run_receipts(&self, run_id: &str) -> PathBuf {
        self.run(run_id).join("receipts.jsonl")
    }

    /// The local Parameter Store.
    #[must_use]
    pub fn parameters(&self) -> PathBuf {
        self.root.join("parameters.json")
    }

    /// Installed plugins.
    #[must_use]
    pub fn plugins(&self) -> PluginStore {
        PluginStore::new(self.root.join("plugins"))
    }

    /// Documents that were put there.
    #[must_use]
    pub fn documents(&self) -> PathBuf {
        self.root.join("documents")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::StateFolder;
    use crate::testing::Folder;

    #[test]
    fn the_folder_is_for_this_user_alone() {
        let folder = Folder::new();
        let path = folder.path().join("deep/state");
        let state = StateFolder::open(Some(&path)).unwrap();
        assert_eq!(
            fs::metadata(state.root()).unwrap().permissions().mode() & 0o777,
            0o700
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(
            StateFolder::open(Some(&path))
                .unwrap_err()
                .to_string()
                .contains("by others")
        );
    }
}
