//! Running one step: from its resolved inputs to its result.

mod attempt;
pub(crate) mod inventory;
mod outcome;

use std::sync::Arc;
use std::time::Instant;

use capstan_document::{ResolvedStep, output_folders};
use capstan_inventory::Types;
use capstan_policy::Subject;
use capstan_runtime::worker::ensure_compiled;
use capstan_runtime::{Call, CompileCache, Event, EventSink, OutputStream, Wake};
use serde::{Deserialize, Serialize};

use crate::data_lock;
use crate::error::RunnerError;
use crate::events::Events;
use crate::flow::{EXIT_FAILURE, EXIT_SUCCESS, Next, after};
use crate::output::{StepOutput, combined};
use crate::plan::{Prepared, Will, prepare, subject};
use crate::result::{StepResult, StepStatus};
use crate::session::Session;
pub use outcome::{Judgement, Verdict, judge};

/// The state of a step whose nested document asked for a restart. A component that returns it as its own is run
/// again from its start, which it could have itself.
pub(crate) const NESTED_RESTART: &[u8] = b"capstan: restart of a nested document";

/// What the sets of inputs before the present one came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Before {
    pub(crate) status: StepStatus,
    pub(crate) detail: String,
    pub(crate) exit_code: i32,
}

impl Default for Before {
    fn default() -> Self {
        Self {
            status: StepStatus::Skipped,
            detail: "Skipped".into(),
            exit_code: 0,
        }
    }
}

/// The end of a wait.
pub(crate) struct Resumed {
    pub(crate) input: usize,
    pub(crate) before: Before,
    pub(crate) state: Vec<u8>,
    pub(crate) event: Event,
}

/// A wait that a step asked for.
#[derive(Debug)]
pub(crate) struct Suspension {
    pub(crate) input: usize,
    pub(crate) before: Before,
    pub(crate) state: Vec<u8>,
    pub(crate) wake: Wake,
    pub(crate) reason: String,
}

/// A step that is run, across its waits.
pub(crate) struct StepRun<'a> {
    pub(crate) session: &'a Arc<Session>,
    pub(crate) schema_version: &'a str,
    pub(crate) step: &'a ResolvedStep,
    pub(crate) document: &'a Subject,
    pub(crate) index: usize,
    pub(crate) depth: usize,
    /// Where the step is in the run: its index, and for a step of a nested document what leads to that, too.
    pub(crate) path: Vec<usize>,
    pub(crate) result: StepResult,
    /// Who published the action, once that is known.
    publisher: Option<String>,
    events: Events,
}

impl<'a> StepRun<'a> {
    /// `parent` takes what a step of a nested document tells, which is `depth` documents deep.
    pub(crate) fn new(
        session: &'a Arc<Session>,
        schema_version: &'a str,
        step: &'a ResolvedStep,
        document: &'a Subject,
        index: usize,
        (depth, parent): (usize, Option<EventSink>),
    ) -> Self {
        let folders = output_folders(&step.action, &step.name);
        let output = StepOutput::new(session.folder.clone(), folders);
        Self {
            session,
            schema_version,
            step,
            document,
            index,
            depth,
            path: vec![index],
            result: StepResult {
                name: step.name.clone(),
                action: step.action.clone(),
                started_at: session.now(),
                ..StepResult::default()
            },
            publisher: None,
            events: Events::new(session, output, index, parent),
        }
    }

    /// Goes on with a result and an output from before a wait.
    pub(crate) fn take_up(&mut self, result: StepResult) {
        self.result = result;
        self.events.output().take_up();
    }

