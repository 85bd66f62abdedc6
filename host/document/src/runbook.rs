//! Automation runbooks, schema 0.3: whether one is well formed. What its actions take is not looked at.

use capstan_syntax::{Diagnostic, Diagnostics, Node, Value as NodeValue, nearest, parse};

use crate::document::unknown_fields;
use crate::inputs::AUTOMATION;
use crate::interpolation::references;
use crate::lint::all_references;
use crate::outline::{Outline, finish};

/// An automation runbook that has been read and checked.
#[derive(Debug, Clone)]
pub struct Runbook {
    /// What it has in common with other documents.
    pub outline: Outline,
    /// The names of its steps, in the order of the file.
    pub steps: Vec<String>,
}

const TOP: &[&str] = &[
    "schemaVersion",
    "description",
    "parameters",
    "mainSteps",
    "assumeRole",
    "outputs",
    "variables",
    "files",
];
const STEP: &[&str] = &[
    "action",
    "name",
    "inputs",
    "maxAttempts",
    "timeoutSeconds",
    "onFailure",
    "onCancel",
    "isCritical",
    "isEnd",
    "nextStep",
    "outputs",
    "description",
];
/// What maintenance windows put in before a runbook starts.
const WINDOW: &[&str] = &[
    "TARGET_ID",
    "RESOURCE_ID",
    "TARGET_TYPE",
    "WINDOW_ID",
    "WINDOW_TASK_ID",
    "WINDOW_TARGET_ID",
    "WINDOW_EXECUTION_ID",
    "TASK_EXECUTION_ID",
    "INVOCATION_ID",
];

impl Runbook {
    /// Reads a runbook. `origin` is its name in messages.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its place.
    pub fn parse(source: &str, origin: &str) -> Result<Self, Diagnostics> {
        let root = parse(source).map_err(|problems| Diagnostics::new(origin, problems))?;
        let mut problems = Vec::new();
        let outline = Outline::read(&root, &mut problems);
        let mut steps = Vec::new();
        if let Some(entries) = root.as_map() {
            unknown_fields(entries, TOP, "a runbook", &mut problems);
            if let Some(node) = root.get("schemaVersion")
                && !matches!(outline.schema_version.as_str(), "" | "0.3")
            {
                problems.push(Diagnostic::error(
                    "schema-version",
                    node.position,
                    "the schema of runbooks is 0.3",
                ));
            }
            match root.get("mainSteps") {
                Some(node) => {
                    steps = read_steps(node, &mut problems);
                    undeclared(node, &outline, &mut problems);
                }
                None => problems.push(Diagnostic::error(
                    "steps",
                    root.position,
                    "the runbook has no `mainSteps`",
                )),
            }
            if let Some(node) = root.get("assumeRole") {
                undeclared(node, &outline, &mut problems);
            }
        }
        finish(Self { outline, steps }, origin, problems)
    }
}

fn read_steps(node: &Node, problems: &mut Vec<Diagnostic>) -> Vec<String> {
    let Some(items) = node.as_list() else {
        problems.push(Diagnostic::wrong_type(node, "`mainSteps` is a list"));
        return Vec::new();
    };
    if items.is_empty() {
        problems.push(Diagnostic::error(
            "steps",
            node.position,
            "`mainSteps` has no steps",
        ));
    }
    let mut names: Vec<String> = Vec::new();
    for item in items {
        let name = read_step(item, problems);
        if names.contains(&name) && !name.is_empty() {
            problems.push(
                Diagnostic::error(
                    "duplicate-step",
                    item.get("name").map_or(item.position, |node| node.position),
                    format!("there is another step `{name}`"),
                )
                .help("each step has a name of its own"),
            );
        }
        names.push(name);
    }
    for item in items {
        follow(item, &names, problems);
    }
    names
}

fn read_step(node: &Node, problems: &mut Vec<Diagnostic>) -> String {
    let Some(entries) = node.as_map() else {
        problems.push(Diagnostic::wrong_type(node, "a step is a mapping"));
        return String::new();
    };
    unknown_fields(entries, STEP, "a step", problems);
    let mut text = |key: &str| match node.get(key) {
        None => {
            problems.push(Diagnostic::error(
                "step-field",
                node.position,
                format!("the step has no `{key}`"),
            ));
            None
        }
        Some(value) => value.as_str().or_else(|| {
            problems.push(Diagnostic::wrong_type(value, format!("`{key}` is text")));
            None
        }),
    };
    let (name, action) = (text("name"), text("action"));
    if let (Some(name), Some(value)) = (name, node.get("name")) {
        let good = (3..=128).contains(&name.len())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !good {
            problems.push(Diagnostic::error(
                "step-name",
                value.position,
                format!("the name `{name}` is not 3 to 128 letters, digits and `_`"),
            ));
        }
    }
    if let (Some(action), Some(value)) = (action, node.get("action"))
        && !AUTOMATION.contains(&action)
    {
        let mut problem = Diagnostic::error(
            "unknown-action",
            value.position,
            format!("runbooks have no action `{action}`"),
        );
        problem.help = nearest(action, AUTOMATION.iter().copied())
            .map(|near| format!("did you mean `{near}`?"));
        problems.push(problem);
    }
    if let Some(inputs) = node.get("inputs")
        && inputs.as_map().is_none()
        && inputs.value != NodeValue::Null
    {
        problems.push(Diagnostic::wrong_type(inputs, "`inputs` is a mapping"));
    }
    name.unwrap_or_default().to_owned()
}

