//! A step's inputs against what its action says that it takes.

use capstan_syntax::{Diagnostic, Node, Severity, Value as NodeValue, nearest};
use serde_json::Value;

use crate::document::Document;
use crate::steps::{Step, is_ssm_action};

/// Looks up an action: what it says of its inputs (a JSON Schema, or null), or nothing if there is no such action.
pub type ActionSchemas<'a> = &'a dyn Fn(&str) -> Option<Value>;

/// Inputs that every step may have: they are for the order of the steps, or name the step.
const COMMON: &[&str] = &["onFailure", "onSuccess", "finallyStep", "maxAttempts", "id"];

/// Actions of automation runbooks that people put into command documents.
pub(crate) const AUTOMATION: &[&str] = &[
    "aws:approve",
    "aws:assertAwsResourceProperty",
    "aws:branch",
    "aws:changeInstanceState",
    "aws:copyImage",
    "aws:createImage",
    "aws:createStack",
    "aws:createTags",
    "aws:deleteImage",
    "aws:deleteStack",
    "aws:executeAutomation",
    "aws:executeAwsApi",
    "aws:executeScript",
    "aws:executeStateMachine",
    "aws:invokeLambdaFunction",
    "aws:invokeWebhook",
    "aws:loop",
    "aws:pause",
    "aws:runCommand",
    "aws:runInstances",
    "aws:sleep",
    "aws:updateVariable",
    "aws:waitForAwsResourceProperty",
];

pub(crate) fn check(document: &Document, schemas: ActionSchemas<'_>) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    for step in &document.steps {
        match schemas(&step.action) {
            None => problems.extend(unknown(step)),
            Some(schema) => {
                for node in &step.nodes {
                    check_set(step, node, &schema, &mut problems);
                }
            }
        }
    }
    problems
}

fn unknown(step: &Step) -> Option<Diagnostic> {
    let action = &step.action;
    if AUTOMATION.contains(&action.as_str()) {
        return Some(
            Diagnostic::warning(
                "automation-action",
                step.action_position,
                format!("`{action}` is an action of automation runbooks; in a command document its step fails"),
            )
            .help("put it into a runbook of schema 0.3"),
        );
    }
    if is_ssm_action(action) {
        return Some(Diagnostic::warning(
            "unknown-action",
            step.action_position,
            format!("Capstan does not have SSM's action `{action}`; its step fails"),
        ));
    }
    // Others of these were refused as typos.
    if action.starts_with("aws:") && is_near(action) || !action.contains(':') {
        return None;
    }
    Some(
        Diagnostic::warning(
            "unknown-action",
            step.action_position,
            format!("no component here serves the action `{action}`"),
        )
        .help("name its component with --component"),
    )
}

fn is_near(action: &str) -> bool {
    crate::steps::nearest_action(action).is_some()
}

/// Something in braces is only known when the document runs.
fn is_open(node: &Node) -> bool {
    node.as_str().is_some_and(|text| text.contains("{{"))
}

fn check_set(step: &Step, node: &Node, schema: &Value, problems: &mut Vec<Diagnostic>) {
    let (Some(entries), Some(properties)) = (
        node.as_map(),
        schema.get("properties").and_then(Value::as_object),
    ) else {
        return;
    };
    for entry in entries {
        let key = entry.key.as_str();
        let known = properties
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(key));
        if let Some((_, property)) = known {
            check_value(key, &entry.node, property, problems);
        } else if !COMMON.iter().any(|name| name.eq_ignore_ascii_case(key)) {
            let names = properties
                .keys()
                .map(String::as_str)
                .chain(COMMON.iter().copied());
            let strict = schema.get("additionalProperties") == Some(&Value::Bool(false));
            let mut problem = Diagnostic::warning(
                "unknown-input",
                entry.position,
                format!("`{}` has no input `{key}`", step.action),
            )
            .help(match nearest(key, names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "it is passed over".to_owned(),
            });
            if strict {
                problem.severity = Severity::Error;
            }
            problems.push(problem);
        }
    }
    let required = schema.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        let there = entries.iter().any(|entry| {
            entry.key.eq_ignore_ascii_case(name) && entry.node.value != NodeValue::Null
        });
        if !there {
            problems.push(Diagnostic::error(
                "missing-input",
                node.position,
                format!("the step `{}` lacks the input `{name}`", step.name),
            ));
        }
    }
}

fn check_value(key: &str, node: &Node, property: &Value, problems: &mut Vec<Diagnostic>) {
    if is_open(node) || node.value == NodeValue::Null {
        return;
    }
    let kinds: Vec<&str> = match property.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !kinds.is_empty() && !kinds.iter().any(|kind| is_of(node, kind)) {
        let words: Vec<&str> = kinds.iter().map(|kind| word(kind)).collect();
        problems.push(Diagnostic::error(
            "input-type",
            node.position,
            format!("`{key}` is {}, not {}", words.join(" or "), node.kind()),
        ));
        return;
    }
    if let Some(allowed) = property.get("enum").and_then(Value::as_array) {
        let allowed: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        let text = node.scalar_text().unwrap_or_default();
        if !allowed.contains(&text.as_str()) {
            let help = match nearest(&text, allowed.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", allowed.join(", ")),
            };
            problems.push(
                Diagnostic::error(
                    "input-value",
                    node.position,
                    format!("`{key}` cannot be `{text}`"),
                )
                .help(help),
            );
        }
    }
}

/// Actions take numbers and truth values for text, and the other way round, as SSM's do.
fn is_of(node: &Node, kind: &str) -> bool {
    let text = node.scalar_text();
    match kind {
        "array" => node.as_list().is_some(),
        "object" => node.as_map().is_some(),
        "string" => text.is_some(),
        "integer" => text.is_some_and(|text| text.trim().parse::<i64>().is_ok()),
        "number" => text.is_some_and(|text| text.trim().parse::<f64>().is_ok()),
        "boolean" => text.is_some_and(|text| {
            text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false")
        }),
        _ => true,
    }
}

fn word(kind: &str) -> &str {
    match kind {
        "array" => "a list",
        "object" => "a mapping",
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "a truth value",
        other => other,
    }
}
