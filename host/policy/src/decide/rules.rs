//! Which rules of a policy apply to a step, what they give it, and what they take away.

use std::collections::BTreeMap;

use super::Subject;
use crate::bind::{GrantText, NAME_KINDS, names, names_mut};
use crate::file::{Effect, Match, Policy, Rule};
use crate::grant::{Grant, HostRule};
use crate::lattice::{meet, union};
use crate::pattern::{glob, is_below, name_matches};

fn applies(when: &Match, subject: &Subject) -> bool {
    let fits = |pattern: &Option<String>, text: &str| {
        pattern.as_ref().is_none_or(|pattern| glob(pattern, text))
    };
    fits(&when.document, &subject.document)
        && fits(
            &when.version,
            subject.document_version.as_deref().unwrap_or_default(),
        )
        && when
            .sha256
            .as_ref()
            .is_none_or(|hash| hash.eq_ignore_ascii_case(&subject.document_sha256))
        && fits(&when.action, &subject.action)
        && fits(
            &when.publisher,
            subject.publisher.as_deref().unwrap_or_default(),
        )
        && fits(&when.step, &subject.step)
        && when.node_tags.iter().all(|(key, pattern)| {
            subject
                .node_tags
                .get(key)
                .is_some_and(|tag| glob(pattern, tag))
        })
}

/// A rule's effect on one subject.
pub(super) struct Outcome {
    pub(super) granted: Grant,
    pub(super) refused: Option<String>,
    pub(super) limits: Vec<BTreeMap<&'static str, u64>>,
    pub(super) problems: Vec<String>,
    pub(super) rules: Vec<String>,
    pub(super) audited: Vec<String>,
}

impl Policy {
    /// `any_step` passes over what a rule says of actions, publishers and steps.
    pub(super) fn rules_for(&self, subject: &Subject, any_step: bool) -> Outcome {
        let mut outcome = Outcome {
            granted: Grant::default(),
            refused: None,
            limits: Vec::new(),
            problems: Vec::new(),
            rules: Vec::new(),
            audited: Vec::new(),
        };
        for rule in &self.rules {
            let when = if any_step {
                Match {
                    action: None,
                    step: None,
                    publisher: None,
                    ..rule.when.clone()
                }
            } else {
                rule.when.clone()
            };
            if !applies(&when, subject) {
                continue;
            }
            outcome.rules.push(rule.id.clone());
            match rule.effect {
                Effect::Deny if !rule.has_grants => outcome.refused = Some(rule.id.clone()),
                Effect::Deny => {}
                Effect::Allow | Effect::Audit => {
                    let (grant, problems) = rule.grants.bind(&subject.parameters);
                    outcome.granted = union(&outcome.granted, &grant);
                    outcome.problems.extend(
                        problems
                            .into_iter()
                            .map(|problem| format!("rule `{}`: {problem}", rule.id)),
                    );
                    if rule.run_as.user.is_some() {
                        outcome.granted.run_as = rule.run_as.clone();
                    }
                    outcome.limits.push(rule.limits.clone());
                    if rule.effect == Effect::Audit {
                        outcome.audited.push(rule.id.clone());
                    }
                }
            }
        }
        outcome
    }

    /// Takes what deny rules name out of a grant. Returns what of them cannot be bound, each with its rule.
    pub(super) fn take_denied(
        &self,
        subject: &Subject,
        grant: &mut Grant,
    ) -> Vec<(String, String)> {
        let mut unbound = Vec::new();
        let denies = |rule: &&Rule| {
            rule.effect == Effect::Deny && rule.has_grants && applies(&rule.when, subject)
        };
        for rule in self.rules.iter().filter(denies) {
            let (denied, problems) = GrantText::bind(&rule.grants, &subject.parameters);
            unbound.extend(
                problems
                    .into_iter()
                    .map(|problem| (rule.id.clone(), problem)),
            );
            for file in &denied.files {
                grant
                    .files
                    .retain(|granted| !is_below(&granted.path, &file.path));
                for granted in &mut grant.files {
                    if is_below(&file.path, &granted.path) {
                        granted.except.push(file.path.clone());
                    }
                }
            }
            for host in &denied.hosts {
                // A rule that overlaps with a denied host goes as a whole: better too little than too much.
                let single = |rule: &HostRule| Grant {
                    hosts: vec![rule.clone()],
                    ..Grant::default()
                };
                grant
                    .hosts
                    .retain(|rule| meet(&single(rule), &single(host)).hosts.is_empty());
            }
            for secret in &denied.secrets {
                grant
                    .secrets
                    .retain(|rule| !overlaps(&secret.name, &rule.name));
            }
            for kind in NAME_KINDS {
                let Some(gone) = names(&denied, kind).cloned() else {
                    continue;
                };
                if let Some(list) = names_mut(grant, kind) {
                    list.retain(|name| !gone.iter().any(|pattern| overlaps(pattern, name)));
                }
            }
        }
        unbound
    }
}

/// Whether a denied name or pattern touches a granted one.
fn overlaps(denied: &str, granted: &str) -> bool {
    let stem = granted.trim_end_matches('*');
    name_matches(denied, granted) || (granted.ends_with('*') && denied.starts_with(stem))
}
