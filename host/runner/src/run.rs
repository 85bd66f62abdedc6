//! Running a document, from its acceptance to its result.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use capstan_document::{Document, ResolvedDocument};
use capstan_policy::{Layer, Policy, Subject};
use capstan_runtime::{Event, Usage, Wake};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::actions::{ActionRegistry, own_program};
use crate::control::{Observer, RunControl};
use crate::documents::DocumentStore;
use crate::error::RunnerError;
use crate::flow::{Next, after_result, document_status};
use crate::journal::{self, History, Journal, Record, Stored, Waiting};
use crate::nested::Memory;
use crate::node::NodeInfo;
use crate::parameters::{self, ParameterSource, ParameterStore};
use crate::plan::{Plan, document_subject, plan};
use crate::result::{RunResult, RunStatus, StepResult, StepStatus};
use crate::session::Session;
use crate::state::StateFolder;
use crate::step::{Resumed, StepRun, Suspension};
use capstan_clock::{Clock, SystemClock, of_unix_millis};

/// How often a document may be run: SSM's limit for restarts, and for interruptions without getting on. After that
/// many something is wrong with it.
const MAX_RUNS: u32 = 15;

/// A document to run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRequest {
    /// Its name, for the policy and for people.
    pub document: String,
    /// Its text.
    pub source: String,
    /// Its name in messages.
    pub origin: String,
    /// The caller's parameters, in the API's form or as they are.
    pub arguments: BTreeMap<String, Value>,
    /// The id of the run; made if there is none.
    pub run_id: Option<String>,
}

/// Runs documents on this node.
#[derive(Debug)]
pub struct Runner {
    /// Where everything is kept.
    pub state: StateFolder,
    /// The actions that there are.
    pub actions: ActionRegistry,
    /// The documents that there are.
    pub documents: DocumentStore,
    /// The parameters that there are: of this machine, unless somebody else has them.
    pub parameters: Arc<dyn ParameterSource>,
    /// What is allowed.
    pub policy: Policy,
    /// This machine.
    pub node: NodeInfo,
    /// The program that workers are started from.
    pub program: PathBuf,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// A document that is ready.
struct Ready {
    /// What it was resolved with.
    stored: Stored,
    resolved: ResolvedDocument,
    subject: Subject,
}

impl Runner {
    /// With everything in its usual place.
    #[must_use]
    pub fn new(state: StateFolder, actions: ActionRegistry, policy: Policy) -> Self {
        // Root could change the modes of everybody's files, other users only those of their own.
        let policy = if rustix::process::geteuid().is_root() {
            policy
        } else {
            policy.accept_missing(Layer::FileMetadata)
        };
        Self {
            documents: DocumentStore::new(state.documents()),
            parameters: Arc::new(ParameterStore::new(state.parameters())),
            node: NodeInfo::detect(),
            program: own_program(),
            clock: Arc::new(SystemClock),
            state,
            actions,
            policy,
        }
    }

    /// `stored` are the values of Parameter Store that the run was accepted with: they neither change nor vanish
    /// while it is interrupted.
    async fn ready(
        &self,
        request: &RunRequest,
        stored: Option<Stored>,
    ) -> Result<Ready, RunnerError> {
        let document = Document::parse(&request.source, &request.origin)?;
        let bound = document.bind(&request.arguments)?;
        let stored = match stored {
            Some(stored) => stored,
            None => {
                let names = bound.parameter_store_references();
                parameters::resolve(&*self.parameters, &names).await?
            }
        };
        let resolved = bound.resolve(&stored)?;
        let subject = document_subject(
            self,
            &request.document,
            document.sha256(),
            &resolved.parameters,
            Vec::new(),
        );
        Ok(Ready {
            stored,
            resolved,
            subject,
        })
    }

    /// Says what would happen. Nothing does.
    ///
    /// # Errors
    /// When the document or its parameters are wrong.
    pub async fn plan(&self, request: &RunRequest) -> Result<Plan, RunnerError> {
        let ready = self.ready(request, None).await?;
        plan(self, &ready.subject, &ready.resolved)
    }

    /// Runs a document.
    ///
    /// # Errors
    /// What keeps it from being run; what happens within its steps is in the result.
    pub async fn run(
        self: &Arc<Self>,
        mut request: RunRequest,
        observer: Arc<dyn Observer>,
        control: RunControl,
    ) -> Result<RunResult, RunnerError> {
        let ready = self.ready(&request, None).await?;
        let run_id = match &request.run_id {
            Some(id) => check_id(id)?,
            None => new_id(self.clock.now()),
        };
        request.run_id = Some(run_id.clone());
        let path = self.state.journal(&run_id);
        if path.exists() {
            return Err(RunnerError::Invalid(format!(
                "there is a run {run_id} already; --resume goes on with it"
            )));
        }
        let session = Session::new(Arc::clone(self), &run_id, &ready.subject, observer, control)?;
        session.claim(&ready.resolved)?;
        let journal = Arc::new(Journal::open(&path, true)?);
        let memory = Memory::new(&journal, BTreeMap::new());
        let _ = session.memory.set(memory);
        let started = session.now();
        journal.add(&Record::Started {
            request: Box::new(request),
            stored: Some(ready.stored.clone()),
            at: started.clone(),
        })?;
        Progress {
            session,
            journal,
            ready: Arc::new(ready),
            results: Vec::new(),
            started,
        }
        .go(None, 0)
        .await
    }

