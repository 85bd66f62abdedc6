//! What a component asks for: the manifest in its custom section.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::secret::SecretUse;

/// The name of the custom section that holds the manifest, as JSON.
pub const MANIFEST_SECTION: &str = "capstan:manifest@1";

/// Everything a component says of itself. Strings may hold `${inputs.KEY}`, bound to the step's inputs (keys
/// without regard to case), and `${context.workDirectory}`, `${context.downloadsDirectory}`
/// or `${context.dataDirectory}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// `aws:runShellScript`, `corp:rotateLogs`, …: every name that the component serves as an action.
    #[serde(default)]
    pub actions: Vec<String>,
    /// The names that it serves as an inventory collector. A component has at least one name of either kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collectors: Vec<String>,
    /// Semantic version of the component.
    pub version: String,
    /// One sentence for people.
    pub description: String,
    /// JSON Schema of the inputs.
    #[serde(default)]
    pub input_schema: Value,
    /// SSM platform words that the action works on (`Linux`, `MacOS`, `Windows`); empty is all. Elsewhere the
    /// step is skipped or failed as SSM's rules say.
    #[serde(default)]
    pub platforms: Vec<String>,
    /// What it needs, with reasons.
    #[serde(default)]
    pub capabilities: CapabilityRequests,
    /// What a normal run uses.
    #[serde(default)]
    pub limits: Option<Value>,
}

impl Manifest {
    /// Every name that a step can use.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.actions
            .iter()
            .chain(&self.collectors)
            .map(String::as_str)
    }

    /// Whether a name is that of a collector.
    #[must_use]
    pub fn collects(&self, name: &str) -> bool {
        self.collectors.iter().any(|collector| collector == name)
    }

    /// Whether the component asks for a folder that outlives runs.
    #[must_use]
    pub fn keeps_data(&self) -> bool {
        self.capabilities
            .files
            .iter()
            .any(|request| request.path.contains("${context.dataDirectory}"))
    }
}

/// Requested capabilities by kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CapabilityRequests {
    /// Files and folders.
    pub files: Vec<FileRequest>,
    /// Programs, by the name that the component uses in `process.spawn`.
    pub programs: BTreeMap<String, ProgramRequest>,
    /// Hosts.
    pub hosts: Vec<HostRequest>,
    /// Everything else that is named by pattern.
    pub parameters: Vec<NameRequest>,
    /// Secrets and secure parameters.
    pub secrets: Vec<SecretRequest>,
    /// Documents to read or run.
    pub documents: Vec<NameRequest>,
    /// AWS services to sign for.
    pub signing: Vec<NameRequest>,
    /// What the programs of the step may do beyond the component itself: `any` means whatever the operator
    /// grants, as a shell script needs whatever its author wrote.
    pub children: ChildrenRequest,
}

/// What child processes may be given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChildrenRequest {
    /// No more than the component.
    #[default]
    Same,
    /// All that the policy grants to the step.
    Any,
}

/// Access to a file or folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileRequest {
    /// Absolute path, possibly with a `${…}` binding. A binding to an absent input drops the request.
    pub path: String,
    /// What is done with it; the words of a policy.
    pub access: Vec<String>,
    /// Why.
    pub reason: String,
    /// The action works without it.
    #[serde(default)]
    pub optional: bool,
}

/// A program that the component starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProgramRequest {
    /// Absolute paths, the first that exists is used.
    pub paths: Vec<String>,
    /// The shape of the arguments: literals, and holes `{word}` (not empty, no leading `-`), `{int}`, `{path}`
    /// (absolute), `{text}` (anything), and as the last one `{words...}` or `{rest...}` for any number.
    pub arguments: Vec<String>,
    /// Why.
    pub reason: String,
    /// The action works without it.
    #[serde(default)]
    pub optional: bool,
}

/// A host to reach.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostRequest {
    /// `https://example.com`, with optional port and path pattern; or one `${…}` binding to an input URL; or `*`
    /// for whatever the policy grants.
    pub url: String,
    /// Methods; empty is any.
    #[serde(default)]
    pub methods: Vec<String>,
    /// Why.
    pub reason: String,
    /// The action works without it.
    #[serde(default)]
    pub optional: bool,
}

/// A secret or secure parameter, and where its value is to be put.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretRequest {
    /// The name, or a pattern with a trailing `*`; may hold a `${…}` binding.
    pub name: String,
    /// What for; when absent, requests alone if there are `hosts`, else anything.
    #[serde(default)]
    pub uses: Option<BTreeSet<SecretUse>>,
    /// To which hosts it is sent, as in [`HostRequest::url`]; empty is all that the step may reach.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Why.
    pub reason: String,
    /// The action works without it.
    #[serde(default)]
    pub optional: bool,
}

/// A name, or pattern with a trailing `*`, of a parameter, document or service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NameRequest {
    /// The name; may hold a `${…}` binding.
    pub name: String,
    /// Why.
    pub reason: String,
    /// The action works without it.
    #[serde(default)]
    pub optional: bool,
}
