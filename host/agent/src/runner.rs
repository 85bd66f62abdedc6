//! Running commands with this machine's runner.

use std::sync::Arc;

use async_trait::async_trait;
use capstan_document::Document;
use capstan_policy::Outputs;
use capstan_runner::{
    Observer, RunControl, RunRequest, RunResult, Runner, RunnerError, StateFolder, StepResult,
    StepStatus,
};
use capstan_runtime::OutputStream;

use crate::api::Api;
use crate::executor::{Control, Executor, Outcome, Report, Status, StepReport};
use crate::message::Command;
use crate::outputs::{Kept, Places};
use crate::parameters::ApiParameters;
use crate::progress::Progress;

/// Makes a runner for one command: with the policy and the plugins as they are then. An error is what is told of the
/// command.
pub type MakeRunner = dyn Fn() -> Result<Runner, String> + Send + Sync;

/// Runs commands under the node's own policy; nothing that a command brings widens it.
pub struct RunnerExecutor {
    state: StateFolder,
    api: Arc<Api>,
    region: String,
    make: Box<MakeRunner>,
}

impl std::fmt::Debug for RunnerExecutor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunnerExecutor")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl RunnerExecutor {
    /// Runs are kept in `state`, which is also that of the runners that `make` makes.
    #[must_use]
    pub fn new(state: StateFolder, api: Arc<Api>, region: String, make: Box<MakeRunner>) -> Self {
        Self {
            state,
            api,
            region,
            make,
        }
    }

    async fn try_run(
        &self,
        command: &Command,
        progress: Arc<Progress>,
        control: &Control,
    ) -> Result<Ran, String> {
        let mut runner = (self.make)()?;
        self.api.node_id().clone_into(&mut runner.node.id);
        runner.node.region.clone_from(&self.region);
        runner.parameters = Arc::new(ApiParameters::new(Arc::clone(&self.api)));
        let outputs = runner.policy.outputs.clone();
        let runner = Arc::new(runner);
        let failed = |error: RunnerError| error.to_string();
        let document = Document::parse(&command.source, &command.document)
            .map_err(|error| failed(error.into()))?;
        let by_action = document.schema_version().starts_with("1.");
        let steps: Vec<(String, String)> = document
            .steps()
            .iter()
            .map(|step| {
                let key = if by_action { &step.action } else { &step.name };
                (key.clone(), step.action.clone())
            })
            .collect();
        let keys: Vec<String> = steps.iter().map(|(key, _)| key.clone()).collect();
        progress.steps(steps);
        let observer = Arc::new(Watch {
            progress,
            keys: keys.clone(),
        });
        let stop = RunControl::default();
        if control.is_cancelled() {
            stop.cancel();
        }
        let run = async {
            if self.state.has_begun(&command.id)? {
                return runner.resume(&command.id, observer, stop.clone()).await;
            }
            let request = RunRequest {
                document: command.document.clone(),
                source: command.source.clone(),
                origin: command.document.clone(),
                arguments: command.parameters.clone(),
                run_id: Some(command.id.clone()),
            };
            runner.run(request, observer, stop.clone()).await
        };
        let steer = async {
            control.cancelled().await;
            stop.cancel();
            control.killed().await;
            stop.kill();
            std::future::pending::<()>().await;
        };
        let result = tokio::select! {
            result = run => result,
            () = steer => Err(RunnerError::Invalid("the run was lost".to_owned())),
        };
        Ok(Ran {
            result: result.map_err(failed)?,
            keys,
            outputs,
        })
    }
}

/// What a run came to, and what is to be told of it.
struct Ran {
    result: RunResult,
    keys: Vec<String>,
    /// As the policy had it when it began.
    outputs: Outputs,
}