    /// Looks whether the step runs at all. None when it does; else its result is set.
    pub(crate) fn prepare(&mut self) -> Result<Option<Prepared<'a>>, RunnerError> {
        let subject = subject(self.document, self.step);
        let directories = self.session.directories(self.step);
        let prepared = prepare(
            &self.session.runner,
            self.schema_version,
            self.step,
            &subject,
            &directories,
        )?;
        self.publisher.clone_from(&prepared.publisher);
        match &prepared.will {
            Will::Run => return Ok(Some(prepared)),
            Will::Skip(why) => self.end(StepStatus::Skipped, "Skipped", 0, why),
            Will::Fail(why) => self.end(StepStatus::Failed, "Failed", 1, why),
            Will::Denied(why) => {
                self.end(StepStatus::Failed, "AccessDenied", 1, why);
                self.receipt(None, &prepared.together());
            }
        }
        Ok(None)
    }

    pub(crate) fn end(&mut self, status: StepStatus, detail: &str, exit_code: i32, message: &str) {
        self.result.status = status;
        self.result.status_detail = detail.to_owned();
        self.result.exit_code = exit_code;
        self.result.message = message.to_owned();
        if !message.is_empty() {
            let stream = if status == StepStatus::Skipped {
                OutputStream::Stdout
            } else {
                OutputStream::Stderr
            };
            self.events.print(stream, message);
        }
    }

    /// Sets a result without running anything.
    pub(crate) fn cancel(&mut self) {
        self.result.status = StepStatus::Cancelled;
        self.result.status_detail = "Cancelled".into();
        self.result.exit_code = 137;
    }

    /// Runs the sets of inputs, all of them or from the one that waited.
    pub(crate) async fn run(
        &mut self,
        prepared: &Prepared<'_>,
        resumed: Option<Resumed>,
    ) -> Result<Option<Suspension>, RunnerError> {
        let Some(action) = prepared.action else {
            return Ok(None);
        };
        let info = action.info()?;
        self.result.component_digest.clone_from(&info.digest);
        let cache = CompileCache::open(self.session.runner.state.cache())?;
        let compiled = ensure_compiled(
            &cache,
            &self.session.runner.program,
            &info.digest,
            action.wasm()?,
        );
        tokio::select! {
            biased;
            compiled = compiled => if let Err(error) = compiled {
                self.end(StepStatus::Failed, "LoadFailed", 1, &error.to_string());
                return Ok(None);
            },
            () = self.stopped() => {
                self.cancel();
                return Ok(None);
            }
        }
        // A step that is killed while it waits lets go of the file it waits for as soon as it gets it.
        let _lock = if info.manifest.keeps_data() {
            tokio::select! {
                biased;
                lock = data_lock::lock(self.session, &self.step.action, self.index) => lock?,
                () = self.stopped() => {
                    self.session.held_locks().remove(&self.step.action);
                    self.cancel();
                    return Ok(None);
                }
            }
        } else {
            None
        };
        let (from, mut before, mut call) = match resumed {
            // A step whose nested document asked for the restart is run again; that document goes on.
            Some(Resumed {
                input,
                before,
                state,
                ..
            }) if state == NESTED_RESTART => (input, before, None),
            Some(Resumed {
                input,
                before,
                state,
                event,
            }) => (input, before, Some(Call::Resume { state, event })),
            None => (0, Before::default(), None),
        };
        let (started, earlier) = (Instant::now(), self.result.wall_millis);
        for (input, (inputs, decision)) in self
            .step
            .inputs
            .iter()
            .zip(&prepared.decisions)
            .enumerate()
            .skip(from)
        {
            let collects = info.manifest.collects(&self.step.action);
            let call = call.take().unwrap_or_else(|| match collects {
                true => Call::Collect {
                    settings: inputs.clone(),
                },
                false => Call::Start {
                    inputs: inputs.clone(),
                },
            });
            let mut report = self
                .attempt(
                    call,
                    &info.digest,
                    &info.manifest.capabilities.programs,
                    decision,
                    input,
                )
                .await;
            if collects && let Ok(report) = &mut report {
                let types = match action.built_in {
                    true => Types::All,
                    false => Types::Custom,
                };
                inventory::settle(report, types, self.session.runner.clock.now());
            }
            self.result.wall_millis = earlier + started.elapsed().as_secs_f64() * 1000.0;
            let suspended = self.take(report, decision, input, &before);
            if suspended.is_some() {
                return Ok(suspended);
            }
            let result = &self.result;
            if self.session.control.is_killed()
                || (self.session.control.is_cancelled() && !self.is_final())
                || result.status_detail == "AccessDenied"
                || matches!(result.exit_code, EXIT_SUCCESS | EXIT_FAILURE)
            {
                break;
            }
            before = Before {
                status: result.status,
                detail: result.status_detail.clone(),
                exit_code: result.exit_code,
            };
        }
        Ok(None)
    }

    /// Returns once the step has to end early.
    pub(crate) async fn stopped(&self) {
        if self.is_final() {
            self.session.control.killed().await;
        } else {
            self.session.control.cancelled().await;
        }
    }

    /// The last step with `finallyStep` is not stopped by a first cancellation.
    pub(crate) fn is_final(&self) -> bool {
        self.step.flow.finally_step
    }

    /// Completes the result, with the flow of the step applied.
    pub(crate) fn finish(&mut self) -> Next {
        // A policy's refusal stays one, and stops the document, whatever its author wrote: what comes after would
        // run on a state that nobody planned.
        let denied = self.result.status_detail == "AccessDenied";
        let written = (self.result.status, self.result.exit_code);
        let (status, code, mut next) = after(written.0, written.1, self.step.flow);
        if denied {
            next = Next::Stop;
        } else if (status, code) != written {
            self.result.exit_code = code;
            self.result.status = status;
            if status == StepStatus::Success {
                self.result.status_detail = "Success".into();
            }
        }
        if written == (StepStatus::Failed, EXIT_SUCCESS) {
            self.events.output().forget_stderr();
        }
        if next == Next::Stop && status == StepStatus::Success && code == EXIT_SUCCESS {
            self.events.print(
                OutputStream::Stdout,
                "the step ends the document with success; the steps after it are not run",
            );
        } else if written == (StepStatus::Failed, EXIT_FAILURE) {
            for stream in [OutputStream::Stdout, OutputStream::Stderr] {
                self.events.print(
                    stream,
                    "the step ends the document with a failure; the steps after it are not run",
                );
            }
        }
        let output = self.events.output();
        let (stdout, stderr) = output.texts();
        output.finish();
        let [stdout_path, stderr_path] = output.paths();
        drop(output);
        self.result.stdout_path = stdout_path;
        self.result.stderr_path = stderr_path;
        self.result.output = combined(&stdout, &stderr);
        self.result.stdout = stdout;
        self.result.stderr = stderr;
        self.result.ended_at = self.session.now();
        next
    }

    /// Sets a result for a step that the steps before it left out.
    pub(crate) fn skip(&mut self) {
        self.end(
            StepStatus::Skipped,
            "Skipped",
            0,
            "an earlier step ended the document; this one is not run",
        );
    }
}
