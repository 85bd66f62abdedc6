//! How an action ends badly.

use crate::{Error, Value};

/// How a call of an action ends badly. Errors of the host, of `std::io` and of JSON become one with `?`.
///
/// ```
/// use capstan_sdk::{Failure, files};
///
/// fn first_line(path: &str) -> Result<String, Failure> {
///     let text = files::read_to_string(path)?;
///     let line = text.lines().next();
///     line.map(str::to_owned).ok_or_else(|| Failure::failed(format!("{path} is empty")))
/// }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Failure {
    /// What kind.
    pub kind: FailureKind,
    /// One sentence: what went wrong and what to do.
    pub message: String,
    /// More of it for programs, if there is something to tell.
    pub detail: Option<Value>,
}

/// The kinds of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// The inputs do not make sense.
    InvalidInput,
    /// The work failed.
    Failed,
    /// It took too long.
    TimedOut,
    /// The grant does not hold what the step needs.
    Denied,
    /// The operator cancelled the step.
    Cancelled,
}

impl Failure {
    /// A failure of a kind.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            detail: None,
        }
    }

    /// The inputs do not make sense.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(FailureKind::InvalidInput, message)
    }

    /// The work failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Failed, message)
    }

    /// The grant does not hold what the step needs.
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Denied, message)
    }

    /// It took too long.
    pub fn timed_out(message: impl Into<String>) -> Self {
        Self::new(FailureKind::TimedOut, message)
    }

    /// Adds what programs can read.
    #[must_use]
    pub fn with_detail(mut self, detail: Value) -> Self {
        self.detail = Some(detail);
        self
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// An error of a host call in words.
#[must_use]
pub fn describe(error: &Error) -> String {
    match error {
        Error::Denied(denial) => format!(
            "{} is not granted to this step ({}); a policy grants it with {}",
            denial.target, denial.capability, denial.hint
        ),
        Error::LimitExceeded(what) => format!("a limit is used up: {what}"),
        Error::NotFound(what) => format!("{what} does not exist"),
        Error::Invalid(why) | Error::Io(why) | Error::Other(why) => why.clone(),
        Error::TimedOut => "it took too long".to_owned(),
        Error::Cancelled => "the step was cancelled".to_owned(),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Denied(_) => FailureKind::Denied,
            Error::TimedOut => FailureKind::TimedOut,
            Error::Cancelled => FailureKind::Cancelled,
            Error::Invalid(_) => FailureKind::InvalidInput,
            _ => FailureKind::Failed,
        };
        Self::new(kind, describe(&error))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::PermissionDenied => FailureKind::Denied,
            std::io::ErrorKind::TimedOut => FailureKind::TimedOut,
            _ => FailureKind::Failed,
        };
        #[cfg(target_family = "wasm")]
        if error.raw_os_error() == Some(crate::libc::BAD_DESCRIPTOR) {
            return Self::new(
                kind,
                format!(
                    "{error}: writing through `std::fs` needs a `#[files(…)]` at the function; `capstan_sdk::files` does without"
                ),
            );
        }
        Self::new(kind, error.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::failed(format!("JSON: {error}"))
    }
}

impl From<std::string::FromUtf8Error> for Failure {
    fn from(error: std::string::FromUtf8Error) -> Self {
        Self::failed(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, FailureKind};
    use crate::{Denial, Error};

    #[test]
    fn errors_become_failures_of_their_kind() {
        let denied = Error::Denied(Denial {
            capability: "files".into(),
            target: "/x".into(),
            hint: "grants: …".into(),
        });
        let failure = Failure::from(denied);
        assert_eq!(failure.kind, FailureKind::Denied);
        assert!(failure.message.contains("/x") && failure.message.contains("grants"));
        let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
        assert_eq!(Failure::from(late).kind, FailureKind::TimedOut);
    }
}
