//! What a run and its steps came to.

use capstan_runtime::{ChildRecord, Denial};
use capstan_sandbox::Enforced;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The status of a step. The words are SSM's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "SSM's words")]
pub enum StepStatus {
    #[default]
    NotStarted,
    InProgress,
    Success,
    SuccessAndReboot,
    Failed,
    TimedOut,
    Cancelled,
    Skipped,
}

/// The status of a document.
pub type RunStatus = StepStatus;

/// What a step came to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StepResult {
    /// Its name.
    pub name: String,
    /// Its action.
    pub action: String,
    /// How it ended.
    pub status: StepStatus,
    /// More exactly: `Success`, `Failed`, `AccessDenied`, `ExecutionTimedOut`, `FuelExhausted`, …
    pub status_detail: String,
    /// SSM's response code.
    pub exit_code: i32,
    /// The beginning of its standard output.
    pub stdout: String,
    /// The beginning of its standard error.
    pub stderr: String,
    /// Both together, as SSM shows them in lists.
    pub output: String,
    /// Why it ended so, where that is not plain.
    pub message: String,
    /// The component's frames, if it broke off.
    pub backtrace: Vec<String>,
    /// What the action returned.
    pub outputs: Option<Value>,
    /// What the action tells programs of its failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_detail: Option<Value>,
    /// The file with all that it printed to standard output; empty when that is nothing.
    pub stdout_path: String,
    /// The same for standard error.
    pub stderr_path: String,
    /// Fuel used.
    pub fuel_used: u64,
    /// The most memory that the component had.
    pub peak_memory_bytes: u64,
    /// The most memory that its programs had.
    pub child_peak_memory_bytes: u64,
    /// CPU time of its programs.
    pub child_cpu_millis: u64,
    /// Time from start to end.
    pub wall_millis: f64,
    /// What it was refused.
    pub denials: Vec<Denial>,
    /// Its programs.
    pub children: Vec<ChildRecord>,
    /// Hosts that it contacted.
    pub hosts_contacted: Vec<String>,
    /// Files that the component wrote.
    pub files_written: Vec<String>,
    /// The layers that its programs were confined by.
    pub enforced: Enforced,
    /// The component, by SHA-256.
    pub component_digest: String,
    /// Counts from 1.
    pub attempt: u32,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// RFC 3339, UTC.
    pub ended_at: String,
}

/// What a run came to.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunResult {
    /// SSM's command id.
    pub run_id: String,
    /// The document.
    pub document: String,
    /// How it ended.
    pub status: RunStatus,
    /// In the order of the document.
    pub steps: Vec<StepResult>,
    /// The machine has to be restarted, and the run resumed after that.
    pub reboot_required: bool,
    /// Where outputs are.
    pub output_directory: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// RFC 3339, UTC.
    pub ended_at: String,
}

impl RunResult {
    /// Whether a step was refused what it needs.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.steps
            .iter()
            .any(|step| step.status_detail == "AccessDenied")
    }
}
