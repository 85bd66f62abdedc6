//! Messages about a file.

use std::fmt;

use serde::Serialize;

use crate::node::Node;

/// A place in a file; both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but probably does not do what its author thinks.
    Warning,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The kind of problem, a stable word for programs.
    pub code: &'static str,
    /// What is wrong, in one sentence.
    pub message: String,
    /// Where.
    pub position: Option<Position>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: &'static str, position: Position, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            position: Some(position),
            help: None,
        }
    }

    /// A warning.
    pub fn warning(code: &'static str, position: Position, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, position, message)
        }
    }

    /// An error: a node is of another kind than the rule says, such as "a step is a mapping".
    pub fn wrong_type(node: &Node, rule: impl fmt::Display) -> Self {
        let message = format!("{rule}, not {}", node.kind());
        Self::error("type", node.position, message)
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// All messages about one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostics {
    /// The file's name, as the user gave it.
    pub origin: String,
    /// In the order of the file.
    pub items: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Collects messages, sorted by position.
    pub fn new(origin: impl Into<String>, mut items: Vec<Diagnostic>) -> Self {
        items.sort_by_key(|item| item.position);
        Self {
            origin: origin.into(),
            items,
        }
    }

    /// Whether any of them is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.items
            .iter()
            .any(|item| item.severity == Severity::Error)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.items.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            let severity = match item.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            write!(f, "{}", self.origin)?;
            if let Some(position) = item.position {
                write!(f, ":{}:{}", position.line, position.column)?;
            }
            write!(f, ": {severity}[{}]: {}", item.code, item.message)?;
            if let Some(help) = &item.help {
                write!(f, "\n  help: {help}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// The candidate that a misspelt word most likely stands for.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).clamp(1, 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_typo_finds_its_word_and_a_stranger_does_not() {
        let words = ["mainSteps", "parameters", "description", "name"];
        assert_eq!(nearest("mainstep", words), Some("mainSteps"));
        assert_eq!(nearest("paramters", words), Some("parameters"));
        assert_eq!(nearest("nmae", words), Some("name"));
        assert_eq!(nearest("assumeRole", words), None);
    }
}
