//! Exit codes.

use std::process::ExitCode;

use capstan_agent::AgentError;
use capstan_client::ClientError;
use capstan_plugins::PluginError;
use capstan_runner::{RunResult, RunnerError, StepStatus};
use capstan_runtime::BrokerError;

/// How the program ends. The numbers are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All went well.
    Success = 0,
    /// A step failed or timed out, or something on this machine did.
    Failure = 1,
    /// The input makes no sense: a document, a policy, a parameter, the command line.
    Invalid = 2,
    /// The policy refused something.
    Denied = 3,
    /// The machine has to be restarted, and the run resumed.
    Reboot = 4,
    /// The user cancelled.
    Cancelled = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// For a run.
pub(crate) fn of_run(result: &RunResult) -> Exit {
    match result.status {
        _ if result.is_denied() => Exit::Denied,
        StepStatus::Success | StepStatus::Skipped => Exit::Success,
        StepStatus::SuccessAndReboot => Exit::Reboot,
        StepStatus::Cancelled => Exit::Cancelled,
        _ => Exit::Failure,
    }
}

/// For an error that kept anything from being run.
pub(crate) fn of_error(error: &anyhow::Error) -> Exit {
    if let Some(error) = error.downcast_ref::<PluginError>() {
        return match error {
            PluginError::Refused(_) => Exit::Denied,
            PluginError::Io { .. } | PluginError::Registry(_) => Exit::Failure,
            _ => Exit::Invalid,
        };
    }
    if let Some(error) = error.downcast_ref::<AgentError>() {
        return match error {
            AgentError::Io { .. } => Exit::Failure,
            AgentError::Client(error) if error.is_transient() => Exit::Failure,
            _ => Exit::Invalid,
        };
    }
    if let Some(error) = error.downcast_ref::<ClientError>() {
        return of_client(error);
    }
    // Credentials that cannot be read.
    if error.is::<BrokerError>() {
        return Exit::Failure;
    }
    match error.downcast_ref::<RunnerError>() {
        Some(RunnerError::Refused(_)) => Exit::Denied,
        Some(RunnerError::Io { .. } | RunnerError::Runtime(_) | RunnerError::Worker(_)) => {
            Exit::Failure
        }
        _ => Exit::Invalid,
    }
}

/// For a call that failed: what the service refuses of what it was asked is invalid input.
fn of_client(error: &ClientError) -> Exit {
    match error {
        ClientError::Endpoint(_) | ClientError::Tls(_) => Exit::Invalid,
        ClientError::Service(_) if error.is_transient() => Exit::Failure,
        ClientError::Service(refused) => match refused.code.as_str() {
            "AccessDeniedException" => Exit::Denied,
            // Who asks is not known: nothing is wrong with what.
            "UnrecognizedClientException"
            | "InvalidSignatureException"
            | "MissingAuthenticationTokenException"
            | "IncompleteSignature"
            | "ExpiredTokenException" => Exit::Failure,
            _ => Exit::Invalid,
        },
        _ => Exit::Failure,
    }
}