    /// Goes on with a run that was interrupted, waits, or asked for a restart. Steps that are over are not run
    /// again; a step that was interrupted is run again from its beginning.
    ///
    /// # Errors
    /// When there is no such run, or another process has it.
    pub async fn resume(
        self: &Arc<Self>,
        run_id: &str,
        observer: Arc<dyn Observer>,
        control: RunControl,
    ) -> Result<RunResult, RunnerError> {
        let run_id = check_id(run_id)?;
        let path = self.state.journal(&run_id);
        if !path.is_file() {
            return Err(RunnerError::Invalid(format!(
                "there is no run {run_id} in {}",
                self.state.root().display()
            )));
        }
        let journal = Arc::new(Journal::open(&path, false)?);
        let history: History = journal::read(&path)?;
        journal.cut(history.whole)?;
        let ready = self.ready(&history.request, history.stored).await?;
        let session = Session::new(Arc::clone(self), &run_id, &ready.subject, observer, control)?;
        session.claim(&ready.resolved)?;
        let memory = Memory::new(&journal, history.nested);
        let _ = session.memory.set(memory);
        if history.cancelled {
            session.control.cancel();
        }
        let progress = Progress {
            session,
            journal,
            ready: Arc::new(ready),
            results: history.finished,
            started: history.started,
        };
        if let Some(status) = history.status {
            return Ok(progress.result(status));
        }
        for (count, what) in [
            (history.resumes, "was interrupted without getting on"),
            (history.restarts, "asked for a restart of the machine"),
        ] {
            if count >= MAX_RUNS {
                return Err(RunnerError::Invalid(format!(
                    "the run {run_id} {what} {count} times; it is not taken up again"
                )));
            }
        }
        progress.journal.add(&Record::Resumed {
            at: progress.session.now(),
        })?;
        progress.go(history.waiting, history.attempts).await
    }
}

/// A run id is a folder name.
pub(crate) fn check_id(id: &str) -> Result<String, RunnerError> {
    let good =
        (1..=64).contains(&id.len()) && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if good {
        Ok(id.to_owned())
    } else {
        Err(RunnerError::Invalid(format!(
            "`{id}` is no id of a run; ids are of letters, digits and `-`"
        )))
    }
}

/// A random UUID, as SSM's command ids are.
fn new_id(now: Timestamp) -> String {
    let mut bytes = [0_u8; 16];
    if rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).is_err() {
        let time = now.as_nanosecond().to_le_bytes();
        bytes.copy_from_slice(&time);
    }
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// A run on its way.
struct Progress {
    session: Arc<Session>,
    journal: Arc<Journal>,
    ready: Arc<Ready>,
    results: Vec<StepResult>,
    started: String,
}

impl Progress {
    async fn go(
        mut self,
        mut waiting: Option<Waiting>,
        mut attempts: u32,
    ) -> Result<RunResult, RunnerError> {
        let ready = Arc::clone(&self.ready);
        for result in &self.results {
            // What was used before a restart counts, as far as the results tell.
            self.session.add_used(&Usage {
                fuel: result.fuel_used,
                child_cpu_millis: result.child_cpu_millis,
                ..Usage::default()
            });
        }
        let names: Vec<String> = ready
            .resolved
            .steps
            .iter()
            .map(|step| step.name.clone())
            .collect();
        self.session
            .observer
            .run_started(&self.session.run_id, &ready.subject.document, &names);
        let session = Arc::clone(&self.session);
        let watch = self.note_cancellation();
        let mut stopped = replay(&ready, &self.results);
        let mut rebooting = false;
        for (index, step) in ready
            .resolved
            .steps
            .iter()
            .enumerate()
            .skip(self.results.len())
        {
            let mut run = StepRun::new(
                &session,
                &ready.resolved.schema_version,
                step,
                &ready.subject,
                index,
                (0, None),
            );
            run.result.attempt = attempts + 1;
            attempts = 0;
            let resumed = waiting.take().filter(|waiting| waiting.step == index);
            let control = &session.control;
            if stopped && !step.flow.finally_step {
                run.skip();
                run.finish();
            } else if control.is_killed() || (control.is_cancelled() && !step.flow.finally_step) {
                run.cancel();
                run.finish();
            } else {
                session
                    .observer
                    .step_started(index, &step.name, &step.action);
                if self.one(&mut run, index, resumed).await? {
                    rebooting = true;
                    self.results.push(run.result);
                    break;
                }
                let next = run.finish();
                stopped = stopped || next == Next::Stop;
            }
            let result = Box::new(run.result.clone());
            self.journal.add(&Record::StepFinished {
                step: index,
                result,
            })?;
            session.observer.step_finished(index, &run.result);
            self.results.push(run.result);
        }
        let mut status = document_status(self.results.iter().map(|result| result.status));
        if session.control.is_cancelled() && status != StepStatus::SuccessAndReboot {
            status = StepStatus::Cancelled;
        }
        watch.abort();
        if !rebooting {
            self.journal.add(&Record::Finished { status })?;
        }
        self.journal.sync();
        session.drop_worker().await;
        let result = self.result(status);
        session.observer.run_finished(&result);
        Ok(result)
    }

