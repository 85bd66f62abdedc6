//! What the world of a test holds: files, programs, servers.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// Bytes as the host reads them: a text where they are one.
pub(crate) fn content(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({ "base64": base64(bytes) }),
    }
}

fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A file or a folder, by its content and what else is known of it.
#[derive(Debug, Clone)]
pub struct File(pub(crate) Map<String, Value>);

/// A folder.
#[must_use]
pub fn folder() -> File {
    File(Map::from_iter([("directory".into(), true.into())]))
}

impl File {
    fn of(bytes: &[u8]) -> Self {
        let key = match std::str::from_utf8(bytes) {
            Ok(text) => ("text".to_owned(), text.into()),
            Err(_) => ("base64".to_owned(), base64(bytes).into()),
        };
        Self(Map::from_iter([key]))
    }

    /// When it was last changed, as `2026-01-31T12:00:00Z`; else when the test begins.
    #[must_use]
    pub fn modified(mut self, time: &str) -> Self {
        self.0.insert("modified".into(), time.into());
        self
    }

    /// The permission bits.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.0.insert("mode".into(), format!("{mode:o}").into());
        self
    }
}

impl From<&str> for File {
    fn from(text: &str) -> Self {
        Self::of(text.as_bytes())
    }
}

impl From<String> for File {
    fn from(text: String) -> Self {
        Self::of(text.as_bytes())
    }
}

impl From<&[u8]> for File {
    fn from(bytes: &[u8]) -> Self {
        Self::of(bytes)
    }
}

impl From<Vec<u8>> for File {
    fn from(bytes: Vec<u8>) -> Self {
        Self::of(&bytes)
    }
}

/// What a program does when it is run.
#[derive(Debug, Clone)]
pub struct Program(pub(crate) Map<String, Value>);

/// A program that ends with this code.
#[must_use]
pub fn answer(exit_code: i32) -> Program {
    Program(Map::from_iter([("exitCode".into(), exit_code.into())]))
}

/// A program that is not on this machine.
#[must_use]
pub fn absent() -> Program {
    Program(Map::from_iter([("absent".into(), true.into())]))
}

impl Program {
    fn with(mut self, key: &str, value: Value) -> Self {
        self.0.insert(key.into(), value);
        self
    }

    fn ends(mut self, key: &str, value: Value) -> Self {
        self.0.remove("exitCode");
        self.with(key, value)
    }

    /// Only if it is run with just these arguments.
    #[must_use]
    pub fn arguments<T: Into<String>>(self, arguments: impl IntoIterator<Item = T>) -> Self {
        let list: Vec<String> = arguments.into_iter().map(Into::into).collect();
        self.with("arguments", list.into())
    }

    /// What it prints.
    #[must_use]
    pub fn stdout(self, text: impl AsRef<[u8]>) -> Self {
        self.with("stdout", content(text.as_ref()))
    }

    /// What it prints to standard error.
    #[must_use]
    pub fn stderr(self, text: impl AsRef<[u8]>) -> Self {
        self.with("stderr", content(text.as_ref()))
    }

    /// A file that it makes or replaces, if the step's programs may.
    #[must_use]
    pub fn writes(mut self, path: &str, new: impl AsRef<[u8]>) -> Self {
        if let Value::Object(writes) = self.0.entry("writes").or_insert(json!({})) {
            writes.insert(path.into(), content(new.as_ref()));
        }
        self
    }

    /// A file or folder that it removes, if the step's programs may.
    #[must_use]
    pub fn removes(mut self, path: &str) -> Self {
        if let Value::Array(removes) = self.0.entry("removes").or_insert(json!([])) {
            removes.push(path.into());
        }
        self
    }

    /// A signal ends it.
    #[must_use]
    pub fn signal(self, signal: i32) -> Self {
        self.ends("signal", signal.into())
    }

    /// The time-out of its command ends it.
    #[must_use]
    pub fn times_out(self) -> Self {
        self.ends("timesOut", true.into())
    }

    /// How long it takes, by the clock of the test.
    #[must_use]
    pub fn takes(self, time: Duration) -> Self {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.with("takesMillis", millis.into())
    }

    /// How often it does so; then the next answer to the same program is asked.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        self.with("times", times.into())
    }
}

/// What a server answers.
#[derive(Debug, Clone)]
pub struct Response(pub(crate) Map<String, Value>);

/// A response with this status.
#[must_use]
pub fn respond(status: u16) -> Response {
    Response(Map::from_iter([("status".into(), status.into())]))
}

impl Response {
    fn with(mut self, key: &str, value: Value) -> Self {
        self.0.insert(key.into(), value);
        self
    }

    /// A header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Value::Object(headers) = self.0.entry("headers").or_insert(json!({})) {
            headers.insert(name.into(), value.into());
        }
        self
    }

    /// Its body.
    #[must_use]
    pub fn body(self, body: impl AsRef<[u8]>) -> Self {
        self.with("body", content(body.as_ref()))
    }

    /// Its body, as JSON.
    #[must_use]
    pub fn json(self, body: Value) -> Self {
        self.with("json", body)
    }

    /// The server cannot be reached, for this reason.
    #[must_use]
    pub fn error(self, why: &str) -> Self {
        self.with("error", why.into())
    }

    /// The server does not answer in time.
    #[must_use]
    pub fn times_out(self) -> Self {
        self.with("timesOut", true.into())
    }

    /// How often it answers so; then the next answer to the same request is asked.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        self.with("times", times.into())
    }
}
