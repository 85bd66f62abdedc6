//! A document as it is written.

use capstan_syntax::{Diagnostic, Diagnostics, Entry, Node, Severity, Value, nearest, parse_all};
use sha2::{Digest as _, Sha256};

use crate::inputs::ActionSchemas;
use crate::parameters::{Parameter, read_parameters};
use crate::steps::{Step, read_main_steps, read_runtime_config};

/// A command document that has been read and checked.
#[derive(Debug, Clone)]
pub struct Document {
    pub(crate) origin: String,
    pub(crate) schema_version: String,
    pub(crate) description: String,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) steps: Vec<Step>,
    pub(crate) lints: Vec<Diagnostic>,
    sha256: String,
}

/// The versions that the SSM agent runs.
const VERSIONS: &[&str] = &["1.2", "2.0", "2.0.1", "2.0.2", "2.0.3", "2.2"];
const TOP: &[&str] = &[
    "schemaVersion",
    "description",
    "parameters",
    "mainSteps",
    "runtimeConfig",
    "assumeRole",
    "outputs",
    "variables",
    "files",
    "sessionType",
    "inputs",
    "properties",
];
/// SSM keeps documents up to this size.
const SSM_MAX_BYTES: usize = 64 * 1024;

impl Document {
    /// Reads a document, YAML or JSON. `origin` is its name in messages.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its place.
    pub fn parse(source: &str, origin: &str) -> Result<Self, Diagnostics> {
        let (document, problems) = Self::examine(source, origin);
        let errors = problems
            .iter()
            .any(|problem| problem.severity == Severity::Error);
        match document {
            Some(mut document) if !errors => {
                document.lints.extend(problems);
                Ok(document)
            }
            _ => Err(Diagnostics::new(origin, problems)),
        }
    }

    /// Says everything that can be said of a text: errors, lints, and how its steps' inputs fit their actions.
    #[must_use]
    pub fn validate(source: &str, origin: &str, schemas: ActionSchemas<'_>) -> Diagnostics {
        let (document, mut problems) = Self::examine(source, origin);
        if let Some(mut document) = document {
            problems.extend(crate::lint::lint(&document));
            problems.extend(crate::inputs::check(&document, schemas));
            problems.append(&mut document.lints);
        }
        Diagnostics::new(origin, problems)
    }

    /// Reads as much as can be read.
    fn examine(source: &str, origin: &str) -> (Option<Self>, Vec<Diagnostic>) {
        let (root, mut problems) = parse_all(source);
        let Some(root) = root else {
            return (None, problems);
        };
        let mut document = Self {
            origin: origin.to_owned(),
            schema_version: String::new(),
            description: String::new(),
            parameters: Vec::new(),
            steps: Vec::new(),
            lints: Vec::new(),
            sha256: hex(&Sha256::digest(source.as_bytes())),
        };
        if source.len() > SSM_MAX_BYTES {
            document.lints.push(
                Diagnostic::warning(
                    "document-size",
                    root.position,
                    format!("the document has {} bytes", source.len()),
                )
                .help("SSM itself refuses documents over 65536 bytes"),
            );
        }
        document.read(&root, &mut problems);
        (Some(document), problems)
    }