    /// Writes down at once that the operator cancels the run. A journal that cannot be written to is noticed by
    /// what is written next.
    fn note_cancellation(&self) -> tokio::task::AbortHandle {
        let (session, journal) = (Arc::downgrade(&self.session), Arc::clone(&self.journal));
        let control = self.session.control.clone();
        let known = control.is_cancelled();
        let note = async move {
            control.cancelled().await;
            if let (Some(session), false) = (session.upgrade(), known) {
                let _ = journal.add(&Record::Cancelled { at: session.now() });
            }
        };
        tokio::spawn(note).abort_handle()
    }

    /// Runs one step through its waits. True when the machine has to be restarted first.
    async fn one(
        &mut self,
        run: &mut StepRun<'_>,
        index: usize,
        resumed: Option<Waiting>,
    ) -> Result<bool, RunnerError> {
        let Some(prepared) = run.prepare()? else {
            return Ok(false);
        };
        let mut ended = None;
        if let Some(waiting) = resumed {
            let attempt = run.result.attempt;
            run.take_up(waiting.result);
            let suspension = Suspension {
                input: waiting.input,
                before: waiting.before,
                state: waiting.state,
                wake: waiting.wake,
                reason: waiting.reason,
            };
            let event = match waiting.event {
                // It was woken before the process died, and had not ended.
                Some(event) => {
                    run.result.attempt = attempt;
                    Some(event)
                }
                None => self.event(run, &suspension, true).await,
            };
            ended = self.woken(run, suspension, event)?;
            if ended.is_none() {
                run.cancel();
                return Ok(false);
            }
        } else {
            self.journal.add(&Record::StepStarted {
                step: index,
                attempt: run.result.attempt,
            })?;
        }
        loop {
            let Some(suspension) = run.run(&prepared, ended.take()).await? else {
                return Ok(false);
            };
            self.journal.add(&Record::StepSuspended {
                step: index,
                input: suspension.input,
                before: suspension.before.clone(),
                state: journal::encode(&suspension.state),
                wake: suspension.wake.clone(),
                reason: suspension.reason.clone(),
                result: Box::new(run.result.clone()),
            })?;
            self.journal.sync();
            if suspension.wake == Wake::Reboot {
                run.finish();
                self.session.observer.step_finished(index, &run.result);
                return Ok(true);
            }
            let event = self.event(run, &suspension, false).await;
            ended = self.woken(run, suspension, event)?;
            if ended.is_none() {
                run.cancel();
                return Ok(false);
            }
        }
    }

    /// Writes down what ended a wait; none when that was a cancellation.
    fn woken(
        &self,
        run: &StepRun<'_>,
        suspension: Suspension,
        event: Option<Event>,
    ) -> Result<Option<Resumed>, RunnerError> {
        let Some(event) = event else {
            return Ok(None);
        };
        self.journal.add(&Record::StepResumed {
            step: run.index,
            attempt: run.result.attempt,
            by: event.clone(),
        })?;
        Ok(Some(Resumed {
            input: suspension.input,
            before: suspension.before,
            state: suspension.state,
            event,
        }))
    }

    /// Waits for what a step waits for; none when the run is cancelled meanwhile.
    async fn event(
        &self,
        run: &StepRun<'_>,
        suspension: &Suspension,
        resumed: bool,
    ) -> Option<Event> {
        let session = &self.session;
        let (at, names) = match &suspension.wake {
            // Whoever resumes a run that asked for a restart says that it has taken place.
            Wake::Reboot => return resumed.then_some(Event::Rebooted),
            Wake::At(at) => (Some(*at), Vec::new()),
            Wake::Signal(names) => (None, names.clone()),
            Wake::Either(at, names) => (Some(*at), names.clone()),
        };
        session
            .observer
            .waiting(run.index, &run.step.name, &suspension.reason);
        let timer = async {
            match at {
                Some(at) => {
                    let clock = &session.runner.clock;
                    clock.sleep_until(of_unix_millis(at)).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = run.stopped() => None,
            (name, payload) = session.control.next_signal(&names) => Some(Event::Signal { name, payload }),
            () = timer => Some(Event::Timer),
        }
    }

    fn result(&self, status: RunStatus) -> RunResult {
        RunResult {
            run_id: self.session.run_id.clone(),
            document: self.ready.subject.document.clone(),
            status,
            steps: self.results.clone(),
            reboot_required: status == StepStatus::SuccessAndReboot,
            output_directory: self.session.folder.display().to_string(),
            started_at: self.started.clone(),
            ended_at: self.session.now(),
        }
    }
}

/// Whether the steps that are over ended the document.
fn replay(ready: &Ready, results: &[StepResult]) -> bool {
    results
        .iter()
        .zip(&ready.resolved.steps)
        .any(|(result, step)| after_result(result, step.flow) == Next::Stop)
}
