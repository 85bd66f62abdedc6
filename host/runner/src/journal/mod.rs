//! The journal of a run: what is needed to go on after the process has died at any point.
//!
//! A line is written before a step begins and after it ended, and before a wait. A write that the kernel took
//! survives the death of the process; it is also brought to the disk before a wait, before a restart and at the
//! end of the run, where a loss of power would matter.

mod history;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use capstan_document::StoredParameter;
use capstan_runtime::{DocumentRequest, Event, Wake};
use serde::{Deserialize, Serialize};

use crate::error::RunnerError;
use crate::result::{RunStatus, StepResult};
use crate::run::RunRequest;
use crate::step::Before;

pub(crate) use history::{History, NestedHistory, Waiting, read};

/// A line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(
    tag = "event",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub(crate) enum Record {
    /// The run was accepted, with these values of Parameter Store.
    Started {
        request: Box<RunRequest>,
        #[serde(default)]
        stored: Option<Stored>,
        at: String,
    },
    /// The run goes on in another process.
    Resumed { at: String },
    /// The operator cancelled the run; it stays cancelled when another process takes it up.
    Cancelled { at: String },
    /// An attempt begins.
    StepStarted { step: usize, attempt: u32 },
    /// What the step waited for has come.
    StepResumed {
        step: usize,
        attempt: u32,
        by: Event,
    },
    /// The step waits.
    StepSuspended {
        step: usize,
        input: usize,
        before: Before,
        state: String,
        wake: Wake,
        reason: String,
        result: Box<StepResult>,
    },
    /// A step runs a document.
    NestedStarted {
        path: Vec<usize>,
        document: Box<DocumentRequest>,
        stored: Stored,
    },
    /// A step of that document is over; the path is the document's with the step's index.
    NestedFinished {
        path: Vec<usize>,
        result: Box<StepResult>,
    },
    /// The step is over.
    StepFinished {
        step: usize,
        result: Box<StepResult>,
    },
    /// The run is over.
    Finished { status: RunStatus },
}

/// Values of Parameter Store that a document was accepted with. Secure ones are not among them.
pub(crate) type Stored = BTreeMap<String, StoredParameter>;

/// An open journal. Only one process has it.
#[derive(Debug)]
pub(crate) struct Journal {
    file: Mutex<File>,
}

fn failed(path: &Path) -> String {
    format!("the journal {}", path.display())
}

impl Journal {
    /// Opens the journal of a run, and locks it.
    pub(crate) fn open(path: &Path, new: bool) -> Result<Self, RunnerError> {
        if let Some(folder) = path.parent() {
            crate::state::make_private(folder)?;
        }
        let file = OpenOptions::new()
            .append(true)
            .create(new)
            .create_new(new)
            .mode(0o600)
            .open(path)
            .map_err(RunnerError::io(failed(path)))?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(
            |error| {
                if error == rustix::io::Errno::WOULDBLOCK {
                    RunnerError::Invalid("the run is being run by another process".into())
                } else {
                    RunnerError::io(failed(path))(error.into())
                }
            },
        )?;
        Ok(Self {
            file: Mutex::new(file),
        })
    }

    fn file(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts off a last line that is not whole.
    pub(crate) fn cut(&self, whole: u64) -> Result<(), RunnerError> {
        self.file()
            .set_len(whole)
            .map_err(RunnerError::io("the journal"))
    }

    /// Adds a line.
    pub(crate) fn add(&self, record: &Record) -> Result<(), RunnerError> {
        let mut bytes = serde_json::to_vec(record)
            .map_err(|error| RunnerError::io("the journal")(error.into()))?;
        bytes.push(b'\n');
        self.file()
            .write_all(&bytes)
            .map_err(RunnerError::io("the journal"))
    }

    /// Brings all lines to the disk.
    pub(crate) fn sync(&self) {
        let _ = self.file().sync_data();
    }
}

pub(crate) fn encode(state: &[u8]) -> String {
    STANDARD.encode(state)
}
