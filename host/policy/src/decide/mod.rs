//! The decision what a step may do.

mod component;
mod missing;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::file::{Policy, lower, parse_declaration};
use crate::grant::Grant;
use crate::lattice::{meet, union};
use crate::limits::Limits;
use crate::pattern::is_below;
use crate::request::{ChildrenRequest, Manifest};

use component::component;
use missing::needs_of_grant;
pub use missing::{Missing, explain};

/// Whom a decision is about.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "named after what they are")]
pub struct Subject {
    pub document: String,
    pub document_version: Option<String>,
    pub document_sha256: String,
    pub action: String,
    pub publisher: Option<String>,
    pub step: String,
    pub node_tags: BTreeMap<String, String>,
    /// The document's parameters, for `{{ name }}` in paths and hosts.
    pub parameters: BTreeMap<String, Value>,
    /// For a nested document, the steps that run it: it gets no more than they.
    pub ancestors: Vec<Subject>,
}

/// The folders that every step gets.
#[derive(Debug, Clone, Default)]
pub struct StepDirectories {
    /// The step's own.
    pub work: String,
    /// Shared by the steps of the run.
    pub downloads: String,
    /// The action's own, kept between runs; only for those that ask for it and are granted it.
    pub data: String,
    /// `/tmp` where that is private; empty where it is not.
    pub temporary: String,
    /// Folders of Capstan's own, with what no step may see: a rule for a folder around one of them does not hold it.
    pub withheld: Vec<String>,
}

/// What a step brings along.
#[derive(Debug, Clone, Default)]
pub struct StepNeeds {
    /// Its inputs, for the bindings of the manifest.
    pub inputs: Value,
    /// Its `capabilities`: what it says it needs.
    pub declared: Option<Value>,
    /// Its folders.
    pub directories: StepDirectories,
}

/// What a step may do.
#[derive(Debug, Clone, Default)]
pub struct Decision {
    /// What the component itself may do.
    pub component: Grant,
    /// What its children may do.
    pub children: Grant,
    /// How much it may use.
    pub limits: Limits,
    /// Needed and not granted: the step must not run.
    pub missing: Vec<Missing>,
    /// Asked for, not needed, and not granted.
    pub optional_missing: Vec<Missing>,
    /// The rules that apply, by id.
    pub rules: Vec<String>,
    /// Those of them that are to be told.
    pub audited: Vec<String>,
}

impl Policy {
    /// Decides what a step may do. Deny overrides allow; the order of rules means nothing.
    #[must_use]
    pub fn decide(&self, subject: &Subject, manifest: &Manifest, step: &StepNeeds) -> Decision {
        self.decide_with(subject, manifest, step, &Grant::default())
    }

    /// The same where all that the manifest requests is granted as well, but for what this policy denies: for tests of
    /// a component, which has no operator yet.
    #[must_use]
    pub fn decide_as_requested(
        &self,
        subject: &Subject,
        manifest: &Manifest,
        step: &StepNeeds,
    ) -> Decision {
        let everything = Grant::everything();
        let base = self.profile.base(&step.directories);
        let mut decision = Decision::default();
        let requested = component(manifest, step, &everything, &base, &mut decision);
        let mut decision = self.decide_with(subject, manifest, step, &requested);
        if manifest.capabilities.children == ChildrenRequest::Any {
            let mut children = everything;
            self.take_denied(subject, &mut children);
            decision.children = union(&decision.children, &children);
        }
        decision
    }

