//! What a journal tells the process that goes on with the run.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use capstan_runtime::{DocumentRequest, Event, Wake};

use super::{Record, Stored, failed};
use crate::error::RunnerError;
use crate::result::{RunStatus, StepResult};
use crate::run::RunRequest;
use crate::step::{Before, NESTED_RESTART};

/// A nested document that had begun when the journal ended.
#[derive(Debug, Clone)]
pub(crate) struct NestedHistory {
    pub(crate) document: DocumentRequest,
    pub(crate) stored: Stored,
    /// Results of its steps that are over, by index, and whether the outer step's output still has what they printed.
    pub(crate) finished: BTreeMap<usize, (StepResult, bool)>,
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

impl History {
    /// Of a run that was accepted.
    fn new(request: RunRequest, stored: Option<Stored>, started: String) -> Self {
        Self {
            request,
            stored,
            started,
            nested: BTreeMap::new(),
            finished: Vec::new(),
            attempts: 0,
            waiting: None,
            resumes: 0,
            restarts: 0,
            cancelled: false,
            status: None,
            whole: 0,
        }
    }

    /// Goes on by one line. A line that cannot follow is refused, with the reason.
    fn follow(&mut self, record: Record) -> Result<(), String> {
        match record {
            Record::Resumed { .. } => self.resumes += 1,
            Record::Cancelled { .. } => self.cancelled = true,
            Record::StepStarted { attempt, .. } => {
                self.attempts = attempt;
                self.waiting = None;
            }
            Record::StepResumed { step, attempt, by } => match &mut self.waiting {
                Some(waiting) if waiting.step == step => {
                    self.attempts = attempt;
                    waiting.event = Some(by);
                }
                _ => return Err(OUT_OF_ORDER.into()),
            },
            Record::StepSuspended {
                step,
                input,
                before,
                state,
                wake,
                reason,
                result,
            } => {
                let state = STANDARD
                    .decode(&state)
                    .map_err(|error| format!("the state is damaged: {error}"))?;
                self.suspend(Waiting {
                    step,
                    input,
                    before,
                    state,
                    wake,
                    reason,
                    result: *result,
                    event: None,
                });
            }
            Record::NestedStarted {
                path,
                document,
                stored,
            } => {
                // What was below a document of that place belongs to one that was given up.
                self.nested.retain(|other, _| !other.starts_with(&path));
                let nested = NestedHistory {
                    document: *document,
                    stored,
                    finished: BTreeMap::new(),
                };
                self.nested.insert(path, nested);
            }
            Record::NestedFinished { path, result } => {
                let (Some((index, outer)), true) = (path.split_last(), path.len() > 1) else {
                    return Err(OUT_OF_ORDER.into());
                };
                let nested = self.nested.get_mut(outer).ok_or(OUT_OF_ORDER)?;
                nested.finished.insert(*index, (*result, false));
                self.resumes = 0;
            }
            Record::StepFinished { step, result } if step == self.finished.len() => {
                self.finished.push(*result);
                self.nested.clear();
                self.attempts = 0;
                self.waiting = None;
                self.resumes = 0;
            }
            Record::Finished { status } => self.status = Some(status),
            Record::Started { .. } | Record::StepFinished { .. } => {
                return Err(OUT_OF_ORDER.into());
            }
        }
        Ok(())
    }

    fn suspend(&mut self, waiting: Waiting) {
        if waiting.wake == Wake::Reboot {
            self.restarts += 1;
        }
        if waiting.state == NESTED_RESTART {
            for nested in self.nested.values_mut() {
                nested
                    .finished
                    .values_mut()
                    .for_each(|(_, told)| *told = true);
            }
        } else {
            // The component goes on itself, and what it runs from now on are other documents.
            self.nested.clear();
        }
        self.waiting = Some(waiting);
        self.resumes = 0;
    }
}

const OUT_OF_ORDER: &str = "the line is out of order";

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
        let refused =
            |why: String| RunnerError::Invalid(format!("{}:{}: {why}", path.display(), index + 1));
        let record = serde_json::from_slice(line)
            .map_err(|error| refused(format!("the line is damaged: {error}")))?;
        match (&mut history, record) {
            (Some(history), record) => history.follow(record).map_err(refused)?,
            (
                None,
                Record::Started {
                    request,
                    stored,
                    at,
                },
            ) => history = Some(History::new(*request, stored, at)),
            (None, _) => return Err(refused(OUT_OF_ORDER.into())),
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
