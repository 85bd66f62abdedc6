//! A world, and the run of a component in it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};

use crate::answers::{File, Program, Response, respond};
use crate::error::HarnessError;
use crate::find;
use crate::run::Run;

/// The world of a test. Without a policy, all that the manifest requests is granted.
#[derive(Debug)]
#[must_use]
pub struct Harness {
    request: Map<String, Value>,
    world: Map<String, Value>,
    component: Option<PathBuf>,
    command: Option<Command>,
}

impl Default for Harness {
    fn default() -> Self {
        Self::new()
    }
}

impl Harness {
    /// A world with nothing in it but the step's own folders: `/work`, `/downloads`, `/data` and `/tmp`.
    pub fn new() -> Self {
        Self {
            request: Map::new(),
            world: Map::new(),
            component: None,
            command: None,
        }
    }

    /// Another component than that of the crate.
    pub fn component(mut self, path: impl Into<PathBuf>) -> Self {
        self.component = Some(path.into());
        self
    }

    /// The host's program, with an environment of its own.
    pub fn capstan(mut self, command: Command) -> Self {
        self.command = Some(command);
        self
    }

    /// The name that the component is run by, if it has several.
    pub fn action(mut self, name: &str) -> Self {
        self.request.insert("action".into(), name.into());
        self
    }

    /// A policy, in the place of all that the manifest requests.
    pub fn policy(mut self, yaml: &str) -> Self {
        self.request.insert("policy".into(), yaml.into());
        self
    }

    /// Takes something away from what the manifest requests: `files` and a path, `hosts` and a URL, `programs` and a
    /// path, `secrets`, `parameters` or `documents` and a name.
    pub fn deny(mut self, capability: &str, what: impl Into<Value>) -> Self {
        let denied = self.request.entry("deny").or_insert(json!({}));
        if let Value::Object(kinds) = denied
            && let Value::Array(list) = kinds.entry(capability).or_insert(json!([]))
        {
            list.push(what.into());
        }
        self
    }

    /// A limit, in the words of a policy: `fuel`, `memory`, `output`, `wall`, …
    pub fn limit(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Value::Object(limits) = self.request.entry("limits").or_insert(json!({})) {
            limits.insert(name.into(), value.into());
        }
        self
    }

    /// What the component is told of where it runs: `document`, `name`, `nodeId`, `platform`, `environment`, …
    pub fn step(mut self, key: &str, value: impl Into<Value>) -> Self {
        if let Value::Object(step) = self.request.entry("step").or_insert(json!({})) {
            step.insert(key.into(), value.into());
        }
        self
    }

    fn named(mut self, kind: &str, name: &str, value: Value) -> Self {
        if let Value::Object(all) = self.world.entry(kind).or_insert(json!({})) {
            all.insert(name.into(), value);
        }
        self
    }

    fn listed(mut self, kind: &str, value: Map<String, Value>) -> Self {
        if let Value::Array(all) = self.world.entry(kind).or_insert(json!([])) {
            all.push(value.into());
        }
        self
    }

    /// A file, or with [`folder`](crate::folder) a folder, by absolute path.
    pub fn file(self, path: &str, file: impl Into<File>) -> Self {
        self.named("files", path, file.into().0.into())
    }

    /// What a program does, by the name of its capability. Of several answers, the first that fits is asked.
    pub fn program(self, name: &str, does: Program) -> Self {
        let mut answer = does.0;
        answer.insert("program".into(), name.into());
        self.listed("programs", answer)
    }

    /// What a server answers. `*` in the URL stands for any characters.
    pub fn http(self, method: &str, url: &str, status: u16, body: impl AsRef<[u8]>) -> Self {
        self.http_with(method, url, respond(status).body(body))
    }

    /// The same with headers, JSON, failures, or an answer that is good only so often.
    pub fn http_with(self, method: &str, url: &str, response: Response) -> Self {
        let mut answer = response.0;
        answer.insert("method".into(), method.into());
        answer.insert("url".into(), url.into());
        self.listed("http", answer)
    }

    /// A parameter: a text, or a list of texts.
    pub fn parameter(self, name: &str, value: impl Into<Value>) -> Self {
        self.named("parameters", name, value.into())
    }

    /// A secret. The component gets a placeholder for it; in the run it is shown as `{{secret:NAME}}` where it was put.
    pub fn secret(self, name: &str, value: &str) -> Self {
        self.named("secrets", name, value.into())
    }

    /// A stored document, as text; or as an object with `status`, `exitCode` and `output`, how it ends when it is run.
    pub fn document(self, name: &str, document: impl Into<Value>) -> Self {
        self.named("documents", name, document.into())
    }

    /// A signal for a step that waits for it. Without one, waits for a time end at that time, at once.
    pub fn signal(self, name: &str, payload: impl Into<Value>) -> Self {
        let signal = json!({ "name": name, "payload": payload.into() });
        match signal {
            Value::Object(signal) => self.listed("signals", signal),
            _ => self,
        }
    }

    /// What the clock shows at the beginning, as `2026-01-31T12:00:00Z`. It stands still but for what is waited for.
    pub fn now(mut self, time: &str) -> Self {
        self.world.insert("now".into(), time.into());
        self
    }

    /// Runs the component with these inputs, from the start of the step to its end.
    ///
    /// # Errors
    /// When it does not run at all; see [`HarnessError`].
    pub fn run(self, inputs: Value) -> Result<Run, HarnessError> {
        let component = find::component(self.component)?;
        let mut command = self.command.unwrap_or_else(|| Command::new(find::host()));
        let program = command.get_program().to_string_lossy().into_owned();
        let mut request = self.request;
        request.insert("component".into(), json!(component));
        request.insert("inputs".into(), inputs);
        request.insert("world".into(), self.world.into());

        let missing = |error| HarnessError::NoHost {
            program: program.clone(),
            error,
        };
        let mut child = command
            .args(["plugin", "harness"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(missing)?;
        // It reads all before it answers. One that ends before says why.
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(Value::from(request).to_string().as_bytes());
        }
        let output = child.wait_with_output().map_err(missing)?;
        let no_report = |why: String| HarnessError::NoReport {
            program: program.clone(),
            why,
        };
        let report: Value = serde_json::from_slice(&output.stdout)
            .map_err(|_| no_report(String::from_utf8_lossy(&output.stderr).trim().to_owned()))?;
        match report.get("error").and_then(Value::as_str) {
            Some(why) => Err(HarnessError::Refused(why.to_owned())),
            None => Run::of(report).map_err(|error| no_report(error.to_string())),
        }
    }
}