    /// `more` is granted beside what the rules grant.
    fn decide_with(
        &self,
        subject: &Subject,
        manifest: &Manifest,
        step: &StepNeeds,
        more: &Grant,
    ) -> Decision {
        let own = self.rules_for(subject, false);
        let mut base = self.profile.base(&step.directories);
        withhold(&step.directories, &mut base);
        if let Some(may_lack) = &self.may_lack {
            base.may_lack.clone_from(may_lack);
        }
        let mut refused = own.refused.clone();
        let mut granted = union(&union(&base, &own.granted), more);
        // What of it the operator's rules grant, and not the profile alone.
        let mut by_rules = own.granted.clone();
        let mut limits = self.limits_with(&own.limits.iter().collect::<Vec<_>>());
        for ancestor in &subject.ancestors {
            let outcome = self.rules_for(ancestor, false);
            let theirs = union(&base, &outcome.granted);
            granted = meet(&granted, &theirs);
            by_rules = meet(&by_rules, &theirs);
            refused = refused.or(outcome.refused);
            for map in &outcome.limits {
                limits = lower(&limits, map);
            }
        }
        granted.run_as = own.granted.run_as.clone();
        withhold(&step.directories, &mut granted);
        let mut decision = Decision {
            rules: own.rules,
            audited: own.audited,
            ..Decision::default()
        };
        for one in subjects(subject) {
            // What is to be kept back is not known, so nothing is given.
            self.take_denied(one, &mut by_rules);
            for (rule, problem) in self.take_denied(one, &mut granted) {
                decision.missing.push(Missing {
                    capability: "policy".into(),
                    item: problem,
                    reason: format!("the rule `{rule}`, which denies, cannot be applied"),
                    hint: format!("correct the parameters of the document, or the rule `{rule}`"),
                });
            }
        }
        for problem in own.problems {
            // A rule that cannot be bound grants nothing; whoever needs it learns why.
            decision.optional_missing.push(Missing {
                capability: "policy".into(),
                item: problem.clone(),
                reason: "a rule of the policy cannot be applied".into(),
                hint: problem,
            });
        }
        if let Some(rule) = refused {
            decision.missing.push(Missing {
                capability: "documents".into(),
                item: subject.document.clone(),
                reason: format!("the rule `{rule}` denies this step"),
                hint: format!("remove or narrow the rule `{rule}`"),
            });
        }

        let mut children = granted.clone();
        if let Some(declared) = &step.declared {
            match parse_declaration(declared) {
                Ok((text, lower_limits)) => {
                    let (wanted, problems) = text.bind(&subject.parameters);
                    for problem in problems {
                        decision.missing.push(Missing {
                            capability: "capabilities".into(),
                            item: problem.clone(),
                            reason: "the step's `capabilities` cannot be read".into(),
                            hint: "correct the document or its parameters".into(),
                        });
                    }
                    needs_of_grant(
                        &granted,
                        &wanted,
                        "the step declares it in its `capabilities`",
                        &mut decision.missing,
                    );
                    children = union(&base, &meet(&granted, &wanted));
                    by_rules = meet(&by_rules, &wanted);
                    for one in subjects(subject) {
                        self.take_denied(one, &mut children);
                    }
                    children.run_as = granted.run_as.clone();
                    limits = lower(&limits, &lower_limits);
                }
                Err(problems) => {
                    decision
                        .missing
                        .extend(problems.into_iter().map(|problem| Missing {
                            capability: "capabilities".into(),
                            item: problem,
                            reason: "the step's `capabilities` cannot be read".into(),
                            hint: "correct the document".into(),
                        }))
                }
            }
        }
        let component = component(manifest, step, &granted, &base, &mut decision);
        decision.children = match manifest.capabilities.children {
            ChildrenRequest::Any => children,
            ChildrenRequest::Same => {
                by_rules = meet(&by_rules, &component);
                Grant {
                    // Programs need their libraries and the machine's facts; what they may change is the component's.
                    files: union(&base, &component).files,
                    ..component.clone()
                }
            }
        };
        decision.children.files_of_others = !by_rules.files.is_empty();
        decision.component = component;
        decision.limits = limits;
        decision
    }

    /// Everything that a step of this document could be granted: the ceiling for its worker.
    #[must_use]
    pub fn ceiling(&self, subject: &Subject, directories: &StepDirectories) -> Grant {
        let mut base = self.profile.base(directories);
        if let Some(may_lack) = &self.may_lack {
            base.may_lack.clone_from(may_lack);
        }
        let mut ceiling = union(&base, &self.rules_for(subject, true).granted);
        withhold(directories, &mut ceiling);
        ceiling
    }

    /// What a user should be told before anything runs.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        if self.profile == crate::Profile::TrustedHost {
            vec![
                "the profile trusted-host is in force: programs run without any confinement, as the user that runs Capstan"
                    .into(),
            ]
        } else {
            Vec::new()
        }
    }
}

/// Keeps Capstan's own folders out of the rules for folders around them. What is granted within them is granted.
fn withhold(directories: &StepDirectories, grant: &mut Grant) {
    for folder in &directories.withheld {
        for rule in &mut grant.files {
            if is_below(folder, &rule.path) && !rule.except.contains(folder) {
                rule.except.push(folder.clone());
            }
        }
    }
}

/// Whoever a step runs for: itself, and the steps that its document is nested in.
fn subjects(subject: &Subject) -> impl Iterator<Item = &Subject> {
    std::iter::once(subject).chain(&subject.ancestors)
}
