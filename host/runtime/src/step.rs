//! A step attempt: what it is asked to do and what comes back. These types also cross the worker's socket.

use std::collections::{BTreeMap, BTreeSet};

use capstan_policy::{Grant, Limits, ProgramRequest};
use capstan_sandbox::Enforced;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Everything needed to run one attempt of a step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepRequest {
    /// Tells the requests of one worker apart.
    pub id: u64,
    /// SHA-256 of the component, lower-case hexadecimal: its name in the compile cache.
    pub component: String,
    /// The programs of the component's manifest, by capability name.
    pub programs: BTreeMap<String, ProgramRequest>,
    /// What to call.
    pub call: Call,
    /// What the action is told about where it runs.
    pub context: StepContext,
    /// What the component may do.
    pub component_grant: Grant,
    /// What its children may do.
    pub children_grant: Grant,
    /// How much it may use.
    pub limits: Limits,
    /// The environment that every child starts from; stronger than what the action adds.
    pub environment: BTreeMap<String, String>,
}

/// The export to call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Call {
    /// `start`, with the inputs as a JSON object.
    Start {
        /// The step's inputs, references resolved.
        inputs: Value,
    },
    /// `resume`.
    Resume {
        /// What the action left when it was suspended.
        state: Vec<u8>,
        /// What ended the wait.
        event: Event,
    },
    /// `collect`, of a collector, with its settings as a JSON object. The step's outputs are `{"items": […]}`, without
    /// capture times, and nobody has checked them yet.
    Collect {
        /// The step's inputs, references resolved.
        settings: Value,
    },
}

/// Why a step is resumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The time has come.
    Timer,
    /// A signal arrived.
    Signal {
        /// Its name.
        name: String,
        /// JSON text.
        payload: Option<String>,
    },
    /// The machine was restarted.
    Rebooted,
}

/// The machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Platform {
    /// `linux`, `macos`, `windows`.
    pub kind: String,
    /// `ID` of os-release.
    pub name: String,
    /// `VERSION_ID` of os-release.
    pub version: String,
    /// `x86_64`, `aarch64`.
    pub architecture: String,
}

/// See `context` in `capstan:action/types`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented in the WIT, field by field")]
pub struct StepContext {
    pub run_id: String,
    pub node_id: String,
    pub document: String,
    pub step: String,
    pub action: String,
    pub attempt: u32,
    pub platform: Platform,
    pub work_directory: String,
    pub downloads_directory: String,
    pub data_directory: String,
    pub deadline_unix_millis: u64,
    pub environment: BTreeMap<String, String>,
    pub region: String,
}

/// A stream of a step's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How serious a log message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the usual words")]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// What happens while a step runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum StepEvent {
    /// The step, or a program of it, printed this.
    Output {
        /// Where to.
        stream: OutputStream,
        /// What.
        data: Vec<u8>,
    },
    /// How far the step is.
    Progress {
        /// Of `total`.
        done: u64,
        /// In the same unit as `done`.
        total: Option<u64>,
        /// For people.
        note: String,
    },
    /// A message for the operator.
    Log {
        /// How serious.
        level: LogLevel,
        /// For people.
        message: String,
        /// A JSON object.
        fields: Option<String>,
    },
}

/// Takes the events of a step, in order. Called from many tasks; must not block for long.
pub type EventSink = std::sync::Arc<dyn Fn(StepEvent) + Send + Sync>;

/// How a finished action judged itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "SSM's words")]
pub enum Status {
    Success,
    Failed,
    TimedOut,
    Cancelled,
    Skipped,
}

/// What a suspended step waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Wake {
    /// A time, in milliseconds since 1970.
    At(u64),
    /// One of these signals.
    Signal(Vec<String>),
    /// Whichever comes first.
    Either(u64, Vec<String>),
    /// A restart of the machine.
    Reboot,
}

/// The kind of a failure that the action reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "documented in the WIT")]
pub enum FailureKind {
    InvalidInput,
    Failed,
    TimedOut,
    Denied,
    Cancelled,
    Other,
}

/// Why the host ended a step. The words are stable: they are the step's status detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum StopReason {
    FuelExhausted,
    MemoryLimitExceeded,
    TableLimitExceeded,
    HandleLimitExceeded,
    HostCallLimitExceeded,
    StackOverflow,
    OutputLimitExceeded,
    DiskLimitExceeded,
    ChildCpuLimitExceeded,
    ChildMemoryLimitExceeded,
    ProcessLimitExceeded,
    HttpLimitExceeded,
    ExecutionTimedOut,
    Cancelled,
    /// Any other trap: `unreachable` (a panic), a bad memory access, a division by zero.
    Trapped,
    /// The component could not be loaded, linked or instantiated.
    LoadFailed,
    /// The component answered with something that the contract does not allow.
    MalformedAnswer,
    /// The confinement that the grant relies on cannot be had on this machine.
    NotEnforceable,
    /// The worker process died.
    WorkerCrashed,
}

/// How a step attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum StepOutcome {
    /// The action finished.
    Done {
        /// Its own judgement.
        status: Status,
        /// SSM's response code.
        exit_code: i32,
        /// A JSON object.
        outputs: Option<Value>,
    },
    /// The action waits.
    Suspended {
        /// For `resume`.
        state: Vec<u8>,
        /// What for.
        wake: Wake,
        /// For people.
        reason: String,
    },
    /// The action reported a failure.
    Failure {
        /// What kind.
        kind: FailureKind,
        /// For people.
        message: String,
        /// JSON.
        detail: Option<Value>,
    },
    /// The host ended the step.
    Stopped {
        /// Why.
        reason: StopReason,
        /// For people, with the limit's figure or the trap's name.
        message: String,
        /// Frames of the component, innermost first, readable; empty when there are none.
        backtrace: Vec<String>,
    },
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Denial {
    /// `files`, `programs`, `hosts`, `parameters`, `secrets`, `documents`, `signing`.
    pub capability: String,
    /// What was asked for.
    pub target: String,
    /// What to grant.
    pub hint: String,
}

/// A child process of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChildRecord {
    /// Path.
    pub program: String,
    /// `exit 0`, `signal 9`, …
    pub ended: String,
    /// Milliseconds.
    pub wall_millis: u64,
    /// Milliseconds, user and system.
    pub cpu_millis: u64,
}

/// What a step used.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Fuel, tariff included.
    pub fuel: u64,
    /// Of the component's linear memories.
    pub peak_memory_bytes: u64,
    /// Of the children, as far as the machine tells.
    pub child_peak_memory_bytes: u64,
    /// Of the children together.
    pub child_cpu_millis: u64,
    /// From the call to the report.
    pub wall_micros: u64,
    /// Printed, kept or not.
    pub output_bytes: u64,
    /// Requests and proxied connections.
    pub http_requests: u64,
    /// Both directions.
    pub http_bytes: u64,
}

/// What a step attempt did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepReport {
    /// How it ended.
    pub outcome: StepOutcome,
    /// What it used.
    pub usage: Usage,
    /// What was refused, each once.
    pub denials: Vec<Denial>,
    /// `scheme://host:port` of every host contacted.
    pub hosts_contacted: BTreeSet<String>,
    /// Files that the component opened for writing.
    pub files_written: BTreeSet<String>,
    /// Its children.
    pub children: Vec<ChildRecord>,
    /// The layers in force for its children.
    pub enforced: Enforced,
}
