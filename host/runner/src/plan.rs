//! What would happen, without anything happening.

use std::collections::BTreeMap;

use capstan_document::{
    Platform, PreconditionOutcome, ResolvedDocument, ResolvedStep, is_ssm_action,
};
use capstan_policy::{
    Decision, Grant, Limits, Missing, StepDirectories, StepNeeds, Subject, explain, union,
};
use serde::Serialize;

use crate::actions::Action;
use crate::error::RunnerError;
use crate::run::Runner;

/// What a step will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "will", content = "reason")]
pub enum Will {
    /// It runs.
    Run,
    /// It is skipped.
    Skip(String),
    /// It fails.
    Fail(String),
    /// It is refused.
    Denied(String),
}

/// A step of a plan.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedStep {
    /// Its name.
    pub name: String,
    /// Its action.
    pub action: String,
    /// Who published the action, as far as the policy knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publisher: Option<String>,
    /// What will happen.
    #[serde(flatten)]
    pub will: Will,
    /// What it needs and is not granted.
    pub missing: Vec<Missing>,
    /// What it could use, and is not granted.
    pub optional_missing: Vec<Missing>,
    /// What the component may do.
    pub component: Grant,
    /// What its programs may do.
    pub children: Grant,
    /// How much it may use.
    pub limits: Limits,
    /// The rules of the policy that apply.
    pub rules: Vec<String>,
}

/// A plan.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The document.
    pub document: String,
    /// What a user should know before.
    pub warnings: Vec<String>,
    /// In order.
    pub steps: Vec<PlannedStep>,
}

impl Plan {
    /// Whether a step lacks something.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.steps
            .iter()
            .any(|step| matches!(step.will, Will::Denied(_)))
    }
}

/// A step that was looked at: its component, if it runs, and what was decided.
pub(crate) struct Prepared<'a> {
    pub(crate) will: Will,
    pub(crate) action: Option<&'a Action>,
    /// Who published it, as far as the policy knows.
    pub(crate) publisher: Option<String>,
    /// One for each set of inputs: what a component may do is bound to what it is given.
    pub(crate) decisions: Vec<Decision>,
}

impl Prepared<'_> {
    /// What was decided for all sets of inputs together, for people.
    pub(crate) fn together(&self) -> Decision {
        let mut all = self.decisions.first().cloned().unwrap_or_default();
        for one in self.decisions.iter().skip(1) {
            all.component = union(&all.component, &one.component);
            all.children = union(&all.children, &one.children);
            for (all, one) in [
                (&mut all.missing, &one.missing),
                (&mut all.optional_missing, &one.optional_missing),
            ] {
                let new: Vec<Missing> = one
                    .iter()
                    .filter(|missing| !all.contains(missing))
                    .cloned()
                    .collect();
                all.extend(new);
            }
        }
        all
    }
}

fn platform() -> Platform {
    match std::env::consts::OS {
        "macos" => Platform::MacOs,
        "windows" => Platform::Windows,
        _ => Platform::Linux,
    }
}

/// Decides whether a step runs, by the rules of SSM's agent, and what it may do if it does.
pub(crate) fn prepare<'a>(
    runner: &'a Runner,
    schema_version: &str,
    step: &ResolvedStep,
    subject: &Subject,
    directories: &StepDirectories,
) -> Result<Prepared<'a>, RunnerError> {
    let none = |will| {
        Ok(Prepared {
            will,
            action: None,
            publisher: None,
            decisions: Vec::new(),
        })
    };
    let here = platform();
    let condition = step.precondition.evaluate(here);
    let Some(action) = runner.actions.find(&step.action)? else {
        // An action that is not for this machine need not be known to it.
        return none(match condition {
            PreconditionOutcome::NotMet(why) => Will::Skip(why),
            _ if is_ssm_action(&step.action) => Will::Fail(format!(
                "Capstan does not have SSM's action {}",
                step.action
            )),
            _ => Will::Fail(format!(
                "no component here serves the action {}; `capstan plugin install` installs one, --component names one for this run, and `capstan action list` shows those there are",
                step.action
            )),
        });
    };
    let manifest = match action.manifest() {
        Ok(manifest) => manifest,
        Err(error) => return none(without(error)),
    };
    let supported =
        manifest.platforms.is_empty() || manifest.platforms.iter().any(|word| word == here.word());
    if !supported {
        let why = format!("{} does not work on {}", step.action, here.word());
        return none(if schema_version == "2.2" {
            Will::Skip(why)
        } else {
            Will::Fail(why)
        });
    }
    match condition {
        PreconditionOutcome::Met => {}
        PreconditionOutcome::NotMet(why) => return none(Will::Skip(why)),
        PreconditionOutcome::Unrecognized(why) => return none(Will::Fail(why)),
    }
    let publisher = match action.publisher(&runner.policy) {
        Ok(publisher) => publisher,
        Err(error) => return none(without(error)),
    };
    let subject = Subject {
        publisher: publisher.clone(),
        ..subject.clone()
    };
    let decide = |inputs: &serde_json::Value| {
        let needs = StepNeeds {
            inputs: inputs.clone(),
            declared: step.capabilities.clone(),
            directories: directories.clone(),
        };
        runner.policy.decide(&subject, manifest, &needs)
    };
    let mut prepared = Prepared {
        will: Will::Run,
        action: Some(action),
        publisher,
        decisions: step.inputs.iter().map(decide).collect(),
    };
    let missing = prepared.together().missing;
    if !missing.is_empty() {
        prepared.will = Will::Denied(explain(&missing));
    }
    Ok(prepared)
}

/// What becomes of a step whose component cannot be used.
fn without(error: RunnerError) -> Will {
    match error {
        RunnerError::Refused(why) => Will::Denied(why),
        other => Will::Fail(other.to_string()),
    }
}

/// The subject of a step.
pub(crate) fn subject(document: &Subject, step: &ResolvedStep) -> Subject {
    Subject {
        action: step.action.clone(),
        step: step.name.clone(),
        ..document.clone()
    }
}

pub(crate) fn plan(
    runner: &Runner,
    document: &Subject,
    resolved: &ResolvedDocument,
) -> Result<Plan, RunnerError> {
    let mut steps = Vec::new();
    for step in &resolved.steps {
        let directories = StepDirectories {
            work: format!("/run-folder/work/{}", step.name),
            downloads: "/run-folder/downloads".into(),
            data: runner.state.data(&step.action).display().to_string(),
            temporary: "/tmp".into(),
            withheld: runner.state.withheld(),
        };
        let prepared = prepare(
            runner,
            &resolved.schema_version,
            step,
            &subject(document, step),
            &directories,
        )?;
        let decision = prepared.together();
        steps.push(PlannedStep {
            name: step.name.clone(),
            action: step.action.clone(),
            publisher: prepared.publisher,
            will: prepared.will,
            missing: decision.missing,
            optional_missing: decision.optional_missing,
            component: decision.component,
            children: decision.children,
            limits: decision.limits,
            rules: decision.rules,
        });
    }
    Ok(Plan {
        document: document.document.clone(),
        warnings: runner.policy.warnings(),
        steps,
    })
}

/// The subject of a document.
pub(crate) fn document_subject(
    runner: &Runner,
    name: &str,
    sha256: &str,
    parameters: &BTreeMap<String, serde_json::Value>,
    ancestors: Vec<Subject>,
) -> Subject {
    Subject {
        document: name.to_owned(),
        document_version: None,
        document_sha256: sha256.to_owned(),
        node_tags: runner.node.tags.clone(),
        parameters: parameters.clone(),
        ancestors,
        ..Subject::default()
    }
}
