//! Whether a component is one that a node should take, beyond being well formed: looked at when it comes in, and not at
//! every step.

use jsonschema::meta;
use serde_json::{Map, Value};

use crate::component::ComponentInfo;
use crate::error::RuntimeError;

/// Refuses a component that imports more than its manifest requests, or whose input schema nothing can be checked
/// against.
///
/// # Errors
/// With what is wrong.
pub fn check_acceptable(info: &ComponentInfo) -> Result<(), RuntimeError> {
    if !info.unrequested.is_empty() {
        return Err(RuntimeError::Component(format!(
            "it imports {} although its manifest requests nothing of the kind",
            info.unrequested.join(", ")
        )));
    }
    check_schema(&info.manifest.input_schema).map_err(RuntimeError::Manifest)
}

/// Whether a schema is one (JSON Schema draft 2020-12, unless it names another), and some object can fit it.
fn check_schema(schema: &Value) -> Result<(), String> {
    if schema.is_null() {
        return Ok(());
    }
    if let Err(error) = meta::validate(schema) {
        let place = place(error.instance_path().as_str());
        return Err(format!("its inputSchema is no JSON Schema{place}: {error}"));
    }
    if let Err(error) = jsonschema::validator_for(schema) {
        let place = place(error.instance_path().as_str());
        return Err(format!("its inputSchema cannot be used{place}: {error}"));
    }
    if let Some(kind) = schema.get("type").filter(|kind| !names(kind, "object")) {
        return Err(format!(
            "its inputSchema is for {kind}, and the inputs of a step are an object"
        ));
    }
    contradiction(schema, &mut String::new()).map_or(Ok(()), |(path, why)| {
        let place = place(&path);
        Err(format!("no inputs can fit its inputSchema{place}: {why}"))
    })
}

fn place(path: &str) -> String {
    match path {
        "" => String::new(),
        path => format!(" at {path}"),
    }
}

fn names(kind: &Value, word: &str) -> bool {
    match kind {
        Value::Array(words) => words.iter().any(|one| one == word),
        one => one == word,
    }
}

/// A part of a schema that refuses everything, and that every value has to fit. A property that may be left out can say
/// what it wants.
fn contradiction(schema: &Value, path: &mut String) -> Option<(String, String)> {
    let Value::Object(schema) = schema else {
        return (*schema == Value::Bool(false)).then(|| (path.clone(), "it is `false`".to_owned()));
    };
    for (low, high) in [
        ("minimum", "maximum"),
        ("minLength", "maxLength"),
        ("minItems", "maxItems"),
        ("minProperties", "maxProperties"),
    ] {
        let limit = |name| schema.get(name).and_then(Value::as_f64);
        if let (Some(least), Some(most)) = (limit(low), limit(high))
            && least > most
        {
            return Some((
                path.clone(),
                format!("{low} is {least}, and {high} is {most}"),
            ));
        }
    }
    if schema
        .get("enum")
        .and_then(Value::as_array)
        .is_some_and(Vec::is_empty)
    {
        return Some((path.clone(), "enum is empty".to_owned()));
    }
    let required = schema.get("required").and_then(Value::as_array)?;
    let nothing = Map::new();
    let properties = schema
        .get("properties")
        .and_then(Value::as_object)
        .unwrap_or(&nothing);
    for name in required.iter().filter_map(Value::as_str) {
        let before = path.len();
        path.push_str("/properties/");
        path.push_str(name);
        let found = match properties.get(name) {
            Some(property) => contradiction(property, path),
            None if schema.get("additionalProperties") == Some(&Value::Bool(false)) => Some((
                path.clone(),
                "it is required, and there is no such property".to_owned(),
            )),
            None => None,
        };
        if found.is_some() {
            return found;
        }
        path.truncate(before);
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::check_schema;

    #[test]
    fn schemas_that_can_be_fitted_are_taken() {
        for schema in [
            Value::Null,
            json!({}),
            json!({ "type": "object", "properties": { "a": { "type": ["string", "null"], "pattern": "^a+$" } } }),
            json!({ "type": "object", "properties": { "a": { "minimum": 2, "maximum": 1 } } }),
            json!({ "required": ["a"], "properties": { "a": { "$ref": "#/$defs/b" } }, "$defs": { "b": { "enum": [1] } } }),
        ] {
            assert_eq!(check_schema(&schema), Ok(()), "{schema}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_schema_is_told_with_its_place() {
        for (schema, expected) in [
            (json!({ "type": "strng" }), "no JSON Schema at /type"),
            (json!({ "required": "a" }), "no JSON Schema at /required"),
            (json!([]), "no JSON Schema"),
            (
                json!({ "properties": { "a": { "pattern": "(" } } }),
                "/properties/a",
            ),
            (
                json!({ "properties": { "a": { "$ref": "#/$defs/b" } } }),
                "cannot be used",
            ),
            (json!({ "type": "array" }), "is for \"array\""),
            (
                json!({ "required": ["a"], "properties": { "a": { "minimum": 2, "maximum": 1 } } }),
                "at /properties/a: minimum is 2, and maximum is 1",
            ),
            (
                json!({ "required": ["a"], "properties": { "a": { "enum": [] } } }),
                "at /properties/a: enum is empty",
            ),
            (
                json!({ "required": ["a"], "properties": { "a": false } }),
                "at /properties/a: it is `false`",
            ),
            (
                json!({ "required": ["a"], "additionalProperties": false }),
                "at /properties/a: it is required",
            ),
        ] {
            let error = check_schema(&schema).err().unwrap_or_default();
            assert!(error.contains(expected), "{schema}: {error}");
        }
    }
}