/// Whether the steps that a step goes on with are there.
fn follow(node: &Node, names: &[String], problems: &mut Vec<Diagnostic>) {
    for key in ["nextStep", "onFailure", "onCancel"] {
        let Some((value, text)) = node
            .get(key)
            .and_then(|value| value.as_str().map(|text| (value, text)))
        else {
            continue;
        };
        let step = match (key, text) {
            (_, text) if text.contains("{{") => continue,
            ("nextStep", text) => text,
            (_, "Abort") | ("onFailure", "Continue") => continue,
            (_, text) => match text.strip_prefix("step:") {
                Some(step) => step.trim(),
                None => {
                    let words = if key == "onFailure" {
                        "Abort, Continue or step:NAME"
                    } else {
                        "Abort or step:NAME"
                    };
                    problems.push(Diagnostic::error(
                        "step-field",
                        value.position,
                        format!("`{key}` is {words}, not `{text}`"),
                    ));
                    continue;
                }
            },
        };
        if !names.iter().any(|name| name == step) {
            problems.push(Diagnostic::error(
                "unknown-step",
                value.position,
                format!("`{key}` names a step `{step}`, and there is none"),
            ));
        }
    }
}

/// References to what is neither a parameter nor a step's output nor the system's, each where its text stands.
fn undeclared(node: &Node, outline: &Outline, problems: &mut Vec<Diagnostic>) {
    match &node.value {
        NodeValue::List(items) => items
            .iter()
            .for_each(|item| undeclared(item, outline, problems)),
        NodeValue::Map(entries) => entries
            .iter()
            .for_each(|entry| undeclared(&entry.node, outline, problems)),
        NodeValue::String(text) if !references(text).is_empty() => {
            let mut names = Vec::new();
            all_references(&node.to_json(), &mut names);
            for name in names {
                let known = name.contains(['.', ':', '/'])
                    || WINDOW.contains(&name.as_str())
                    || outline.parameters.iter().any(|one| one.name == name);
                if !known {
                    problems.push(
                        Diagnostic::error(
                            "undeclared-reference",
                            node.position,
                            format!("`{{{{ {name} }}}}` names no parameter"),
                        )
                        .help(format!("declare `{name}` under `parameters`")),
                    );
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::Runbook;

    const GOOD: &str = "schemaVersion: '0.3'
description: Sleep, then ask.
assumeRole: '{{ Role }}'
parameters:
  Role: {type: String, default: ''}
mainSteps:
  - name: rest
    action: aws:sleep
    onFailure: step:ask
    inputs: {Duration: PT1S, Of: '{{ global:DATE }} {{ before.Output }}'}
  - name: ask
    action: aws:approve
    isEnd: true
    inputs: {Approvers: ['{{ Role }}']}
";

    #[test]
    fn a_good_runbook_is_read() {
        let runbook = Runbook::parse(GOOD, "r").unwrap();
        assert_eq!(runbook.steps, ["rest", "ask"]);
        assert_eq!(runbook.outline.description, "Sleep, then ask.");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (from, to, expected) in [
            ("'0.3'", "'2.2'", "r:1:16: error[schema-version]"),
            ("aws:sleep", "aws:slep", "did you mean `aws:sleep`?"),
            ("step:ask", "step:tell", "r:9:16: error[unknown-step]"),
            ("step:ask", "Retry", "Abort, Continue or step:NAME"),
            ("name: ask", "name: rest", "r:11:11: error[duplicate-step]"),
            ("name: ask", "name: a-b", "error[step-name]"),
            ("['{{ Role }}']", "['{{ Who }}']", "names no parameter"),
            ("mainSteps", "steps", "r:1:1: error[steps]"),
            (
                "inputs: {Duration",
                "inputs: x # {",
                "`inputs` is a mapping",
            ),
        ] {
            let text = GOOD.replacen(from, to, 1);
            let told = Runbook::parse(&text, "r").unwrap_err().to_string();
            assert!(told.contains(expected), "{expected}: {told}");
        }
    }
}
