//! What a step did, for a test to look at.

use std::collections::BTreeMap;

use capstan_runner::StepStatus;
use capstan_runtime::LogLevel;
use serde::Serialize;
use serde_json::Value;

use crate::content::Content;

/// All that a step did, and how it ended. Secrets that were handed out are masked in what it says, and shown by name
/// where they were put.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The name that it was run by.
    pub action: String,
    /// SSM's word; `InProgress` when the step waits for something that never comes.
    pub status: StepStatus,
    /// More exactly: `Success`, `Failed`, `AccessDenied`, `InvalidInput`, `FuelExhausted`, …
    pub status_detail: String,
    /// SSM's response code.
    pub exit_code: i32,
    /// Why it ended so, where that is not plain.
    pub message: String,
    /// What a failure says besides.
    pub detail: Option<Value>,
    /// What the action returned.
    pub outputs: Option<Value>,
    /// What the collector found, checked as on a node.
    pub items: Option<Value>,
    /// What it and its programs printed.
    pub stdout: String,
    /// The same for standard error.
    pub stderr: String,
    /// What it told the operator.
    pub log: Vec<LogLine>,
    /// How far it said that it was.
    pub progress: Vec<Progress>,
    /// Its waits.
    pub suspensions: Vec<Suspension>,
    /// What was refused.
    pub denials: Vec<Denied>,
    /// The fuel that it used, all its calls together.
    pub fuel: u64,
    /// The most memory that it had, in bytes.
    pub peak_memory: u64,
    /// The programs that it ran, in order.
    pub programs: Vec<ProgramRun>,
    /// The requests that it sent, in order.
    pub requests: Vec<HttpRequest>,
    /// The documents that it ran, in order.
    pub documents: Vec<DocumentRun>,
    /// Where its secrets were put.
    pub secrets: Vec<SecretUse>,
    /// The files that were made or changed; none for those that were removed.
    pub files: BTreeMap<String, Option<FileReport>>,
    /// The permission bits of those, octal.
    pub modes: BTreeMap<String, String>,
    /// What the step asked the world for and the script has no answer to. A test should have none.
    pub unanswered: Vec<String>,
    /// The component's frames, if it broke off, innermost first.
    pub backtrace: Vec<String>,
    /// What the clock showed at the end.
    pub ended_at: String,
}

/// A message for the operator.
#[derive(Debug, Clone, Serialize)]
pub struct LogLine {
    /// How serious.
    pub level: LogLevel,
    /// For people.
    pub message: String,
    /// For machines.
    pub fields: Option<Value>,
}

/// How far a step is.
#[derive(Debug, Clone, Serialize)]
pub struct Progress {
    /// Of `total`.
    pub done: u64,
    /// In the same unit.
    pub total: Option<u64>,
    /// For people.
    pub note: String,
}

/// A wait.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Suspension {
    /// In the action's words.
    pub reason: String,
    /// What for.
    pub wake: Wait,
    /// `timer`, `signal` or `reboot`; none for a wait that did not end.
    pub resumed_by: Option<&'static str>,
    /// The signal that ended it.
    pub signal: Option<String>,
}

/// What a step waits for.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Wait {
    /// A time.
    pub at: Option<String>,
    /// One of these signals.
    pub signals: Vec<String>,
    /// A restart of the machine.
    pub reboot: bool,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Denied {
    /// `files`, `programs`, `hosts`, `parameters`, `secrets`, `documents`, `signing`.
    pub capability: String,
    /// A path, a URL, a name.
    pub target: String,
    /// The lines of a policy that would grant it.
    pub hint: String,
}

/// A program that was run.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProgramRun {
    /// The name of its capability.
    pub program: String,
    /// Its path.
    pub path: String,
    /// Without the program's own name.
    pub arguments: Vec<String>,
    /// What the action added.
    pub environment: BTreeMap<String, String>,
    /// Where it ran.
    pub working_directory: String,
    /// What it was given to read.
    pub stdin: Option<Content>,
    /// The time-out of its command, in milliseconds.
    pub timeout_millis: Option<u64>,
}

/// A request that was sent.
#[derive(Debug, Clone, Serialize)]
pub struct HttpRequest {
    /// Upper case.
    pub method: String,
    /// Absolute.
    pub url: String,
    /// Names in lower case; values of one name are joined by commas.
    pub headers: BTreeMap<String, String>,
    /// All of it.
    pub body: Content,
}

/// A document that was run.
#[derive(Debug, Clone, Serialize)]
pub struct DocumentRun {
    /// For people.
    pub name: String,
    /// YAML or JSON.
    pub content: String,
    /// A mapping, in YAML or JSON.
    pub parameters: String,
}

/// A place that a secret was put into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretUse {
    /// The secret.
    pub name: String,
    /// The place, for people.
    pub place: String,
}

/// A file as a step left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileReport {
    /// Its content.
    File(Content),
    /// A new folder with nothing in it.
    Directory,
    /// A link, and where it leads.
    Link(String),
}

impl Serialize for FileReport {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::File(content) => content.serialize(serializer),
            Self::Directory => serde_json::json!({ "directory": true }).serialize(serializer),
            Self::Link(to) => serde_json::json!({ "link": to }).serialize(serializer),
        }
    }
}
