//! What SSM silently ignores, or does otherwise than it looks.

use capstan_syntax::{Diagnostic, Node};
use serde_json::Value;

use crate::document::Document;
use crate::interpolation::references;
use crate::parameters::ParameterType;
use crate::precondition::{Platform, PreconditionOutcome};
use crate::shell::bashism;
use crate::steps::{Flow, Step, input};

/// Prefixes of references that are no parameters of the document.
const SYSTEM: &[&str] = &[
    "ssm:",
    "ssm-secure:",
    "global:",
    "automation:",
    "variable:",
    "platformType",
];

pub(crate) fn lint(document: &Document) -> Vec<Diagnostic> {
    let mut lints = Vec::new();
    let count = document.steps.len();
    for (index, step) in document.steps.iter().enumerate() {
        for (field, position) in &step.ignored {
            let help = match field.as_str() {
                "timeoutSeconds" => "put timeoutSeconds into the step's inputs",
                "onFailure" => "put onFailure: exit into the step's inputs",
                _ => "it is for automation runbooks",
            };
            lints.push(
                Diagnostic::warning(
                    "ignored-field",
                    *position,
                    format!("`{field}` at the level of the step is ignored in command documents"),
                )
                .help(help),
            );
        }
        let inputs = step.inputs.first().unwrap_or(&Value::Null);
        let flow = Flow::of(inputs, index + 1 == count);
        if index + 1 < count && flow.on_failure.is_none() {
            lints.push(
                Diagnostic::warning(
                    "failure-goes-on",
                    step.position,
                    format!(
                        "when the step `{}` fails, the steps after it run all the same",
                        step.name
                    ),
                )
                .help("if they should not, put onFailure: exit into its inputs"),
            );
        }
        if index + 1 < count && input(inputs, "finallyStep").is_some() {
            lints.push(
                Diagnostic::warning(
                    "finally-step",
                    step.position,
                    "`finallyStep` counts only on the last step",
                )
                .help("move the step to the end"),
            );
        }
        for node in &step.nodes {
            flow_inputs(step, node, &mut lints);
        }
        // The platform does not matter: what cannot be recognised is so everywhere.
        if let PreconditionOutcome::Unrecognized(why) = step.precondition.evaluate(Platform::Linux)
        {
            lints.push(
                Diagnostic::warning(
                    "precondition",
                    step.precondition.position.unwrap_or(step.position),
                    format!("the step `{}` always fails: {why}", step.name),
                )
                .help("a precondition is StringEquals: [platformType, Linux], or with a parameter in one argument"),
            );
        }
        script(document, step, &mut lints);
        let mut names = Vec::new();
        step.inputs
            .iter()
            .for_each(|inputs| all_references(inputs, &mut names));
        for name in names {
            let system = SYSTEM.iter().any(|prefix| name.starts_with(prefix));
            if !system
                && !name.contains(['.', '/', ':'])
                && !document
                    .parameters
                    .iter()
                    .any(|parameter| parameter.name == name)
            {
                lints.push(Diagnostic::warning(
                    "undeclared-reference",
                    step.position,
                    format!(
                        "`{{{{ {name} }}}}` in the step `{}` names no parameter and stays as it is",
                        step.name
                    ),
                ));
            }
        }
    }
    lints
}

/// Inputs that decide about other steps, and how long one may take: what SSM passes over without a word.
fn flow_inputs(step: &Step, node: &Node, lints: &mut Vec<Diagnostic>) {
    let is_script = matches!(
        step.action.as_str(),
        "aws:runShellScript" | "aws:runPowerShellScript"
    );
    for entry in node.as_map().unwrap_or_default() {
        let text = entry.node.scalar_text().unwrap_or_default();
        if text.contains("{{") {
            continue;
        }
        let mut warn = |code, message: String, help: &str| {
            lints.push(Diagnostic::warning(code, entry.node.position, message).help(help));
        };
        match entry.key.to_lowercase().as_str() {
            "onfailure" if !matches!(text.to_lowercase().as_str(), "exit" | "successandexit") => {
                warn(
                    "ignored-value",
                    format!("SSM does not know onFailure `{text}` and passes over it"),
                    "it is exit or successAndExit; without it the next step runs",
                );
            }
            "onsuccess" if text.to_lowercase() != "exit" => warn(
                "ignored-value",
                format!("SSM does not know onSuccess `{text}` and passes over it"),
                "it is exit; without it the next step runs",
            ),
            "maxattempts" => warn(
                "ignored-field",
                "`maxAttempts` is ignored: a step is run once".into(),
                "it is for automation runbooks",
            ),
            "timeoutseconds"
                if is_script
                    && !text
                        .trim()
                        .parse::<u32>()
                        .is_ok_and(|seconds| (5..=172_800).contains(&seconds)) =>
            {
                warn(
                    "timeout",
                    format!("timeoutSeconds `{text}` is not taken, but 3600"),
                    "it is 5 to 172800",
                );
            }
            _ => {}
        }
    }
}

pub(crate) fn all_references(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            for reference in references(text) {
                if !names.iter().any(|name| name == reference.name) {
                    names.push(reference.name.to_owned());
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| all_references(item, names)),
        Value::Object(map) => map.values().for_each(|value| all_references(value, names)),
        _ => {}
    }
}

fn script(document: &Document, step: &Step, lints: &mut Vec<Diagnostic>) {
    let (is_shell, is_powershell) = (
        step.action == "aws:runShellScript",
        step.action == "aws:runPowerShellScript",
    );
    if !is_shell && !is_powershell {
        return;
    }
    for inputs in &step.inputs {
        let lines: Vec<&str> = match input(inputs, "runCommand") {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(text)) => vec![text],
            _ => continue,
        };
        let text = lines.join("\n");
        if is_shell && let Some(what) = bashism(&text) {
            lints.push(
                Diagnostic::warning(
                    "bash-syntax",
                    step.position,
                    format!(
                        "the step `{}` uses {what}, which sh does not know on every system",
                        step.name
                    ),
                )
                .help("begin the script with #!/bin/bash"),
            );
        }
        // A script that is a parameter as a whole is meant to be code.
        if let [one] = references(&text).as_slice()
            && one.start == 0
            && one.end == text.len()
        {
            continue;
        }
        let mut told = Vec::new();
        for reference in references(&text) {
            let parameter = document
                .parameters
                .iter()
                .find(|parameter| parameter.name == reference.name);
            if let Some(parameter) = parameter
                && !parameter.env_var
                && is_text(parameter.kind)
                && parameter.allowed_values.is_empty()
                && !told.contains(&reference.name)
            {
                told.push(reference.name);
                lints.push(
                    Diagnostic::warning(
                        "shell-injection",
                        step.position,
                        format!("the value of `{}` is pasted into the script of `{}` as it is: whoever calls the document can run any command", parameter.name, step.name),
                    )
                    .help(if parameter.kind == ParameterType::String {
                        format!("give the parameter `{}` interpolationType: ENV_VAR, or allowedValues", parameter.name)
                    } else {
                        format!("JSON is no shell's quoting: give the parameter `{}` allowedValues, or pass it as texts with interpolationType: ENV_VAR", parameter.name)
                    }),
                );
            }
        }
    }
}

/// Whether a caller's value can hold any text.
fn is_text(kind: ParameterType) -> bool {
    match kind {
        ParameterType::String
        | ParameterType::StringList
        | ParameterType::StringMap
        | ParameterType::MapList => true,
        ParameterType::Integer | ParameterType::Boolean => false,
    }
}
