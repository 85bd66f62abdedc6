//! From a document and the caller's values to steps that can be run.

use std::collections::{BTreeMap, BTreeSet};

use capstan_syntax::{Diagnostic, Diagnostics, Position};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::document::Document;
use crate::interpolation::{Shell, references, refers_to_store, stored, substitute, variable};
use crate::parameters::{self, Parameter};
use crate::precondition::Precondition;
use crate::steps::Flow;

/// A document with its parameters put in, references to Parameter Store still open.
#[derive(Debug, Clone)]
pub struct BoundDocument {
    origin: String,
    resolved: ResolvedDocument,
    /// Parameters whose values the caller took from Parameter Store: what they stand for is checked later.
    by_reference: Vec<Parameter>,
}

/// A value of Parameter Store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoredParameter {
    /// `String`.
    String(String),
    /// `StringList`.
    StringList(Vec<String>),
    /// `SecureString`: may not stand in a document.
    SecureString,
}

/// A document that is ready to run.
#[derive(Debug, Clone)]
pub struct ResolvedDocument {
    /// `2.2`, …
    pub schema_version: String,
    /// In the order in which they run.
    pub steps: Vec<ResolvedStep>,
    /// The effective values.
    pub parameters: BTreeMap<String, Value>,
}

/// A step that is ready to run.
#[derive(Debug, Clone)]
pub struct ResolvedStep {
    /// Its name.
    pub name: String,
    /// `aws:runShellScript`, …
    pub action: String,
    /// The action runs once for each, in order.
    pub inputs: Vec<Value>,
    /// When it runs.
    pub precondition: Precondition,
    /// What its result means for the steps after it.
    pub flow: Flow,
    /// Values of ENV_VAR parameters, by variable.
    pub environment: BTreeMap<String, String>,
    /// What it says it needs.
    pub capabilities: Option<Value>,
    /// Where it stands in the file.
    pub position: Position,
}

impl Document {
    /// Takes the caller's values, in the API's form (lists of texts) or as they are, and puts them in.
    ///
    /// # Errors
    /// Every value that is missing, unknown or against the parameter's rules.
    pub fn bind(&self, arguments: &BTreeMap<String, Value>) -> Result<BoundDocument, Diagnostics> {
        let values = parameters::bind(&self.parameters, arguments)
            .map_err(|problems| Diagnostics::new(self.origin.clone(), problems))?;
        let env_vars: Vec<String> = self
            .parameters
            .iter()
            .filter(|parameter| parameter.env_var)
            .map(|parameter| parameter.name.clone())
            .collect();
        let environment: BTreeMap<String, String> = env_vars
            .iter()
            .filter_map(|name| Some((variable(name), values.get(name)?.as_str()?.to_owned())))
            .collect();
        let count = self.steps.len();
        let steps = self
            .steps
            .iter()
            .enumerate()
            .map(|(index, step)| {
                let shell = match step.action.as_str() {
                    "aws:runShellScript" => Shell::Posix,
                    "aws:runPowerShellScript" => Shell::Power,
                    _ => Shell::None,
                };
                let inputs: Vec<Value> = step
                    .inputs
                    .iter()
                    .map(|inputs| script_inputs(inputs, &values, &env_vars, shell))
                    // A list of mappings that comes from a parameter is as many sets as one that is written.
                    .flat_map(|inputs| match inputs {
                        Value::Array(sets) => sets,
                        one => vec![one],
                    })
                    .collect();
                let mut precondition = step.precondition.clone();
                for (_, _, arguments) in &mut precondition.conditions {
                    for argument in arguments {
                        if let Value::String(text) = substitute(
                            &Value::String(format!("\u{0}{argument}")),
                            &values,
                            &[],
                            Shell::None,
                        ) {
                            text[1..].clone_into(argument);
                        }
                    }
                }
                ResolvedStep {
                    name: step.name.clone(),
                    action: step.action.clone(),
                    flow: inputs
                        .first()
                        .map(|inputs| Flow::of(inputs, index + 1 == count))
                        .unwrap_or_default(),
                    inputs,
                    precondition,
                    environment: environment.clone(),
                    capabilities: step
                        .capabilities
                        .as_ref()
                        .map(|value| substitute(value, &values, &[], Shell::None)),
                    position: step.position,
                }
            })
            .collect();
        let by_reference = self
            .parameters
            .iter()
            .filter(|parameter| {
                arguments.contains_key(&parameter.name)
                    && values.get(&parameter.name).is_some_and(refers_to_store)
            })
            .cloned()
            .collect();
        Ok(BoundDocument {
            by_reference,
            origin: self.origin.clone(),
            resolved: ResolvedDocument {
                schema_version: self.schema_version.clone(),
                steps,
                parameters: values,
            },
        })
    }
}

/// Variables are for the script; other inputs, such as a working folder, are no shell's and get the value.
fn script_inputs(
    inputs: &Value,
    values: &BTreeMap<String, Value>,
    env_vars: &[String],
    shell: Shell,
) -> Value {
    let Value::Object(map) = inputs else {
        return substitute(inputs, values, env_vars, Shell::None);
    };
    let entries = map.iter().map(|(key, value)| {
        let shell = if key.eq_ignore_ascii_case("runCommand") {
            shell
        } else {
            Shell::None
        };
        (key.clone(), substitute(value, values, env_vars, shell))
    });
    Value::Object(entries.collect())
}

