//! Programs, in the manner of `std::process`.

use std::time::Duration;

use crate::__private::capstan::host::process as wit;
use crate::__private::capstan::host::types::OutputStream;
use crate::Error;

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

    /// Sets a variable to the value of a secret, by the secret's name: the component never sees the value.
    #[must_use]
    pub fn env_secret(mut self, name: &str, secret: impl Into<String>) -> Self {
        self.0
            .environment
            .push((name.to_owned(), EnvValue::Secret(secret.into())));
        self
    }

    /// Sets the current folder.
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

    /// Sets what the program reads.
    #[must_use]
    pub fn stdin(mut self, stdin: Stdin) -> Self {
        self.0.stdin = stdin;
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
