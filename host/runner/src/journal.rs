//! The journal of a run: what is needed to go on after the process has died at any point.
//!
//! A line is written before a step begins and after it ended, and before a wait. A write that the kernel took
//! survives the death of the process; it is also brought to the disk before a wait, before a restart and at the
//! end of the run, where a loss of power would matter.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
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
use crate::step::{Before, NESTED_RESTART};

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

/// A nested document that had begun when the journal ended.
#[derive(Debug, Clone)]
pub(crate) struct NestedHistory {
    pub(crate) document: DocumentRequest,
    pub(crate) stored: Stored,
    /// Results of its steps that are over, by index, and whether the outer step's output still has what they printed.
    pub(crate) finished: BTreeMap<usize, (StepResult, bool)>,
}

/// An open journal. Only one process has it.
#[derive(Debug)]
pub(crate) struct Journal {
    file: Mutex<File>,
}

/// A step that waited, or had just been woken, when the journal ended.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) step: usize,
    pub(crate) input: usize,
    pub(crate) before: Before,
    pub(crate) state: Vec<u8>,
    pub(crate) wake: Wake,
    pub(crate) reason: String,
    pub(crate) result: StepResult,
    /// What woke it: it is woken by that again, not left to wait for what came already.
    pub(crate) event: Option<Event>,
}

/// What a journal tells.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) request: RunRequest,
    /// None in the journals of earlier versions.
    pub(crate) stored: Option<Stored>,
    pub(crate) started: String,
    /// Documents that the step after the finished ones had begun, by path.
    pub(crate) nested: BTreeMap<Vec<usize>, NestedHistory>,
    /// Results of the steps that are over, from the first.
    pub(crate) finished: Vec<StepResult>,
    /// The step after them: how often it began.
    pub(crate) attempts: u32,
    pub(crate) waiting: Option<Waiting>,
    /// How often it was taken up since it last got anywhere.
    pub(crate) resumes: u32,
    /// How often it asked for a restart of the machine.
    pub(crate) restarts: u32,
    pub(crate) cancelled: bool,
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

