//! The journal of a run: what is needed to go on after the process has died at any point.
//!
//! A line is written before a step begins and after it ended, and before a wait. A write that the kernel took
//! survives the death of the process; it is also brought to the disk before a wait, before a restart and at the
//! end of the run, where a loss of power would matter.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use capstan_runtime::Wake;
use serde::{Deserialize, Serialize};

use crate::error::RunnerError;
use crate::result::{RunStatus, StepResult};
use crate::run::RunRequest;

/// A line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(
    tag = "event",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub(crate) enum Record {
    /// The run was accepted.
    Started {
        request: Box<RunRequest>,
        at: String,
    },
    /// The run goes on in another process.
    Resumed { at: String },
    /// An attempt begins.
    StepStarted { step: usize, attempt: u32 },
    /// The step waits.
    StepSuspended {
        step: usize,
        input: usize,
        state: String,
        wake: Wake,
        reason: String,
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

/// An open journal. Only one process has it.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
}

/// A step that waited when the journal ended.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) step: usize,
    pub(crate) input: usize,
    pub(crate) state: Vec<u8>,
    pub(crate) wake: Wake,
    pub(crate) reason: String,
    pub(crate) result: StepResult,
}

/// What a journal tells.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) request: RunRequest,
    pub(crate) started: String,
    /// Results of the steps that are over, from the first.
    pub(crate) finished: Vec<StepResult>,
    /// The step after them: how often it began.
    pub(crate) attempts: u32,
    pub(crate) waiting: Option<Waiting>,
    pub(crate) resumes: u32,
    pub(crate) status: Option<RunStatus>,
    /// Bytes of whole lines.
    pub(crate) whole: u64,
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
        Ok(Self { file })
    }

    /// Cuts off a last line that is not whole.
    pub(crate) fn cut(&self, whole: u64) -> Result<(), RunnerError> {
        self.file
            .set_len(whole)
            .map_err(RunnerError::io("the journal"))
    }

    /// Adds a line.
    pub(crate) fn add(&mut self, record: &Record) -> Result<(), RunnerError> {
        let mut bytes = serde_json::to_vec(record)
            .map_err(|error| RunnerError::io("the journal")(error.into()))?;
        bytes.push(b'\n');
        self.file
            .write_all(&bytes)
            .map_err(RunnerError::io("the journal"))
    }

    /// Brings all lines to the disk.
    pub(crate) fn sync(&self) {
        let _ = self.file.sync_data();
    }
}

pub(crate) fn encode(state: &[u8]) -> String {
    STANDARD.encode(state)
}

/// Reads a journal. A last line that was cut off is passed over: what it was to tell had not happened yet, or is
/// done again by the rules for interrupted steps.
pub(crate) fn read(path: &Path) -> Result<History, RunnerError> {
    let text = std::fs::read_to_string(path).map_err(RunnerError::io(failed(path)))?;
    let mut history: Option<History> = None;
    let mut whole = 0;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for (index, line) in lines.iter().enumerate() {
        let record: Record = match serde_json::from_str(line) {
            Ok(record) => record,
            Err(_) if index + 1 == lines.len() && !line.ends_with('\n') => break,
            Err(error) => {
                return Err(RunnerError::Invalid(format!(
                    "{}:{}: the line is damaged: {error}",
                    path.display(),
                    index + 1
                )));
            }
        };
        match (record, &mut history) {
            (Record::Started { request, at }, None) => {
                history = Some(History {
                    request: *request,
                    started: at,
                    finished: Vec::new(),
                    attempts: 0,
                    waiting: None,
                    resumes: 0,
                    status: None,
                    whole: 0,
                });
            }
            (Record::Resumed { .. }, Some(history)) => history.resumes += 1,
            (Record::StepStarted { attempt, .. }, Some(history)) => {
                history.attempts = attempt;
                history.waiting = None;
            }
            (
                Record::StepSuspended {
                    step,
                    input,
                    state,
                    wake,
                    reason,
                    result,
                },
                Some(history),
            ) => {
                let state = STANDARD.decode(&state).map_err(|error| {
                    RunnerError::Invalid(format!(
                        "{}:{}: the state is damaged: {error}",
                        path.display(),
                        index + 1
                    ))
                })?;
                history.waiting = Some(Waiting {
                    step,
                    input,
                    state,
                    wake,
                    reason,
                    result: *result,
                });
            }
            (Record::StepFinished { result, .. }, Some(history)) => {
                history.finished.push(*result);
                history.attempts = 0;
                history.waiting = None;
            }
            (Record::Finished { status }, Some(history)) => history.status = Some(status),
            _ => {
                return Err(RunnerError::Invalid(format!(
                    "{}:{}: the line is out of order",
                    path.display(),
                    index + 1
                )));
            }
        }
        whole += line.len() as u64;
    }
    history
        .map(|history| History { whole, ..history })
        .ok_or_else(|| {
            RunnerError::io(failed(path))(io::Error::new(
                io::ErrorKind::InvalidData,
                "it is empty: the run was never accepted",
            ))
        })
}
