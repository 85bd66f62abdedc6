//! Preconditions, as the SSM agent decides them.

use capstan_syntax::{Node, Position};

use crate::interpolation::references;
use crate::parameters::Parameter;

/// The platform of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Platform {
    Linux,
    MacOs,
    Windows,
}

impl Platform {
    /// SSM's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Linux => "Linux",
            Self::MacOs => "MacOS",
            Self::Windows => "Windows",
        }
    }
}

/// When a step runs; empty is always. Arguments as they were written, and with parameters put in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Precondition {
    /// Operator, arguments as written, arguments resolved.
    pub(crate) conditions: Vec<(String, Vec<String>, Vec<String>)>,
    /// Why it cannot be recognised at all.
    pub(crate) malformed: Option<String>,
    /// Where it stands.
    pub(crate) position: Option<Position>,
}

/// The result of a precondition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PreconditionOutcome {
    /// The step runs.
    Met,
    /// The step is skipped; the text says why.
    NotMet(String),
    /// The step fails; the text says why.
    Unrecognized(String),
}

impl Precondition {
    pub(crate) fn read(node: &Node, schema_version: &str) -> Self {
        let mut precondition = Self {
            position: Some(node.position),
            ..Self::default()
        };
        if schema_version != "2.2" {
            precondition.malformed = Some(format!(
                "a document of schema {schema_version} has no preconditions; use schema 2.2"
            ));
            return precondition;
        }
        let Some(entries) = node.as_map() else {
            precondition.malformed =
                Some(format!("a precondition is a mapping, not {}", node.kind()));
            return precondition;
        };
        for entry in entries {
            let arguments = entry
                .node
                .as_list()
                .unwrap_or_default()
                .iter()
                .filter_map(Node::scalar_text)
                .collect::<Vec<_>>();
            precondition
                .conditions
                .push((entry.key.clone(), arguments.clone(), arguments));
        }
        precondition
    }

    /// A reference to a parameter that there is not can never be decided.
    pub(crate) fn refuse_undeclared(&mut self, parameters: &[Parameter]) {
        let declared =
            |name: &str| name.contains(':') || parameters.iter().any(|one| one.name == name);
        let missing = self
            .conditions
            .iter()
            .flat_map(|(_, written, _)| written)
            .flat_map(|text| references(text))
            .find(|reference| !declared(reference.name));
        if let (Some(missing), None) = (missing, &self.malformed) {
            self.malformed = Some(format!(
                "the precondition names a parameter `{}` that the document does not have",
                missing.name
            ));
        }
    }

    /// Decides. All conditions must hold.
    #[must_use]
    pub fn evaluate(&self, platform: Platform) -> PreconditionOutcome {
        if let Some(why) = &self.malformed {
            return PreconditionOutcome::Unrecognized(why.clone());
        }
        let mut unmet = None;
        for (operator, written, resolved) in &self.conditions {
            let unrecognized = |why: &str| {
                PreconditionOutcome::Unrecognized(format!(
                    "the precondition {operator} [{}] cannot be recognised: {why}",
                    written.join(", ")
                ))
            };
            if operator != "StringEquals" {
                return unrecognized("the only operator is StringEquals");
            }
            let ([first, second], [left, right]) = (written.as_slice(), resolved.as_slice()) else {
                return unrecognized("it takes two arguments");
            };
            if first == second {
                return unrecognized("both arguments are the same");
            }
            if written
                .iter()
                .any(|text| text.contains("ssm:") || text.contains("ssm-secure:"))
                && written.iter().any(|text| text.contains("{{"))
            {
                return unrecognized("references to Parameter Store are not allowed here");
            }
            let met = if first == "platformType" || second == "platformType" {
                let (written, value) = if first == "platformType" {
                    (second, right)
                } else {
                    (first, left)
                };
                if written.contains("{{") {
                    return unrecognized("the platform cannot come from a parameter");
                }
                value.eq_ignore_ascii_case(platform.word())
            } else {
                if !written.iter().any(|text| !references(text).is_empty()) {
                    return unrecognized("one argument is platformType or holds a parameter");
                }
                left == right
            };
            if !met && unmet.is_none() {
                unmet = Some(format!(
                    "the precondition {operator} [{}] is not met",
                    resolved.join(", ")
                ));
            }
        }
        unmet.map_or(PreconditionOutcome::Met, PreconditionOutcome::NotMet)
    }
}