/// Reads a journal. A last line without its end is passed over: what it was to tell had not happened yet, or is
/// done again by the rules for interrupted steps. Only the end tells that a line is whole; what is before it may
/// be cut off anywhere, in the middle of a character, or just where the text already makes sense.
pub(crate) fn read(path: &Path) -> Result<History, RunnerError> {
    let bytes = std::fs::read(path).map_err(RunnerError::io(failed(path)))?;
    let mut history: Option<History> = None;
    let mut whole = 0;
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if !line.ends_with(b"\n") {
            break;
        }
        let record: Record = serde_json::from_slice(line).map_err(|error| {
            RunnerError::Invalid(format!(
                "{}:{}: the line is damaged: {error}",
                path.display(),
                index + 1
            ))
        })?;
        match (record, &mut history) {
            (
                Record::Started {
                    request,
                    stored,
                    at,
                },
                None,
            ) => {
                history = Some(History {
                    request: *request,
                    stored,
                    started: at,
                    nested: BTreeMap::new(),
                    finished: Vec::new(),
                    attempts: 0,
                    waiting: None,
                    resumes: 0,
                    restarts: 0,
                    cancelled: false,
                    status: None,
                    whole: 0,
                });
            }
            (Record::Resumed { .. }, Some(history)) => history.resumes += 1,
            (Record::Cancelled { .. }, Some(history)) => history.cancelled = true,
            (Record::StepStarted { attempt, .. }, Some(history)) => {
                history.attempts = attempt;
                history.waiting = None;
            }
            (
                Record::StepResumed { step, attempt, by },
                Some(History {
                    waiting: Some(waiting),
                    attempts,
                    ..
                }),
            ) if step == waiting.step => {
                *attempts = attempt;
                waiting.event = Some(by);
            }
            (
                Record::StepSuspended {
                    step,
                    input,
                    before,
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
                if wake == Wake::Reboot {
                    history.restarts += 1;
                }
                if state == NESTED_RESTART {
                    for nested in history.nested.values_mut() {
                        nested
                            .finished
                            .values_mut()
                            .for_each(|(_, told)| *told = true);
                    }
                } else {
                    // The component goes on itself, and what it runs from now on are other documents.
                    history.nested.clear();
                }
                history.waiting = Some(Waiting {
                    step,
                    input,
                    before,
                    state,
                    wake,
                    reason,
                    result: *result,
                    event: None,
                });
                history.resumes = 0;
            }
            (
                Record::NestedStarted {
                    path,
                    document,
                    stored,
                },
                Some(history),
            ) => {
                // What was below a document of that place belongs to one that was given up.
                history.nested.retain(|other, _| !other.starts_with(&path));
                let nested = NestedHistory {
                    document: *document,
                    stored,
                    finished: BTreeMap::new(),
                };
                history.nested.insert(path, nested);
            }
            (Record::NestedFinished { mut path, result }, Some(history))
                if path.len() > 1 && history.nested.contains_key(&path[..path.len() - 1]) =>
            {
                let index = path.pop().unwrap_or_default();
                if let Some(nested) = history.nested.get_mut(&path) {
                    nested.finished.insert(index, (*result, false));
                }
                history.resumes = 0;
            }
            (Record::StepFinished { step, result }, Some(history))
                if step == history.finished.len() =>
            {
                history.finished.push(*result);
                history.nested.clear();
                history.attempts = 0;
                history.waiting = None;
                history.resumes = 0;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::unwrap_in_result, reason = "tests")]

    use std::path::PathBuf;

    use capstan_document::StoredParameter;
    use capstan_runtime::{DocumentRequest, Event, Wake};

    use super::{Journal, Record, encode, read};
    use crate::result::{StepResult, StepStatus};
    use crate::run::RunRequest;
    use crate::step::{Before, NESTED_RESTART};
    use crate::testing::Folder;

    fn records() -> Vec<Record> {
        let request = RunRequest {
            document: "d".into(),
            source: "text with é".into(),
            origin: "d.yaml".into(),
            arguments: Default::default(),
            run_id: Some("r".into()),
        };
        let result = |status| {
            Box::new(StepResult {
                status,
                ..StepResult::default()
            })
        };
        vec![
            Record::Started {
                request: Box::new(request),
                stored: Some([("/a".to_owned(), StoredParameter::String("A".into()))].into()),
                at: "then".into(),
            },
            Record::StepStarted {
                step: 0,
                attempt: 1,
            },
            Record::StepFinished {
                step: 0,
                result: result(StepStatus::Success),
            },
            Record::StepStarted {
                step: 1,
                attempt: 1,
            },
            Record::StepSuspended {
                step: 1,
                input: 2,
                before: Before {
                    status: StepStatus::Failed,
                    detail: "Failed".into(),
                    exit_code: 7,
                },
                state: encode(&[0, 255]),
                wake: Wake::Either(5, vec!["go".into()]),
                reason: "waits for é".into(),
                result: result(StepStatus::InProgress),
            },
            Record::StepResumed {
                step: 1,
                attempt: 1,
                by: Event::Signal {
                    name: "go".into(),
                    payload: None,
                },
            },
            Record::Cancelled { at: "then".into() },
        ]
    }

    fn written(folder: &Folder, records: &[Record]) -> PathBuf {
        let path = folder.path().join("run/journal.jsonl");
        let journal = Journal::open(&path, true).unwrap();
        for record in records {
            journal.add(record).unwrap();
        }
        path
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = Folder::new();
        let history = read(&written(&folder, &records())).unwrap();
        assert_eq!(
            (history.finished.len(), history.attempts, history.resumes),
            (1, 1, 0)
        );
        let stored = history.stored.unwrap();
        assert_eq!(stored["/a"], StoredParameter::String("A".into()));
        let waiting = history.waiting.unwrap();
        assert_eq!(
            (waiting.step, waiting.input, waiting.before.exit_code),
            (1, 2, 7)
        );
        assert_eq!(
            (waiting.state, waiting.wake),
            (vec![0, 255], Wake::Either(5, vec!["go".into()]))
        );
    }

    #[test]
    fn a_journal_cut_off_at_any_byte_is_taken_up_and_written_on() {
        let folder = Folder::new();
        let path = written(&folder, &records());
        let bytes = std::fs::read(&path).unwrap();
        let ends: Vec<usize> = bytes
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'\n')
            .map(|(at, _)| at + 1)
            .collect();
        for length in ends[0]..=bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let history = read(&path).unwrap();
            let lines = ends.iter().filter(|end| **end <= length).count();
            assert_eq!(history.whole as usize, ends[lines - 1], "cut at {length}");
            assert_eq!(
                (history.attempts, history.finished.len()),
                [(0, 0), (1, 0), (0, 1), (1, 1), (1, 1), (1, 1), (1, 1)][lines - 1]
            );
            assert_eq!(history.waiting.is_some(), lines >= 5);
            let woken = history
                .waiting
                .is_some_and(|waiting| waiting.event.is_some());
            assert_eq!(woken, lines >= 6);
            assert_eq!(history.cancelled, lines >= 7);
            let journal = Journal::open(&path, false).unwrap();
            journal.cut(history.whole).unwrap();
            journal.add(&Record::Resumed { at: "now".into() }).unwrap();
            drop(journal);
            assert_eq!(read(&path).unwrap().resumes, 1, "cut at {length}");
        }
        // Without its first line there never was a run.
        std::fs::write(&path, &bytes[..ends[0] - 1]).unwrap();
        assert!(read(&path).is_err());
    }

    #[test]
    fn nested_documents_are_remembered_until_their_step_is_over() {
        let folder = Folder::new();
        let mut lines = records();
        lines.truncate(4);
        let document = DocumentRequest {
            name: "inner".into(),
            content: "text".into(),
            parameters: "{}".into(),
        };
        let result = || Box::new(StepResult::default());
        let began = |path: &[usize]| Record::NestedStarted {
            path: path.into(),
            document: Box::new(document.clone()),
            stored: Default::default(),
        };
        let ended = |path: &[usize]| Record::NestedFinished {
            path: path.into(),
            result: result(),
        };
        lines.extend([
            began(&[1, 0, 0]),
            ended(&[1, 0, 0, 0]),
            Record::StepSuspended {
                step: 1,
                input: 0,
                before: Before::default(),
                state: encode(NESTED_RESTART),
                wake: Wake::Reboot,
                reason: String::new(),
                result: result(),
            },
            ended(&[1, 0, 0, 1]),
            began(&[1, 0, 0, 2, 0, 0]),
        ]);
        let history = read(&written(&folder, &lines)).unwrap();
        assert_eq!((history.restarts, history.nested.len()), (1, 2));
        let told: Vec<bool> = history.nested[&vec![1, 0, 0]]
            .finished
            .values()
            .map(|(_, told)| *told)
            .collect();
        assert_eq!(told, [true, false]);
        let over = Record::StepFinished {
            step: 1,
            result: result(),
        };
        let waits = Record::StepSuspended {
            step: 1,
            input: 0,
            before: Before::default(),
            state: encode(b"its own"),
            wake: Wake::At(5),
            reason: String::new(),
            result: result(),
        };
        for end in [over, waits] {
            lines.push(end);
            let folder = Folder::new();
            let history = read(&written(&folder, &lines)).unwrap();
            assert!(history.nested.is_empty());
            lines.pop();
        }
        // A step of a document that never began.
        lines.push(ended(&[2, 0, 0, 0]));
        let folder = Folder::new();
        assert!(read(&written(&folder, &lines)).is_err());
    }

    #[test]
    fn a_damaged_line_is_named() {
        let folder = Folder::new();
        let path = written(&folder, &records());
        let text = std::fs::read_to_string(&path).unwrap().replacen(
            "\"event\":\"stepStarted\"",
            "\"event\":\"x\"",
            1,
        );
        std::fs::write(&path, text).unwrap();
        assert!(
            read(&path)
                .unwrap_err()
                .to_string()
                .contains("journal.jsonl:2:")
        );
        // A result that is missing would shift those after it.
        let folder = Folder::new();
        let mut gap = records();
        gap.truncate(3);
        gap.push(Record::StepFinished {
            step: 2,
            result: Box::default(),
        });
        assert!(
            read(&written(&folder, &gap))
                .unwrap_err()
                .to_string()
                .contains("out of order")
        );
    }

    #[test]
    fn only_one_process_has_a_run() {
        let folder = Folder::new();
        let path = written(&folder, &records());
        let held = Journal::open(&path, false).unwrap();
        assert!(
            Journal::open(&path, false)
                .unwrap_err()
                .to_string()
                .contains("another process")
        );
        drop(held);
        Journal::open(&path, false).unwrap();
    }
}
