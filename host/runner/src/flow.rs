//! What the results of steps mean for the steps after them and for the document. Pure; the rules are those of
//! SSM's own agent.

use capstan_document::{Flow, OnFailure};

use crate::result::{StepResult, StepStatus};

/// A script's exit code with which it ends the document as a success.
pub const EXIT_SUCCESS: i32 = 168;
/// A script's exit code with which it ends the document as a failure.
pub const EXIT_FAILURE: i32 = 169;

/// A script's exit code with which it asks for a restart of the machine.
pub const EXIT_RESTART: i32 = 194;

/// A program's exit code when it was ended from outside.
pub const EXIT_KILLED: i32 = 137;

/// The status that a failure with this exit code really is.
#[must_use]
pub fn of_exit_code(status: StepStatus, exit_code: i32, cancelled: bool) -> StepStatus {
    match (status, exit_code) {
        (StepStatus::Failed, EXIT_KILLED) if cancelled => StepStatus::Cancelled,
        (StepStatus::Failed, EXIT_KILLED) => StepStatus::TimedOut,
        (status, _) => status,
    }
}

/// What comes after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The next step.
    Go,
    /// No more steps, but for one that is `finallyStep`.
    Stop,
    /// No more steps until the machine was restarted.
    Reboot,
}

/// A step's status and code once its flow is applied, and what comes next.
#[must_use]
pub fn after(status: StepStatus, exit_code: i32, flow: Flow) -> (StepStatus, i32, Next) {
    match (status, exit_code) {
        (StepStatus::SuccessAndReboot, code) => (status, code, Next::Reboot),
        (StepStatus::Failed | StepStatus::Success, EXIT_SUCCESS) => {
            (StepStatus::Success, EXIT_SUCCESS, Next::Stop)
        }
        (StepStatus::Failed, EXIT_FAILURE) => (StepStatus::Failed, EXIT_FAILURE, Next::Stop),
        (StepStatus::Failed, code) => {
            let code = if code == 0 { 1 } else { code };
            match flow.on_failure {
                Some(OnFailure::Exit) => (StepStatus::Failed, code, Next::Stop),
                Some(OnFailure::SuccessAndExit) => (StepStatus::Success, EXIT_SUCCESS, Next::Stop),
                None => (StepStatus::Failed, code, Next::Go),
            }
        }
        (StepStatus::TimedOut, code) if flow.on_failure == Some(OnFailure::Exit) => {
            (status, code, Next::Stop)
        }
        (StepStatus::Success, code) if flow.on_success_exit => (status, code, Next::Stop),
        (status, code) => (status, code, Next::Go),
    }
}

/// What came after a step that is over, from the result that was kept of it.
#[must_use]
pub fn after_result(result: &StepResult, flow: Flow) -> Next {
    if result.status_detail == "AccessDenied" {
        return Next::Stop;
    }
    after(result.status, result.exit_code, flow).2
}

/// The code of a step that ran a document, from those of the document's steps. Codes that end a document, or ask for
/// a restart, have done their work there, and are not the outer step's own.
#[must_use]
pub fn of_nested_code(exit_code: i32) -> i32 {
    match exit_code {
        EXIT_SUCCESS | EXIT_RESTART => 0,
        EXIT_FAILURE => 1,
        code => code,
    }
}

/// The status of a document from those of its steps.
#[must_use]
pub fn document_status(steps: impl IntoIterator<Item = StepStatus>) -> StepStatus {
    let steps: Vec<StepStatus> = steps.into_iter().collect();
    let any = |status| steps.contains(&status);
    for status in [
        StepStatus::SuccessAndReboot,
        StepStatus::Failed,
        StepStatus::TimedOut,
        StepStatus::Cancelled,
    ] {
        if any(status) {
            return status;
        }
    }
    if any(StepStatus::InProgress) {
        StepStatus::InProgress
    } else {
        StepStatus::Success
    }
}

/// The status of a step that ran several sets of inputs, or a nested document: the worst wins.
#[must_use]
pub fn merge(a: StepStatus, b: StepStatus) -> StepStatus {
    fn rank(status: StepStatus) -> u8 {
        match status {
            StepStatus::Skipped => 0,
            StepStatus::Success => 1,
            StepStatus::SuccessAndReboot => 2,
            StepStatus::NotStarted => 3,
            StepStatus::InProgress => 4,
            StepStatus::Failed => 5,
            StepStatus::Cancelled => 6,
            StepStatus::TimedOut => 7,
        }
    }
    if rank(a) >= rank(b) { a } else { b }
}

