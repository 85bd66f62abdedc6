//! What a test asks for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use capstan_runtime::{ParameterValue, Platform};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::content::{Content, of_base64};
use crate::error::HarnessError;

/// One step of a component, and the world that it runs in.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// The component's file.
    pub component: PathBuf,
    /// One of its names; the first one when absent.
    #[serde(default)]
    pub action: Option<String>,
    /// The step's inputs, references resolved.
    #[serde(default)]
    pub inputs: Map<String, Value>,
    /// A policy, YAML or JSON. Without one, all that the manifest requests is granted.
    #[serde(default)]
    pub policy: Option<String>,
    /// What is taken away from all that the manifest requests, in the words of a policy's `grants`. A file may be its
    /// path alone.
    #[serde(default)]
    pub deny: Option<Map<String, Value>>,
    /// Limits, in the words of a policy.
    #[serde(default)]
    pub limits: Option<Map<String, Value>>,
    /// The world.
    #[serde(default)]
    pub world: WorldSpec,
    /// What the component is told of where it runs.
    #[serde(default)]
    pub step: StepSpec,
}

/// A world.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WorldSpec {
    /// By absolute path. The folders above them are there too.
    pub files: BTreeMap<String, FileSpec>,
    /// The first that fits and is not used up answers.
    pub programs: Vec<ProgramSpec>,
    /// The same for servers.
    pub http: Vec<HttpSpec>,
    /// Text, or a list of texts.
    pub parameters: BTreeMap<String, ParameterSpec>,
    /// By name.
    pub secrets: BTreeMap<String, String>,
    /// By name.
    pub documents: BTreeMap<String, DocumentSpec>,
    /// What a step that waits for one of them gets, each once, in this order.
    pub signals: Vec<Signal>,
    /// What the clock shows at the beginning; midnight of the first of January 2026 when absent.
    pub now: Option<Time>,
}

/// A time, as RFC 3339 writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Time(pub Timestamp);

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.parse::<Timestamp>() {
            Ok(time) if time >= Timestamp::UNIX_EPOCH => Ok(Self(time)),
            _ => Err(format!(
                "`{text}` is no time after 1970, such as 2026-01-31T12:00:00Z"
            )),
        }
    }
}

/// A parameter's value.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "a parameter is a text or a list of texts")]
pub enum ParameterSpec {
    /// `String`.
    Text(String),
    /// `StringList`.
    List(Vec<String>),
}

impl From<ParameterSpec> for ParameterValue {
    fn from(spec: ParameterSpec) -> Self {
        match spec {
            ParameterSpec::Text(text) => Self::Text(text),
            ParameterSpec::List(list) => Self::List(list),
        }
    }
}

/// A file or a folder: a text, or a mapping with `text` or `base64` or `directory: true`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct FileSpec {
    /// None is a folder.
    pub content: Option<Vec<u8>>,
    /// The permission bits.
    pub mode: Option<u32>,
    /// When it was last changed; when the test begins when absent.
    pub modified: Option<Time>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileFields {
    text: Option<String>,
    base64: Option<String>,
    #[serde(default)]
    directory: bool,
    mode: Option<String>,
    modified: Option<Time>,
}

impl TryFrom<Value> for FileSpec {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        if let Value::String(text) = value {
            return Ok(Self {
                content: Some(text.into_bytes()),
                mode: None,
                modified: None,
            });
        }
        let fields: FileFields = serde_json::from_value(value)
            .map_err(|error| format!("a file is a text or a mapping: {error}"))?;
        let content = match (fields.text, fields.base64, fields.directory) {
            (Some(text), None, false) => Some(text.into_bytes()),
            (None, Some(text), false) => Some(of_base64(&text)?.0),
            (None, None, true) => None,
            _ => {
                return Err("a file has either `text` or `base64` or `directory: true`".into());
            }
        };
        let mode = match fields.mode {
            None => None,
            Some(text) => match u32::from_str_radix(&text, 8) {
                Ok(mode) if mode <= 0o7777 => Some(mode),
                _ => {
                    return Err(format!(
                        "`mode` is octal, such as \"0640\", and not `{text}`"
                    ));
                }
            },
        };
        Ok(Self {
            content,
            mode,
            modified: fields.modified,
        })
    }
}

/// What a program does. It is asked for once the command has passed all checks.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ProgramSpec {
    /// The name of its capability in the manifest.
    pub program: String,
    /// Just these; any when absent.
    pub arguments: Option<Vec<String>>,
    /// The program is not on this machine.
    pub absent: bool,
    /// What it prints.
    pub stdout: Content,
    /// What it prints to standard error.
    pub stderr: Content,
    /// 0 when absent.
    pub exit_code: Option<i32>,
    /// A signal that ends it.
    pub signal: Option<i32>,
    /// The time-out of its command ends it.
    pub times_out: bool,
    /// How long it takes by the clock of this world, in milliseconds.
    pub takes_millis: u64,
    /// Files that it makes or replaces, as far as the step's programs may.
    pub writes: BTreeMap<String, Content>,
    /// Files and folders that it removes, the same.
    pub removes: Vec<String>,
    /// How often it answers so; always when absent.
    pub times: Option<u32>,
}