fn collect(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            names.extend(
                references(text)
                    .iter()
                    .filter_map(|reference| stored(reference.name))
                    .map(str::to_owned),
            );
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
        Value::Object(map) => map.values().for_each(|value| collect(value, names)),
        _ => {}
    }
}

impl BoundDocument {
    /// The effective values of the parameters.
    #[must_use]
    pub fn parameters(&self) -> &BTreeMap<String, Value> {
        &self.resolved.parameters
    }

    /// Names of Parameter Store that inputs, variables and callers' values refer to.
    #[must_use]
    pub fn parameter_store_references(&self) -> Vec<String> {
        let mut names = BTreeSet::new();
        for parameter in &self.by_reference {
            if let Some(value) = self.resolved.parameters.get(&parameter.name) {
                collect(value, &mut names);
            }
        }
        for step in &self.resolved.steps {
            step.inputs
                .iter()
                .for_each(|inputs| collect(inputs, &mut names));
            step.environment
                .values()
                .for_each(|text| collect(&Value::String(text.clone()), &mut names));
        }
        names.into_iter().collect()
    }

    /// Puts in values of Parameter Store.
    ///
    /// # Errors
    /// Names without a value, secure values, lists where only text can stand, and values against the rules of the
    /// parameter that they are the value of.
    pub fn resolve(
        mut self,
        store: &BTreeMap<String, StoredParameter>,
    ) -> Result<ResolvedDocument, Diagnostics> {
        let mut problems = Vec::new();
        for parameter in &self.by_reference {
            if let Some(Err(why)) = self
                .resolved
                .parameters
                .get(&parameter.name)
                .and_then(|value| known(value, store))
                .map(|value| parameter.check(&value))
            {
                problems.push(Diagnostic {
                    position: None,
                    ..Diagnostic::error(
                        "parameter",
                        parameter.position,
                        format!("the parameter `{}`: {why}", parameter.name),
                    )
                });
            }
        }
        for (index, step) in self.resolved.steps.iter_mut().enumerate() {
            let name = format!("the step {}", step.name);
            for inputs in &mut step.inputs {
                *inputs = put_stored(inputs, store, &name, step.position, &mut problems);
            }
            for (variable, text) in &mut step.environment {
                let mut here = Vec::new();
                let value = Value::String(text.clone());
                let name = format!("the variable {variable}");
                if let Value::String(value) =
                    put_stored(&value, store, &name, step.position, &mut here)
                {
                    *text = value;
                }
                // All steps have the same variables.
                if index == 0 {
                    problems.extend(here);
                }
            }
        }
        for value in self.resolved.parameters.values_mut() {
            if let Some(known) = known(value, store) {
                *value = known;
            }
        }
        if problems.is_empty() {
            Ok(self.resolved)
        } else {
            Err(Diagnostics::new(self.origin, problems))
        }
    }
}

/// A value with what it takes from Parameter Store, if all of that is there and may stand there.
fn known(value: &Value, store: &BTreeMap<String, StoredParameter>) -> Option<Value> {
    let mut problems = Vec::new();
    let place = Position { line: 1, column: 1 };
    let value = put_stored(value, store, "", place, &mut problems);
    problems.is_empty().then_some(value)
}

/// `place` is the value's owner, for messages.
fn put_stored(
    value: &Value,
    store: &BTreeMap<String, StoredParameter>,
    place: &str,
    position: Position,
    problems: &mut Vec<Diagnostic>,
) -> Value {
    match value {
        Value::Array(items) => {
            let mut list = Vec::new();
            for item in items {
                // A list as a whole element becomes several elements.
                if let Value::String(text) = item
                    && let [one] = references(text).as_slice()
                    && one.start == 0
                    && one.end == text.len()
                    && let Some(StoredParameter::StringList(values)) =
                        stored(one.name).and_then(|name| store.get(name))
                {
                    list.extend(values.iter().cloned().map(Value::String));
                } else {
                    list.push(put_stored(item, store, place, position, problems));
                }
            }
            Value::Array(list)
        }
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, value)| {
                    (
                        key.clone(),
                        put_stored(value, store, place, position, problems),
                    )
                })
                .collect(),
        ),
        Value::String(text) => {
            let mut out = String::new();
            let mut from = 0;
            for reference in references(text) {
                let Some(name) = stored(reference.name) else {
                    continue;
                };
                out.push_str(&text[from..reference.start]);
                from = reference.end;
                let mut problem = |why: &str| {
                    problems.push(Diagnostic::error(
                        "parameter-store",
                        position,
                        format!("{place} refers to the parameter {name}, {why}"),
                    ));
                };
                match store.get(name) {
                    Some(StoredParameter::String(value)) => out.push_str(value),
                    Some(StoredParameter::StringList(_)) => {
                        problem("which is a list and can only be a whole element of a list")
                    }
                    Some(StoredParameter::SecureString) => {
                        problem("which is a SecureString; these may not stand in a document")
                    }
                    None => problem("which does not exist"),
                }
            }
            out.push_str(&text[from..]);
            Value::String(out)
        }
        other => other.clone(),
    }
}
