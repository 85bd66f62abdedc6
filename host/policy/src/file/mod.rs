//! The policy file.

mod grants;
mod outputs;
mod publishers;
mod reader;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use capstan_syntax::{Diagnostics, Node, parse};
use serde::Serialize;

use crate::bind::GrantText;
use crate::grant::{Layer, RunAs};
use crate::limits::Limits;
use crate::profile::Profile;
pub use outputs::{OutputBucket, Outputs};
pub use publishers::{BUILT_IN_NAMESPACE, BUILT_IN_PUBLISHER, Publisher};
use reader::Reader;

/// What an operator allows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// What every step starts from.
    pub profile: Profile,
    /// The text that it was read from; empty when it is nothing but a profile.
    pub source: String,
    /// Limits of every step, by their names in [`Limits`].
    pub(crate) limits: BTreeMap<&'static str, u64>,
    /// Limits of a run as a whole, by the same names.
    pub(crate) run_limits: BTreeMap<&'static str, u64>,
    /// Layers whose absence is accepted, instead of those of the profile.
    pub(crate) may_lack: Option<BTreeSet<Layer>>,
    /// Whose signatures are known, and which names they are demanded for.
    pub publishers: BTreeMap<String, Publisher>,
    /// Where the outputs of a control plane's commands may go.
    pub outputs: Outputs,
    /// In the order of the file, which means nothing.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rule {
    /// Its name in explanations.
    pub id: String,
    /// When it applies.
    pub when: Match,
    /// What it does.
    pub effect: Effect,
    pub(crate) grants: GrantText,
    pub(crate) has_grants: bool,
    pub(crate) run_as: RunAs,
    pub(crate) limits: BTreeMap<&'static str, u64>,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Its grants are given.
    #[default]
    Allow,
    /// The same, and every use is told.
    Audit,
    /// Its grants are taken away, whatever another rule gives; without grants, the step is refused.
    Deny,
}

/// When a rule applies: all that is there must fit; patterns may hold `*` and `?`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named after what they are compared with")]
pub struct Match {
    pub document: Option<String>,
    pub version: Option<String>,
    pub sha256: Option<String>,
    pub action: Option<String>,
    pub publisher: Option<String>,
    pub step: Option<String>,
    pub node_tags: BTreeMap<String, String>,
}

impl Policy {
    /// A policy that is nothing but a profile.
    #[must_use]
    pub fn builtin(profile: Profile) -> Self {
        Self {
            profile,
            ..Self::default()
        }
    }

    /// Reads a policy file, YAML or JSON.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its place.
    pub fn parse(source: &str, origin: &str) -> Result<Self, Diagnostics> {
        let mut reader = Reader::default();
        let policy = match parse(source) {
            Ok(root) => Self {
                source: source.to_owned(),
                ..reader.policy(&root)
            },
            Err(problems) => return Err(Diagnostics::new(origin, problems)),
        };
        if reader.problems.is_empty() {
            Ok(policy)
        } else {
            Err(Diagnostics::new(origin, reader.problems))
        }
    }

    /// Accepts that a layer is missing, where the file has no list of its own.
    #[must_use]
    pub fn accept_missing(mut self, layer: Layer) -> Self {
        if self.may_lack.is_none() {
            let mut accepted = self.profile.may_lack();
            accepted.insert(layer);
            self.may_lack = Some(accepted);
        }
        self
    }

    /// What all steps of a run together may use; without `runLimits`, each step has its own limits alone.
    #[must_use]
    pub fn run_limits(&self) -> Limits {
        let unlimited = Limits {
            fuel: u64::MAX,
            output_bytes: u64::MAX,
            child_cpu_millis: u64::MAX,
            http_requests: u64::MAX,
            http_bytes: u64::MAX,
            wall_millis: u64::MAX,
            ..Limits::default()
        };
        apply(&unlimited, &self.run_limits)
    }

    pub(crate) fn limits_with(&self, more: &[&BTreeMap<&'static str, u64>]) -> Limits {
        let mut limits = apply(&Limits::default(), &self.limits);
        for map in more {
            limits = lower(&limits, map);
        }
        limits
    }
}

/// Sets the limits of a map.
fn apply(limits: &Limits, map: &BTreeMap<&'static str, u64>) -> Limits {
    let mut value = serde_json::to_value(limits).unwrap_or_default();
    for (name, number) in map {
        value[*name] = (*number).into();
    }
    serde_json::from_value(value).unwrap_or_else(|_| limits.clone())
}

/// Sets the limits of a map that are lower.
pub(crate) fn lower(limits: &Limits, map: &BTreeMap<&'static str, u64>) -> Limits {
    let value = serde_json::to_value(limits).unwrap_or_default();
    let lower = map
        .iter()
        .filter(|(name, number)| value[**name].as_u64().is_none_or(|now| **number < now));
    apply(
        limits,
        &lower.map(|(name, number)| (*name, *number)).collect(),
    )
}

/// A step's declaration, or the grants of a manifest's author: the vocabulary of a rule's `grants`, with `limits`.
pub(crate) fn parse_declaration(
    value: &serde_json::Value,
) -> Result<(GrantText, BTreeMap<&'static str, u64>), Vec<String>> {
    let node = Node::from_json(value, capstan_syntax::Position { line: 1, column: 1 });
    let mut reader = Reader::default();
    let mut limits = BTreeMap::new();
    let grants = reader.grants(&node, true, &mut limits);
    if reader.problems.is_empty() {
        Ok((grants, limits))
    } else {
        Err(reader
            .problems
            .into_iter()
            .map(|problem| problem.message)
            .collect())
    }
}
