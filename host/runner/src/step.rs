//! Running one step: from its resolved inputs to its result.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use capstan_document::ResolvedStep;
use capstan_policy::{Decision, GrantCheck, Limits, Subject};
use capstan_runtime::worker::ensure_compiled;
use capstan_runtime::{
    Call, CompileCache, Event, EventSink, FailureKind, OutputStream, Status, StepContext,
    StepOutcome, StepReport, StepRequest, StopReason, Usage, Wake,
};
use capstan_sandbox::find_user;
use serde::{Deserialize, Serialize};

use crate::clock::unix_millis;
use crate::data_lock;
use crate::error::RunnerError;
use crate::events::Events;
use crate::flow::{EXIT_FAILURE, EXIT_SUCCESS, Next, after, merge, of_exit_code};
use crate::output::{StepOutput, combined};
use crate::plan::{Prepared, Will, prepare, subject};
use crate::receipts::{self, Attempt};
use crate::result::{StepResult, StepStatus};
use crate::run_as::open_folders;
use crate::session::{Session, StepRights, Used};
use crate::state::folder_name;

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
        let folders = [folder_name(&step.action), step.name.clone()];
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
            action.wasm(),
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
            let call = call.take().unwrap_or_else(|| Call::Start {
                inputs: inputs.clone(),
            });
            let report = self
                .attempt(
                    call,
                    &info.digest,
                    &info.manifest.capabilities.programs,
                    decision,
                    input,
                )
                .await;
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

    async fn attempt(
        &self,
        call: Call,
        digest: &str,
        programs: &BTreeMap<String, capstan_policy::ProgramRequest>,
        decision: &Decision,
        input: usize,
    ) -> Result<StepReport, RunnerError> {
        let session = self.session;
        let worker = session.worker().await?;
        let mut limits = decision.limits.clone();
        remaining(
            &mut limits,
            &session.runner.policy.run_limits(),
            session.used(),
        );
        let directories = session.directories(self.step);
        crate::state::make_private(&PathBuf::from(&directories.work))?;
        if let Err(error) = self.give_folders(&decision.children.run_as) {
            return Ok(stopped(StopReason::NotEnforceable, &error.to_string()));
        }
        let sink = self.events.sink();
        let (id, rights) = session.register(StepRights {
            component: GrantCheck::new(decision.component.clone()),
            children: GrantCheck::new(decision.children.clone()),
            subject: subject(self.document, self.step),
            events: Arc::clone(&sink),
            depth: self.depth,
            index: self.index,
            path: [self.path.as_slice(), &[input]].concat(),
            calls: std::sync::atomic::AtomicUsize::new(0),
            reboot: std::sync::atomic::AtomicBool::new(false),
        });
        let runner = &session.runner;
        let request = StepRequest {
            id,
            component: digest.to_owned(),
            programs: programs.clone(),
            call,
            context: StepContext {
                run_id: session.run_id.clone(),
                node_id: runner.node.id.clone(),
                document: self.document.document.clone(),
                step: self.step.name.clone(),
                action: self.step.action.clone(),
                attempt: self.result.attempt,
                platform: runner.node.platform.clone(),
                work_directory: directories.work,
                downloads_directory: directories.downloads,
                data_directory: directories.data,
                deadline_unix_millis: unix_millis(runner.clock.now())
                    .saturating_add(limits.wall_millis),
                environment: self.step.environment.clone(),
                region: runner.node.region.clone(),
            },
            component_grant: decision.component.clone(),
            children_grant: decision.children.clone(),
            limits,
            environment: self.environment(&decision.children),
        };
        let running = worker.run_step(request, sink);
        tokio::pin!(running);
        let mut told = false;
        let result = loop {
            tokio::select! {
                result = &mut running => break result,
                () = session.control.cancelled(), if !told && !self.is_final() => {
                    told = true;
                    worker.cancel(id);
                }
                () = session.control.killed() => {
                    worker.kill();
                    break running.await;
                }
            }
        };
        session.unregister(id);
        self.events.release();
        let mut report = match result {
            Ok(mut report) => {
                self.events.clean_report(&mut report);
                report
            }
            Err(error) => {
                session.drop_worker().await;
                let report = if session.control.is_killed() {
                    stopped(StopReason::Cancelled, "the run was ended at once")
                } else {
                    crashed(&error.to_string())
                };
                StepReport {
                    // Its programs ran so until then.
                    enforced: worker.enforced().clone(),
                    ..report
                }
            }
        };
        if rights.reboot.load(Ordering::SeqCst)
            && let StepOutcome::Done {
                status: Status::Success,
                ..
            } = report.outcome
        {
            report.outcome = StepOutcome::Suspended {
                state: NESTED_RESTART.to_vec(),
                wake: Wake::Reboot,
                reason: "a nested document asks for a restart".into(),
            };
        }
        Ok(report)
    }

    /// Gives the step's folders to the user that its programs run as.
    fn give_folders(&self, run_as: &capstan_policy::RunAs) -> Result<(), RunnerError> {
        let user = find_user(run_as).map_err(|error| RunnerError::Invalid(error.to_string()))?;
        match user {
            Some(user) if rustix::process::geteuid().is_root() => open_folders(
                &self.session.runner.state,
                &self.session.folder,
                &self.step.name,
                &user,
            ),
            _ => Ok(()),
        }
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

    /// What every program of the step finds in its environment, stronger than what the document adds.
    fn environment(&self, children: &capstan_policy::Grant) -> BTreeMap<String, String> {
        let runner = &self.session.runner;
        let mut env = BTreeMap::new();
        if !children.environment.is_empty() {
            let check = GrantCheck::new(children.clone());
            // Variables that are not text are not passed on; they must not end the supervisor either.
            env = std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .filter(|(name, _)| check.allows_environment(name))
                .collect();
        }
        let mut set = |name: &str, value: &str| env.insert(name.to_owned(), value.to_owned());
        if self.session.is_confined() {
            set(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            );
            set("HOME", &self.session.directories(self.step).work);
            set("TMPDIR", "/tmp");
        }
        set("SSM_COMMAND_ID", &self.session.run_id);
        set("AWS_SSM_INSTANCE_ID", &runner.node.id);
        set("AWS_SSM_REGION_NAME", &runner.node.region);
        set("AWS_SSM_PLATFORM_NAME", &runner.node.platform.name);
        set("AWS_SSM_PLATFORM_VERSION", &runner.node.platform.version);
        env
    }

    /// Takes a report into the result.
    fn take(
        &mut self,
        report: Result<StepReport, RunnerError>,
        decision: &Decision,
        input: usize,
        before: &Before,
    ) -> Option<Suspension> {
        let report = report.unwrap_or_else(|error| crashed(&error.to_string()));
        self.session.add_used(&report.usage);
        self.receipt(Some(&report), decision);
        let result = &mut self.result;
        result.fuel_used += report.usage.fuel;
        result.peak_memory_bytes = result.peak_memory_bytes.max(report.usage.peak_memory_bytes);
        result.child_peak_memory_bytes = result
            .child_peak_memory_bytes
            .max(report.usage.child_peak_memory_bytes);
        result.child_cpu_millis += report.usage.child_cpu_millis;
        result.denials.extend(report.denials);
        result.children.extend(report.children);
        result.hosts_contacted.extend(report.hosts_contacted);
        result.files_written.extend(report.files_written);
        result.enforced = report.enforced;
        match report.outcome {
            StepOutcome::Done {
                status,
                exit_code,
                outputs,
            } => {
                let status = match status {
                    Status::Success => StepStatus::Success,
                    Status::Failed => StepStatus::Failed,
                    Status::TimedOut => StepStatus::TimedOut,
                    Status::Cancelled => StepStatus::Cancelled,
                    Status::Skipped => StepStatus::Skipped,
                };
                let status = of_exit_code(status, exit_code, self.session.control.is_cancelled());
                result.outputs = outputs.or(result.outputs.take());
                let detail = match status {
                    StepStatus::TimedOut => "ExecutionTimedOut".into(),
                    status => format!("{status:?}"),
                };
                self.conclude(before, status, detail, exit_code);
                None
            }
            StepOutcome::Suspended {
                state,
                wake,
                reason,
            } => {
                result.status = if wake == Wake::Reboot {
                    StepStatus::SuccessAndReboot
                } else {
                    StepStatus::InProgress
                };
                result.status_detail = if wake == Wake::Reboot {
                    "SuccessAndReboot".into()
                } else {
                    "Waiting".into()
                };
                result.exit_code = if wake == Wake::Reboot { 194 } else { 0 };
                Some(Suspension {
                    input,
                    before: before.clone(),
                    state,
                    wake,
                    reason,
                })
            }
            StepOutcome::Failure { kind, message, .. } => {
                let (status, detail) = match kind {
                    FailureKind::TimedOut => (StepStatus::TimedOut, "ExecutionTimedOut"),
                    FailureKind::Cancelled => (StepStatus::Cancelled, "Cancelled"),
                    FailureKind::Denied => (StepStatus::Failed, "AccessDenied"),
                    FailureKind::InvalidInput => (StepStatus::Failed, "InvalidInput"),
                    FailureKind::Failed | FailureKind::Other => (StepStatus::Failed, "Failed"),
                };
                self.end(status, detail, 1, &message);
                self.conclude(before, status, detail.to_owned(), 1);
                None
            }
            StepOutcome::Stopped {
                reason,
                message,
                backtrace,
            } => {
                let status = match reason {
                    StopReason::ExecutionTimedOut => StepStatus::TimedOut,
                    StopReason::Cancelled => StepStatus::Cancelled,
                    _ => StepStatus::Failed,
                };
                self.result.backtrace = backtrace;
                let code = if status == StepStatus::Failed { 1 } else { 137 };
                let detail = format!("{reason:?}");
                self.end(status, &detail, code, &message);
                self.conclude(before, status, detail, code);
                None
            }
        }
    }

    /// Sums up a set of inputs with those before it: the worst wins, and the first code that is not 0.
    fn conclude(&mut self, before: &Before, status: StepStatus, detail: String, exit_code: i32) {
        let result = &mut self.result;
        result.status = merge(before.status, status);
        result.status_detail = if result.status == status {
            detail
        } else {
            before.detail.clone()
        };
        result.exit_code = if before.exit_code == 0 {
            exit_code
        } else {
            before.exit_code
        };
    }

    /// Writes down what the attempt did. A receipt that cannot be written is told with the result.
    fn receipt(&mut self, report: Option<&StepReport>, decision: &Decision) {
        let session = self.session;
        let state = &session.runner.state;
        let work = session.directories(self.step).work;
        let written = session
            .keep_grant(&decision.children, &work)
            .and_then(|grant| {
                let attempt = Attempt {
                    time: session.now(),
                    run_id: &session.run_id,
                    document: &self.document.document,
                    document_sha256: &self.document.document_sha256,
                    policy_sha256: &session.policy_sha256,
                    result: &self.result,
                    decision,
                    children_grant: grant,
                };
                receipts::append(
                    &state.receipts(),
                    &state.run_receipts(&session.run_id),
                    receipts::body(&attempt, report),
                )
            });
        if let Err(error) = written {
            self.result.message = error.to_string();
        }
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

/// Lowers a step's limits to what the run has left.
fn remaining(limits: &mut Limits, run: &Limits, used: Used) {
    let lower =
        |limit: &mut u64, whole: u64, used: u64| *limit = (*limit).min(whole.saturating_sub(used));
    lower(&mut limits.fuel, run.fuel, used.fuel);
    lower(&mut limits.wall_millis, run.wall_millis, used.wall_millis);
    lower(&mut limits.output_bytes, run.output_bytes, used.output);
    lower(
        &mut limits.child_cpu_millis,
        run.child_cpu_millis,
        used.child_cpu_millis,
    );
    lower(
        &mut limits.http_requests,
        run.http_requests,
        used.http_requests,
    );
    lower(&mut limits.http_bytes, run.http_bytes, used.http_bytes);
}

fn crashed(why: &str) -> StepReport {
    stopped(StopReason::WorkerCrashed, why)
}

fn stopped(reason: StopReason, why: &str) -> StepReport {
    StepReport {
        outcome: StepOutcome::Stopped {
            reason,
            message: why.to_owned(),
            backtrace: Vec::new(),
        },
        usage: Usage::default(),
        denials: Vec::new(),
        hosts_contacted: Default::default(),
        files_written: Default::default(),
        children: Vec::new(),
        enforced: Default::default(),
    }
}

#[cfg(test)]
mod tests {
    use capstan_policy::Limits;

    use super::{Used, remaining};

    #[test]
    fn a_step_gets_its_own_limit_or_what_the_run_has_left() {
        for (own, whole, used, expected) in [
            (100, u64::MAX, 100, 100),
            (100, 150, 0, 100),
            (100, 150, 100, 50),
            (100, 150, 200, 0),
        ] {
            let limits = |fuel| Limits {
                fuel,
                ..Limits::default()
            };
            let mut step = limits(own);
            let used = Used {
                fuel: used,
                ..Used::default()
            };
            remaining(&mut step, &limits(whole), used);
            assert_eq!(step.fuel, expected, "{own} of {whole}");
        }
    }
}
