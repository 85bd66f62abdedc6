//! What documents of all types have in common.

use capstan_syntax::{Diagnostic, Diagnostics, Node, Severity, Value as NodeValue, parse};
use serde_json::Value;

use crate::parameters::{Parameter, read_parameters};

/// A document of any type that is a mapping with a `schemaVersion`.
#[derive(Debug, Clone)]
pub struct Outline {
    /// `0.3`, `1.0`, …
    pub schema_version: String,
    /// Its own words about itself.
    pub description: String,
    /// In the order of the file.
    pub parameters: Vec<Parameter>,
    /// All of it.
    pub value: Value,
}

/// The value of a text, YAML or JSON, whatever it is.
///
/// # Errors
/// Why it is not well formed. `origin` is its name in messages.
pub fn parse_value(source: &str, origin: &str) -> Result<Value, Diagnostics> {
    parse(source)
        .map(|node| node.to_json())
        .map_err(|problems| Diagnostics::new(origin, problems))
}

impl Outline {
    /// Reads a document of any type. `origin` is its name in messages.
    ///
    /// # Errors
    /// When it is not well formed, no mapping, has no `schemaVersion`, or has parameters that are none.
    pub fn parse(source: &str, origin: &str) -> Result<Self, Diagnostics> {
        let root = parse(source).map_err(|problems| Diagnostics::new(origin, problems))?;
        let mut problems = Vec::new();
        let outline = Self::read(&root, &mut problems);
        finish(outline, origin, problems)
    }

    pub(crate) fn read(root: &Node, problems: &mut Vec<Diagnostic>) -> Self {
        let mut outline = Self {
            schema_version: String::new(),
            description: String::new(),
            parameters: Vec::new(),
            value: root.to_json(),
        };
        if root.as_map().is_none() {
            problems.push(Diagnostic::wrong_type(root, "a document is a mapping"));
            return outline;
        }
        match root.get("schemaVersion") {
            None => problems.push(Diagnostic::error(
                "schema-version",
                root.position,
                "the document has no `schemaVersion`",
            )),
            Some(node) => match node.as_str() {
                Some(text) => text.clone_into(&mut outline.schema_version),
                None => problems.push(
                    Diagnostic::wrong_type(node, "`schemaVersion` is text")
                        .help("write it in quotes"),
                ),
            },
        }
        if let Some(node) = root
            .get("description")
            .filter(|node| node.value != NodeValue::Null)
        {
            match node.scalar_text() {
                Some(text) => outline.description = text,
                None => problems.push(Diagnostic::wrong_type(node, "`description` is text")),
            }
        }
        if let Some(node) = root.get("parameters") {
            outline.parameters = read_parameters(node, problems, &mut Vec::new());
        }
        outline
    }
}

/// What was read, if nothing was wrong.
pub(crate) fn finish<T>(
    read: T,
    origin: &str,
    problems: Vec<Diagnostic>,
) -> Result<T, Diagnostics> {
    if problems
        .iter()
        .any(|problem| problem.severity == Severity::Error)
    {
        return Err(Diagnostics::new(origin, problems));
    }
    Ok(read)
}