impl RunnerExecutor {
    /// Takes the whole outputs where they are to go, unless the command is to end at once.
    async fn keep_outputs(&self, command: &Command, ran: &Ran, control: &Control) -> Kept {
        let places = Places {
            allowed: &ran.outputs,
            command,
            node: self.api.node_id(),
            region: &self.region,
        };
        tokio::select! {
            kept = places.take(&ran.result.steps) => kept,
            () = control.killed() => Kept {
                problems: vec!["the outputs are not all where they should be: the command was stopped".to_owned()],
                ..Kept::default()
            },
        }
    }
}

#[async_trait]
impl Executor for RunnerExecutor {
    async fn run(&self, command: &Command, progress: Arc<Progress>, control: &Control) -> Outcome {
        match self.try_run(command, progress, control).await {
            Ok(ran) => {
                let result = &ran.result;
                let mut report = report_of(result, &ran.keys);
                let kept = self.keep_outputs(command, &ran, control).await;
                for (step, place) in report.steps.iter_mut().zip(kept.in_s3) {
                    (step.output_bucket, step.output_prefix) = place.unwrap_or_default();
                }
                report.trace = kept.problems.join("; ");
                if result.reboot_required {
                    Outcome::Restart(report)
                } else {
                    Outcome::Finished(report)
                }
            }
            Err(why) => Outcome::Finished(Report::without_steps(Status::Failed, why)),
        }
    }

    fn has_begun(&self, command: &str) -> bool {
        self.state.has_begun(command).unwrap_or(false)
    }

    fn boot(&self) -> String {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .unwrap_or_default()
            .trim()
            .to_owned()
    }

    async fn restart_machine(&self) -> Result<(), String> {
        // A minute, as SSM's agent leaves it.
        let output = tokio::process::Command::new("shutdown")
            .args(["-r", "+1"])
            .output()
            .await
            .map_err(|error| format!("shutdown cannot be started: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!(
            "shutdown: {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        ))
    }
}

/// Passes on what happens in a run.
struct Watch {
    progress: Arc<Progress>,
    keys: Vec<String>,
}

impl Observer for Watch {
    fn step_started(&self, index: usize, _: &str, _: &str) {
        self.progress
            .started(index, jiff::Timestamp::now().to_string());
    }

    fn output(&self, index: usize, stream: OutputStream, data: &[u8]) {
        self.progress
            .output(index, stream == OutputStream::Stderr, data);
    }

    fn step_finished(&self, index: usize, result: &StepResult) {
        if let Some(key) = self.keys.get(index) {
            self.progress.finished(index, step_report(key, result));
        }
    }
}

fn report_of(result: &RunResult, keys: &[String]) -> Report {
    Report {
        status: status_of(result.status),
        trace: String::new(),
        steps: result
            .steps
            .iter()
            .zip(keys)
            .map(|(step, key)| step_report(key, step))
            .collect(),
    }
}

fn step_report(key: &str, result: &StepResult) -> StepReport {
    let mut stderr = result.stderr.clone();
    // Why it ended so, such as what the policy refused, has no other place in the protocol.
    if !result.message.is_empty() && !stderr.contains(&result.message) {
        if !stderr.is_empty() && !stderr.ends_with('\n') {
            stderr.push('\n');
        }
        stderr.push_str(&result.message);
    }
    StepReport {
        key: key.to_owned(),
        action: result.action.clone(),
        status: status_of(result.status),
        code: result.exit_code,
        stdout: result.stdout.clone(),
        stderr,
        started: result.started_at.clone(),
        ended: result.ended_at.clone(),
        ..StepReport::default()
    }
}

fn status_of(status: StepStatus) -> Status {
    match status {
        StepStatus::NotStarted | StepStatus::InProgress => Status::InProgress,
        StepStatus::Success => Status::Success,
        StepStatus::SuccessAndReboot => Status::SuccessAndReboot,
        StepStatus::Failed => Status::Failed,
        StepStatus::TimedOut => Status::TimedOut,
        StepStatus::Cancelled => Status::Cancelled,
        StepStatus::Skipped => Status::Skipped,
    }
}