#[cfg(test)]
mod tests {
    use capstan_document::{Flow, OnFailure};

    use super::{Next, after, after_result, document_status, merge, of_exit_code, of_nested_code};
    use crate::result::StepResult;
    use crate::result::StepStatus::{
        Cancelled, Failed, Skipped, Success, SuccessAndReboot, TimedOut,
    };

    #[test]
    fn results_lead_to_the_next_step_or_not() {
        let plain = Flow::default();
        let exit = Flow {
            on_failure: Some(OnFailure::Exit),
            ..plain
        };
        let well = Flow {
            on_failure: Some(OnFailure::SuccessAndExit),
            ..plain
        };
        let done = Flow {
            on_success_exit: true,
            ..plain
        };
        for (status, code, flow, expected) in [
            (Success, 0, plain, (Success, 0, Next::Go)),
            (Success, 0, done, (Success, 0, Next::Stop)),
            (Failed, 7, plain, (Failed, 7, Next::Go)),
            (Failed, 0, plain, (Failed, 1, Next::Go)),
            (Failed, 7, exit, (Failed, 7, Next::Stop)),
            (Failed, 7, well, (Success, 168, Next::Stop)),
            (Failed, 168, plain, (Success, 168, Next::Stop)),
            (Success, 168, plain, (Success, 168, Next::Stop)),
            (Failed, 169, plain, (Failed, 169, Next::Stop)),
            (Failed, 7, done, (Failed, 7, Next::Go)),
            (Skipped, 0, done, (Skipped, 0, Next::Go)),
            (TimedOut, 137, plain, (TimedOut, 137, Next::Go)),
            (TimedOut, 137, exit, (TimedOut, 137, Next::Stop)),
            (
                SuccessAndReboot,
                194,
                plain,
                (SuccessAndReboot, 194, Next::Reboot),
            ),
        ] {
            assert_eq!(
                after(status, code, flow),
                expected,
                "{status:?} {code} {flow:?}"
            );
        }
    }

    #[test]
    fn a_result_that_was_kept_leads_where_it_led() {
        for (status, code, flow) in [
            (Failed, 168, Flow::default()),
            (Failed, 169, Flow::default()),
            (Failed, 7, Flow::default()),
            (Success, 0, Flow::default()),
            (
                Failed,
                7,
                Flow {
                    on_failure: Some(OnFailure::SuccessAndExit),
                    ..Flow::default()
                },
            ),
        ] {
            let (kept, exit_code, next) = after(status, code, flow);
            let result = StepResult {
                status: kept,
                exit_code,
                ..StepResult::default()
            };
            assert_eq!(after_result(&result, flow), next, "{status:?} {code}");
        }
        for (code, expected) in [(0, 0), (7, 7), (168, 0), (169, 1), (194, 0)] {
            assert_eq!(of_nested_code(code), expected, "{code}");
        }
    }

    #[test]
    fn a_kill_is_a_time_out_or_a_cancellation() {
        for (status, code, cancelled, expected) in [
            (Failed, 137, false, TimedOut),
            (Failed, 137, true, Cancelled),
            (Failed, 1, true, Failed),
            (Success, 137, false, Success),
        ] {
            assert_eq!(
                of_exit_code(status, code, cancelled),
                expected,
                "{status:?} {code} {cancelled}"
            );
        }
    }

    #[test]
    fn documents_sum_up_their_steps() {
        for (steps, expected) in [
            (&[Success, Failed, SuccessAndReboot][..], SuccessAndReboot),
            (&[Success, TimedOut, Failed], Failed),
            (&[Success, Cancelled, TimedOut], TimedOut),
            (&[Success, Cancelled], Cancelled),
            (&[Skipped, Skipped], Success),
            (&[], Success),
        ] {
            assert_eq!(
                document_status(steps.iter().copied()),
                expected,
                "{steps:?}"
            );
        }
        assert_eq!(merge(Success, Skipped), Success);
        assert_eq!(merge(Failed, TimedOut), TimedOut);
    }
}