    fn read(&mut self, root: &Node, problems: &mut Vec<Diagnostic>) {
        let Some(entries) = root.as_map() else {
            problems.push(Diagnostic::error(
                "syntax",
                root.position,
                format!("a document is a mapping, not {}", root.kind()),
            ));
            return;
        };
        unknown_fields(entries, TOP, "a document", problems);
        match root.get("schemaVersion") {
            None => problems.push(
                Diagnostic::error(
                    "schema-version",
                    root.position,
                    "the document has no `schemaVersion`",
                )
                .help("begin it with schemaVersion: '2.2'"),
            ),
            Some(node) => match &node.value {
                Value::String(text) => text.clone_into(&mut self.schema_version),
                _ => problems.push(
                    Diagnostic::error("schema-version", node.position, "`schemaVersion` is text")
                        .help(format!(
                            "write it in quotes: '{}'",
                            node.scalar_text().unwrap_or_else(|| "2.2".into())
                        )),
                ),
            },
        }
        let version = self.schema_version.as_str();
        if let Some(node) = root.get("schemaVersion")
            && !version.is_empty()
            && !VERSIONS.contains(&version)
        {
            let (message, help) = match version {
                "0.3" => (
                    "this is an automation runbook, not a command document".to_owned(),
                    "runbooks are started as automations; this command runs documents of schema 1.2 to 2.2",
                ),
                "1.0" => (
                    "this is a session document, not a command document".to_owned(),
                    "the schemas of command documents are 1.2 and 2.0 to 2.2",
                ),
                "1.1" | "2.1" => (format!("schema {version} was withdrawn"), "use 2.2"),
                _ => (
                    format!("there is no schema {version} of command documents"),
                    "use 2.2",
                ),
            };
            problems.push(Diagnostic::error("schema-version", node.position, message).help(help));
            // What is another kind of document is not read as one of these.
            if matches!(version, "0.3" | "1.0") {
                return;
            }
        }
        if let Some(node) = root
            .get("description")
            .filter(|node| node.value != Value::Null)
        {
            match node.scalar_text() {
                Some(text) => self.description = text,
                None => problems.push(Diagnostic::wrong_type(node, "`description` is text")),
            }
        }
        if let Some(node) = root.get("parameters") {
            self.parameters = read_parameters(node, problems, &mut self.lints);
        }
        // Where the version says nothing, the body does.
        let body = if VERSIONS.contains(&version) {
            version
        } else if root.get("runtimeConfig").is_some() && root.get("mainSteps").is_none() {
            "1.2"
        } else {
            "2.2"
        };
        if body == "1.2" {
            match root.get("runtimeConfig") {
                Some(node) => self.steps = read_runtime_config(node, problems),
                None => problems.push(Diagnostic::error(
                    "steps",
                    root.position,
                    "a document of schema 1.2 has a `runtimeConfig`",
                )),
            }
        } else {
            match root.get("mainSteps") {
                Some(node) => self.steps = read_main_steps(node, body, problems),
                None => problems.push(Diagnostic::error(
                    "steps",
                    root.position,
                    "the document has no `mainSteps`",
                )),
            }
        }
        for step in &mut self.steps {
            step.precondition.refuse_undeclared(&self.parameters);
        }
    }

    /// What SSM silently ignores or does otherwise than it looks.
    #[must_use]
    pub fn lint(&self) -> Diagnostics {
        let mut lints = self.lints.clone();
        lints.extend(crate::lint::lint(self));
        lints.sort_by_key(|item| item.position);
        Diagnostics::new(self.origin.clone(), lints)
    }

    /// `2.2`, …
    #[must_use]
    pub fn schema_version(&self) -> &str {
        &self.schema_version
    }

    /// Its own words about itself.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// In the order of the file.
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// In the order of the file.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// SHA-256 of the text, lower-case hexadecimal; what SSM calls the document's hash.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A field that is close to a known one is an error, any other a warning: real documents carry extras.
pub(crate) fn unknown_fields(
    entries: &[Entry],
    known: &[&str],
    what: &str,
    problems: &mut Vec<Diagnostic>,
) {
    for entry in entries {
        let key = entry.key.as_str();
        if known.contains(&key) {
            continue;
        }
        let message = format!("{what} has no field `{key}`");
        match nearest(key, known.iter().copied()) {
            Some(word) => problems.push(
                Diagnostic::error("unknown-field", entry.position, message)
                    .help(format!("did you mean `{word}`?")),
            ),
            None => problems.push(
                Diagnostic::warning("unknown-field", entry.position, message)
                    .help("it is ignored, as SSM ignores it"),
            ),
        }
    }
}
