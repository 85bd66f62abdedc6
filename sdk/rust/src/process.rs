//! Programs, in the manner of `std::process`. A program is named by a `#[program]` of the action, which fixes its path
//! and the shape of its arguments; there is no shell in between.
//!
//! ```no_run
//! use std::time::Duration;
//! use capstan_sdk::{Failure, process::Command};
//!
//! fn names(folder: &str) -> Result<Vec<String>, Failure> {
//!     let output = Command::new("ls")
//!         .args(["-1", "--"])
//!         .arg(folder)
//!         .current_dir("/")
//!         .env("LC_ALL", "C")
//!         .timeout(Duration::from_secs(10))
//!         .output()?
//!         .success()?;
//!     Ok(output.text()?.lines().map(str::to_owned).collect())
//! }
//! ```

use std::time::Duration;

use crate::__private::capstan::host::process as wit;
use crate::__private::capstan::host::types::OutputStream;
use crate::{Error, Failure};

pub use wit::{Child, EnvValue, ExitStatus, OutputTarget, Stdin, Usage, find};

/// A program to start.
#[derive(Debug)]
pub struct Command(wit::Command);

/// A program's end and what it printed.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Fails unless the program ended with code 0; the failure ends with the last line of its standard error.
    ///
    /// # Errors
    /// With how it ended.
    pub fn success(self) -> Result<Self, Failure> {
        if self.status.success() {
            return Ok(self);
        }
        let printed = String::from_utf8_lossy(&self.stderr);
        let mut message = format!("the program ended with {}", self.status);
        if let Some(line) = printed.trim_end().lines().last() {
            message = format!("{message}: {line}");
        }
        Err(match self.status {
            ExitStatus::TimedOut => Failure::timed_out(message),
            _ => Failure::failed(message),
        })
    }

    /// Standard output as text.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn text(&self) -> Result<&str, Failure> {
        std::str::from_utf8(&self.stdout)
            .map_err(|_| Failure::failed("what the program printed is not UTF-8"))
    }
}

impl ExitStatus {
    /// Whether the program ended by itself, with code 0.
    #[must_use]
    pub fn success(&self) -> bool {
        matches!(self, Self::Code(0))
    }

    /// Its code, if it ended by itself.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Code(code) => Some(*code),
            _ => None,
        }
    }
}

impl std::fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::TimedOut => f.write_str("its time used up"),
            Self::Cancelled => f.write_str("the step's cancellation"),
            Self::LimitExceeded(what) => write!(f, "a limit used up: {what}"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

impl From<&str> for Stdin {
    fn from(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }
}

impl From<String> for Stdin {
    fn from(text: String) -> Self {
        Self::Bytes(text.into_bytes())
    }
}

impl From<Vec<u8>> for Stdin {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl Command {
    /// A program by the name of its capability in the manifest. Its output goes to the step's output.
    #[must_use]
    pub fn new(program: &str) -> Self {
        Self(wit::Command {
            program: program.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            working_directory: None,
            stdin: Stdin::None,
            stdout: OutputTarget::Step,
            stderr: OutputTarget::Step,
            timeout_millis: None,
        })
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.0.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.0
            .arguments
            .extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0
            .environment
            .push((name.to_owned(), EnvValue::Plain(value.into())));
        self
    }

    /// Sets variables.
    #[must_use]
    pub fn envs<K: AsRef<str>, V: Into<String>>(
        self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        variables.into_iter().fold(self, |command, (name, value)| {
            command.env(name.as_ref(), value)
        })
    }

    /// Sets a variable to the value of a secret, by the secret's name: the component never sees the value.
    #[must_use]
    pub fn env_secret(mut self, name: &str, secret: impl Into<String>) -> Self {
        self.0
            .environment
            .push((name.to_owned(), EnvValue::Secret(secret.into())));
        self
    }

    /// Sets the current folder, an absolute path. It is the step's work folder if nothing is said.
    #[must_use]
    pub fn current_dir(mut self, path: &str) -> Self {
        self.0.working_directory = Some(path.to_owned());
        self
    }

    /// Ends the program after this long.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout_millis = Some(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// Sets where standard output goes.
    #[must_use]
    pub fn stdout(mut self, target: OutputTarget) -> Self {
        self.0.stdout = target;
        self
    }

    /// Sets where standard error goes.
    #[must_use]
    pub fn stderr(mut self, target: OutputTarget) -> Self {
        self.0.stderr = target;
        self
    }

    /// Sets what the program reads: text, bytes, or the value of a secret ([`Stdin::Secret`]). Nothing, if nothing is
    /// said.
    #[must_use]
    pub fn stdin(mut self, stdin: impl Into<Stdin>) -> Self {
        self.0.stdin = stdin.into();
        self
    }

    /// Starts the program.
    ///
    /// # Errors
    /// When it is not granted, does not exist or cannot be started.
    pub fn spawn(self) -> Result<Child, Error> {
        wit::spawn(&self.0)
    }

    /// Runs the program to its end.
    ///
    /// # Errors
    /// As for `spawn`.
    pub fn status(self) -> Result<ExitStatus, Error> {
        Ok(self.spawn()?.wait()?.0)
    }

    /// Runs the program to its end and returns what it printed, up to 8 MiB.
    ///
    /// # Errors
    /// As for `spawn`, and when it prints more.
    pub fn output(self) -> Result<Output, Error> {
        const MOST: usize = 8 << 20;
        let child = self
            .stdout(OutputTarget::Capture)
            .stderr(OutputTarget::Capture)
            .spawn()?;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        loop {
            let chunks = child.read(64 << 10)?;
            if chunks.is_empty() {
                break;
            }
            for chunk in chunks {
                match chunk.source {
                    OutputStream::Stdout => stdout.extend(chunk.data),
                    OutputStream::Stderr => stderr.extend(chunk.data),
                }
            }
            if stdout.len() + stderr.len() > MOST {
                return Err(Error::LimitExceeded(format!(
                    "the program printed more than {MOST} bytes"
                )));
            }
        }
        Ok(Output {
            status: child.wait()?.0,
            stdout,
            stderr,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{ExitStatus, Output};

    #[test]
    fn a_failed_program_is_told_of_by_its_last_line() {
        let output = |status| Output {
            status,
            stdout: b"a\n".to_vec(),
            stderr: b"first\nno such file\n".to_vec(),
        };
        assert_eq!(
            output(ExitStatus::Code(0))
                .success()
                .unwrap()
                .text()
                .unwrap(),
            "a\n"
        );
        let failure = output(ExitStatus::Code(2)).success().unwrap_err();
        assert_eq!(
            failure.message,
            "the program ended with code 2: no such file"
        );
    }
}
