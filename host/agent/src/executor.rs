//! What runs commands.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::message::Command;
use crate::progress::Progress;

/// How far a step or a document is. The words are those of the protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the protocol's words")]
pub enum Status {
    #[default]
    InProgress,
    Skipped,
    Success,
    Cancelled,
    TimedOut,
    Failed,
    SuccessAndReboot,
}

impl Status {
    /// As it is sent.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Skipped => "Skipped",
            Self::Success => "Success",
            Self::Cancelled => "Cancelled",
            Self::TimedOut => "TimedOut",
            Self::Failed => "Failed",
            Self::SuccessAndReboot => "SuccessAndReboot",
        }
    }
}

/// What is told of a step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepReport {
    /// What it is reported as: its name, or its action in documents of schema 1.x.
    pub key: String,
    /// Its action.
    pub action: String,
    /// How far it is.
    pub status: Status,
    /// SSM's response code.
    pub code: i32,
    /// The beginning of its standard output.
    pub stdout: String,
    /// The beginning of its standard error.
    pub stderr: String,
    /// RFC 3339; empty before it began.
    pub started: String,
    /// RFC 3339; empty before it ended.
    pub ended: String,
    /// The bucket of S3 that has its whole outputs; empty for none.
    #[serde(default)]
    pub output_bucket: String,
    /// What their keys begin with.
    #[serde(default)]
    pub output_prefix: String,
}

/// What is told of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub status: Status,
    /// Why it was not run at all, if it was not, and what else does not belong to a step.
    pub trace: String,
    /// Its steps in their order.
    pub steps: Vec<StepReport>,
}

impl Report {
    /// Of a command none of whose steps ran.
    #[must_use]
    pub fn without_steps(status: Status, trace: impl Into<String>) -> Self {
        Self {
            status,
            trace: trace.into(),
            steps: Vec::new(),
        }
    }
}

/// How running a command ended for now.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It is over.
    Finished(Report),
    /// The machine has to be restarted; it goes on after that.
    Restart(Report),
}

/// How urgently a command is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    No,
    Cancel,
    Kill,
}

/// Stops a command; clones stop the same one.
#[derive(Debug, Clone)]
pub struct Control(watch::Sender<Stop>);

impl Default for Control {
    fn default() -> Self {
        Self(watch::Sender::new(Stop::No))
    }
}

impl Control {
    /// The current step is stopped, what has to be done in the end is done.
    pub fn cancel(&self) {
        self.raise(Stop::Cancel);
    }

    /// Everything is stopped.
    pub fn kill(&self) {
        self.raise(Stop::Kill);
    }

    fn raise(&self, to: Stop) {
        self.0.send_if_modified(|stop| {
            let higher = to > *stop;
            if higher {
                *stop = to;
            }
            higher
        });
    }

    /// Whether it is to end.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow() >= Stop::Cancel
    }

    /// Returns when it is to end.
    pub async fn cancelled(&self) {
        let _ = self
            .0
            .subscribe()
            .wait_for(|stop| *stop >= Stop::Cancel)
            .await;
    }

    /// Returns when it is to end at once.
    pub async fn killed(&self) {
        let _ = self
            .0
            .subscribe()
            .wait_for(|stop| *stop >= Stop::Kill)
            .await;
    }
}

/// Runs commands: the runner of documents, or what stands in for it in a simulation.
#[async_trait]
pub trait Executor: std::fmt::Debug + Send + Sync + 'static {
    /// Runs a command, or goes on with one that had begun before the process ended. Tells `progress` meanwhile, and
    /// stops when `control` says so. When the future is dropped the command is left to be gone on with.
    async fn run(&self, command: &Command, progress: Arc<Progress>, control: &Control) -> Outcome;

    /// Whether a command had begun.
    fn has_begun(&self, command: &str) -> bool;

    /// What is another after each start of the machine.
    fn boot(&self) -> String;

    /// Restarts the machine, soon.
    async fn restart_machine(&self) -> Result<(), String>;
}
