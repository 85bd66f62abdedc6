//! What an attempt came to: its report taken into the result, and its receipt.

use capstan_policy::Decision;
use capstan_runtime::{FailureKind, Status, StepOutcome, StepReport, StopReason, Usage, Wake};
use serde_json::Value;

use super::{Before, StepRun, Suspension};
use crate::error::RunnerError;
use crate::flow::{merge, of_exit_code};
use crate::receipts::{self, Attempt};
use crate::result::StepStatus;

/// What the outcome of an attempt means.
#[derive(Debug)]
pub enum Judgement {
    /// The step is over.
    Ended(Verdict),
    /// It goes on later.
    Waits {
        /// For `resume`.
        state: Vec<u8>,
        /// What for.
        wake: Wake,
        /// For people.
        reason: String,
    },
}

/// How a step ended.
#[derive(Debug)]
pub struct Verdict {
    /// SSM's word.
    pub status: StepStatus,
    /// More exactly.
    pub detail: String,
    /// SSM's response code.
    pub exit_code: i32,
    /// Why, where it is not the action's own judgement.
    pub message: Option<String>,
    /// What a failure says besides.
    pub failure: Option<Value>,
    /// What the action returned.
    pub outputs: Option<Value>,
    /// The component's frames, if it broke off.
    pub backtrace: Vec<String>,
    /// Whether the component is to blame: it broke off, or does not keep to the contract.
    pub blames_component: bool,
}

/// Puts the outcome of an attempt into SSM's words.
#[must_use]
pub fn judge(outcome: StepOutcome, cancelled: bool) -> Judgement {
    let ended = |status: StepStatus, detail: String, exit_code| Verdict {
        status,
        detail,
        exit_code,
        message: None,
        failure: None,
        outputs: None,
        backtrace: Vec::new(),
        blames_component: false,
    };
    Judgement::Ended(match outcome {
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
            let status = of_exit_code(status, exit_code, cancelled);
            let detail = match status {
                StepStatus::TimedOut => "ExecutionTimedOut".into(),
                status => format!("{status:?}"),
            };
            Verdict {
                outputs,
                ..ended(status, detail, exit_code)
            }
        }
        StepOutcome::Suspended {
            state,
            wake,
            reason,
        } => {
            return Judgement::Waits {
                state,
                wake,
                reason,
            };
        }
        StepOutcome::Failure {
            kind,
            message,
            detail: failure,
        } => {
            let (status, detail) = match kind {
                FailureKind::TimedOut => (StepStatus::TimedOut, "ExecutionTimedOut"),
                FailureKind::Cancelled => (StepStatus::Cancelled, "Cancelled"),
                FailureKind::Denied => (StepStatus::Failed, "AccessDenied"),
                FailureKind::InvalidInput => (StepStatus::Failed, "InvalidInput"),
                FailureKind::Failed | FailureKind::Other => (StepStatus::Failed, "Failed"),
            };
            Verdict {
                message: Some(message),
                failure,
                ..ended(status, detail.into(), 1)
            }
        }
        StepOutcome::Stopped {
            reason,
            message,
            backtrace,
        } => {
            let (status, code) = match reason {
                StopReason::ExecutionTimedOut => (StepStatus::TimedOut, 137),
                StopReason::Cancelled => (StepStatus::Cancelled, 137),
                _ => (StepStatus::Failed, 1),
            };
            Verdict {
                message: Some(message),
                backtrace,
                blames_component: matches!(
                    reason,
                    StopReason::Trapped
                        | StopReason::StackOverflow
                        | StopReason::LoadFailed
                        | StopReason::MalformedAnswer
                ),
                ..ended(status, format!("{reason:?}"), code)
            }
        }
    })
}

impl StepRun<'_> {
    /// Takes a report into the result.
    pub(super) fn take(
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
        let verdict = match judge(report.outcome, self.session.control.is_cancelled()) {
            Judgement::Ended(verdict) => verdict,
            Judgement::Waits {
                state,
                wake,
                reason,
            } => {
                let reboots = wake == Wake::Reboot;
                (result.status, result.status_detail, result.exit_code) = match reboots {
                    true => (StepStatus::SuccessAndReboot, "SuccessAndReboot".into(), 194),
                    false => (StepStatus::InProgress, "Waiting".into(), 0),
                };
                return Some(Suspension {
                    input,
                    before: before.clone(),
                    state,
                    wake,
                    reason,
                });
            }
        };
        result.outputs = verdict.outputs.or(result.outputs.take());
        if !verdict.backtrace.is_empty() {
            result.backtrace = verdict.backtrace;
        }
        result.failure_detail = verdict.failure;
        if let Some(message) = &verdict.message {
            let message = match verdict.blames_component {
                true => format!(
                    "the action {} in the step `{}`: {message}",
                    self.step.action, self.step.name
                ),
                false => message.clone(),
            };
            self.end(verdict.status, &verdict.detail, verdict.exit_code, &message);
        }
        self.conclude(before, verdict.status, verdict.detail, verdict.exit_code);
        None
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
    pub(super) fn receipt(&mut self, report: Option<&StepReport>, decision: &Decision) {
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
}

pub(super) fn crashed(why: &str) -> StepReport {
    stopped(StopReason::WorkerCrashed, why)
}

pub(super) fn stopped(reason: StopReason, why: &str) -> StepReport {
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
