//! What a step did.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// All that a step did, and how it ended. Secrets that were handed out are masked in what it says, and shown as
/// `{{secret:NAME}}` where they were put.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// The name that it was run by.
    pub action: String,
    /// `Success`, `Failed`, `TimedOut`, `Skipped`, …; `InProgress` when it waits for something that never comes.
    pub status: String,
    /// More exactly: `AccessDenied`, `InvalidInput`, `FuelExhausted`, `Trapped`, …
    pub status_detail: String,
    /// SSM's response code.
    pub exit_code: i32,
    /// Why it ended so, where that is not plain.
    pub message: String,
    /// What a failure says besides; null when that is nothing.
    pub detail: Value,
    /// What the action returned; null when that is nothing.
    pub outputs: Value,
    /// What the collector found, as a document's outputs have it; null for an action.
    pub items: Value,
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
    pub denials: Vec<Denial>,
    /// The fuel that it used. The same at every run.
    pub fuel: u64,
    /// The most memory that it had, in bytes.
    pub peak_memory: u64,
    /// The programs that it ran, in order.
    pub programs: Vec<ProgramRun>,
    /// The requests that it sent, in order.
    pub requests: Vec<Request>,
    /// The documents that it ran, in order.
    pub documents: Vec<Document>,
    /// Where its secrets were put.
    pub secrets: Vec<SecretUse>,
    /// The files that were made or changed: a text, or an object with `base64` or `directory` or `link`; none for those
    /// that were removed. See also [`file`](Self::file).
    pub files: BTreeMap<String, Option<Value>>,
    /// The permission bits of those, octal.
    pub modes: BTreeMap<String, String>,
    /// What the test has no answer to.
    pub unanswered: Vec<String>,
    /// The component's frames, if it broke off, innermost first.
    pub backtrace: Vec<String>,
    /// What the clock showed at the end.
    pub ended_at: String,
}

/// A message for the operator.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "named as in the SDK")]
pub struct LogLine {
    pub level: String,
    pub message: String,
    pub fields: Value,
}

/// How far a step is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "named as in the SDK")]
pub struct Progress {
    pub done: u64,
    pub total: Option<u64>,
    pub note: String,
}

/// A wait.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Suspension {
    /// In the action's words.
    pub reason: String,
    /// What for.
    pub wake: Wake,
    /// `timer`, `signal` or `reboot`; none for a wait that did not end.
    pub resumed_by: Option<String>,
    /// The signal that ended it.
    pub signal: Option<String>,
}

/// What a step waits for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Wake {
    /// A time, as `2026-01-31T12:00:00Z`.
    pub at: Option<String>,
    /// One of these signals.
    pub signals: Vec<String>,
    /// A restart of the machine.
    pub reboot: bool,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Denial {
    /// `files`, `programs`, `hosts`, `parameters`, `secrets`, `documents`, `signing`.
    pub capability: String,
    /// A path, a URL, a name.
    pub target: String,
    /// The lines of a policy that would grant it.
    pub hint: String,
}

/// A program that was run.
#[derive(Debug, Clone, PartialEq, Deserialize)]
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
    /// What it was given to read: a text, or an object with `base64`; null for nothing.
    pub stdin: Value,
    /// The time-out of its command, in milliseconds.
    pub timeout_millis: Option<u64>,
}

/// A request that was sent.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Request {
    /// Upper case.
    pub method: String,
    /// Absolute.
    pub url: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// A text, or an object with `base64`.
    pub body: Value,
}

impl Request {
    /// Its body as JSON; null when it is something else.
    #[must_use]
    pub fn json(&self) -> Value {
        let text = self.body.as_str().unwrap_or_default();
        serde_json::from_str(text).unwrap_or_default()
    }
}

/// A document that was run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "named as in the SDK")]
pub struct Document {
    pub name: String,
    pub content: String,
    pub parameters: String,
}

/// A place that a secret was put into.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SecretUse {
    /// The secret.
    pub name: String,
    /// The place, for people.
    pub place: String,
}

impl Run {
    pub(crate) fn of(report: Value) -> Result<Self, serde_json::Error> {
        serde_json::from_value(report)
    }

    /// Panics, with all that is known, unless the step succeeded and the test had an answer to all that it asked.
    #[track_caller]
    pub fn assert_success(&self) {
        assert!(
            self.status == "Success" && self.unanswered.is_empty(),
            "the step did not succeed\n{}",
            self.summary()
        );
    }

    /// Panics, with all that is known, unless the step ended with this word, `Failed` or `AccessDenied`, and a message
    /// that holds this text.
    #[track_caller]
    pub fn assert_failure(&self, detail: &str, message: &str) {
        let ended = self.status != "Success"
            && [&self.status, &self.status_detail]
                .iter()
                .any(|word| *word == detail);
        assert!(
            ended && self.message.contains(message),
            "the step did not end with {detail} and `{message}`\n{}",
            self.summary()
        );
    }

    /// Whether something was refused, by its path, URL or name.
    #[must_use]
    pub fn denied(&self, capability: &str, target: &str) -> bool {
        self.denials
            .iter()
            .any(|one| one.capability == capability && one.target == target)
    }

    /// The content of a file that was made or changed, if it is a text.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_ref()?.as_str()
    }

    /// Whether a file or folder was removed.
    #[must_use]
    pub fn removed(&self, path: &str) -> bool {
        matches!(self.files.get(path), Some(None))
    }

    /// How it ended, for people.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut text = format!(
            "{}: {} ({}), exit code {}\n",
            self.action, self.status, self.status_detail, self.exit_code
        );
        let mut tell = |what: &str, said: &str| {
            if !said.trim().is_empty() {
                text.push_str(&format!("{what}: {}\n", said.trim_end()));
            }
        };
        tell("message", &self.message);
        tell("stdout", &self.stdout);
        tell("stderr", &self.stderr);
        for one in &self.unanswered {
            tell("unanswered", one);
        }
        for one in &self.denials {
            tell(
                "denied",
                &format!("{} {}: {}", one.capability, one.target, one.hint),
            );
        }
        for frame in &self.backtrace {
            tell("  in", frame);
        }
        text
    }
}