/// What a server answers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HttpSpec {
    /// Any when absent or `*`.
    pub method: Option<String>,
    /// Absolute; `*` stands for any characters.
    pub url: String,
    /// 200 when absent.
    pub status: Option<u16>,
    /// Of the response.
    pub headers: BTreeMap<String, String>,
    /// Of the response.
    pub body: Option<Content>,
    /// The same, as JSON.
    pub json: Option<Value>,
    /// The server cannot be reached, for this reason.
    pub error: Option<String>,
    /// The server does not answer in time.
    pub times_out: bool,
    /// How often it answers so; always when absent.
    pub times: Option<u32>,
}

/// A stored document, or a run of one.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Value")]
pub struct DocumentSpec {
    /// None is not in the store.
    pub content: Option<String>,
    /// How it ends when it is run.
    pub status: String,
    /// The same.
    pub exit_code: i32,
    /// What it prints then.
    pub output: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DocumentFields {
    content: Option<String>,
    status: Option<String>,
    #[serde(default)]
    exit_code: i32,
    #[serde(default)]
    output: String,
}

impl TryFrom<Value> for DocumentSpec {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let fields = match value {
            Value::String(text) => DocumentFields {
                content: Some(text),
                status: None,
                exit_code: 0,
                output: String::new(),
            },
            value => serde_json::from_value(value)
                .map_err(|error| format!("a document is a text or a mapping: {error}"))?,
        };
        Ok(Self {
            content: fields.content,
            status: fields.status.unwrap_or_else(|| "Success".into()),
            exit_code: fields.exit_code,
            output: fields.output,
        })
    }
}

/// A signal.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signal {
    /// Its name.
    pub name: String,
    /// What it says.
    #[serde(default)]
    pub payload: Option<Value>,
}

/// Where and for whom the step runs.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "named as in the contract")]
pub struct StepSpec {
    pub document: String,
    pub name: String,
    pub run_id: String,
    pub node_id: String,
    pub node_tags: BTreeMap<String, String>,
    pub attempt: u32,
    pub region: String,
    pub platform: Platform,
    /// What the document adds to the environment of programs.
    pub environment: BTreeMap<String, String>,
    /// The parameters of the document, for a policy that refers to them.
    pub document_parameters: BTreeMap<String, Value>,
}

impl Default for StepSpec {
    fn default() -> Self {
        Self {
            document: "test".into(),
            name: "test".into(),
            run_id: "test-run".into(),
            node_id: "test-node".into(),
            node_tags: BTreeMap::new(),
            attempt: 1,
            region: "us-east-1".into(),
            platform: Platform {
                kind: "linux".into(),
                name: "debian".into(),
                version: "12".into(),
                architecture: "x86_64".into(),
            },
            environment: BTreeMap::new(),
            document_parameters: BTreeMap::new(),
        }
    }
}

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    /// [`HarnessError::Request`] with what is wrong, and where.
    pub fn parse(text: &str) -> Result<Self, HarnessError> {
        let request: Self = serde_json::from_str(text)
            .map_err(|error| HarnessError::Request(format!("the request: {error}")))?;
        request.check().map_err(HarnessError::Request)?;
        Ok(request)
    }

    fn check(&self) -> Result<(), String> {
        let world = &self.world;
        let written = world
            .programs
            .iter()
            .flat_map(|program| program.writes.keys().chain(&program.removes));
        for path in world.files.keys().chain(written) {
            if !capstan_policy::is_normal_path(path) || path == "/" {
                return Err(format!(
                    "the file `{path}`: a path is absolute here, without `.`, `..` and doubled or trailing slashes"
                ));
            }
        }
        for program in &world.programs {
            program.check()?;
        }
        world.http.iter().try_for_each(HttpSpec::check)
    }
}

impl ProgramSpec {
    fn check(&self) -> Result<(), String> {
        if self.program.is_empty() {
            return Err("an answer in `programs` names its `program`".into());
        }
        let ends = [
            self.absent,
            self.exit_code.is_some(),
            self.signal.is_some(),
            self.times_out,
        ];
        if ends.iter().filter(|there| **there).count() > 1 {
            return Err(format!(
                "the program {}: it has one of `exitCode`, `signal`, `timesOut` and `absent`",
                self.program
            ));
        }
        Ok(())
    }
}

impl HttpSpec {
    fn check(&self) -> Result<(), String> {
        let bad = |why: &str| Err(format!("the answer to `{}`: {why}", self.url));
        if !self.url.contains('*') && url::Url::parse(&self.url).is_err() {
            return bad("its `url` is no absolute URL");
        }
        if self.error.is_some() && self.times_out {
            return bad("it has either `error` or `timesOut`");
        }
        if self.body.is_some() && self.json.is_some() {
            return bad("it has either `body` or `json`");
        }
        if !matches!(self.status.unwrap_or(200), 200..=599) {
            return bad("its `status` is not 200 to 599");
        }
        for (name, value) in &self.headers {
            if http::HeaderName::try_from(name.as_str()).is_err()
                || http::HeaderValue::try_from(value.as_str()).is_err()
            {
                return bad(&format!("`{name}: {value}` is no header"));
            }
        }
        Ok(())
    }
}
