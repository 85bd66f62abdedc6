//! `{{ name }}`: where parameters go.

use std::collections::BTreeMap;

use serde_json::Value;

/// A reference within a text: where it stands and what it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference<'a> {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) name: &'a str,
}

/// Everything between `{{` and `}}` that looks like the name of a parameter or a reference to a store.
pub(crate) fn references(text: &str) -> Vec<Reference<'_>> {
    let mut list = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find("{{").map(|at| at + from) {
        let inner = start + 2;
        let Some(length) = text[inner..].find("}}") else {
            break;
        };
        let name = text[inner..inner + length].trim();
        let good = !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':'));
        if good {
            list.push(Reference {
                start,
                end: inner + length + 2,
                name,
            });
            from = inner + length + 2;
        } else {
            // `{{{ name }}`: the reference may begin one further on.
            from = start + 1;
        }
    }
    list
}

/// The name in a reference to a plain parameter of Parameter Store.
pub(crate) fn stored(name: &str) -> Option<&str> {
    name.strip_prefix("ssm:").filter(|name| !name.is_empty())
}

/// Whether a value holds a reference to Parameter Store, a whole one.
pub(crate) fn refers_to_store(value: &Value) -> bool {
    match value {
        Value::String(text) => references(text)
            .iter()
            .any(|reference| stored(reference.name).is_some()),
        Value::Array(items) => items.iter().any(refers_to_store),
        Value::Object(map) => map.values().any(refers_to_store),
        _ => false,
    }
}

/// How an ENV_VAR parameter is named in the environment.
pub(crate) fn variable(name: &str) -> String {
    format!("SSM_{name}")
}

/// Which shell a text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shell {
    Posix,
    /// PowerShell.
    Power,
    /// Not for a shell: ENV_VAR parameters are pasted like others.
    None,
}

/// Puts parameters into a value, all the way down. Keys stay as they are. A text that is nothing but a reference
/// becomes the parameter's value with its type; within a text, what is not text becomes JSON. What was put in is
/// not looked at again. References to nothing stay.
///
/// An ENV_VAR parameter becomes a reference to its variable, without quotes of its own, so that it works within
/// the author's double quotes and, unquoted, is split as any variable; the shell never reads the value as code.
pub(crate) fn substitute(
    value: &Value,
    parameters: &BTreeMap<String, Value>,
    env_vars: &[String],
    shell: Shell,
) -> Value {
    match value {
        Value::String(text) => substitute_text(text, parameters, env_vars, shell),
        Value::Array(items) => items
            .iter()
            .map(|item| substitute(item, parameters, env_vars, shell))
            .collect(),
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, value)| (key.clone(), substitute(value, parameters, env_vars, shell)))
                .collect(),
        ),
        other => other.clone(),
    }
}

fn substitute_text(
    text: &str,
    parameters: &BTreeMap<String, Value>,
    env_vars: &[String],
    shell: Shell,
) -> Value {
    let found = references(text);
    let by_variable =
        |name: &str| shell != Shell::None && env_vars.iter().any(|known| known == name);
    if let [one] = found.as_slice()
        && one.start == 0
        && one.end == text.len()
        && !by_variable(one.name)
    {
        return parameters
            .get(one.name)
            .cloned()
            .unwrap_or_else(|| Value::String(text.to_owned()));
    }
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for reference in found {
        let Some(value) = parameters.get(reference.name) else {
            continue;
        };
        out.push_str(&text[from..reference.start]);
        from = reference.end;
        if by_variable(reference.name) {
            let variable = variable(reference.name);
            match shell {
                Shell::Power => out.push_str(&format!("${{env:{variable}}}")),
                _ => out.push_str(&format!("${{{variable}}}")),
            }
        } else {
            match value {
                Value::String(text) => out.push_str(text),
                other => out.push_str(&other.to_string()),
            }
        }
    }
    out.push_str(&text[from..]);
    Value::String(out)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::{Shell, references, substitute};

    #[test]
    fn values_go_where_they_are_named() {
        let parameters: BTreeMap<String, Value> = BTreeMap::from([
            ("Word".into(), json!("x y")),
            ("List".into(), json!(["a", "b"])),
            ("Yes".into(), json!(true)),
            ("Ref".into(), json!("{{ Word }}")),
            ("Safe".into(), json!("$(rm -rf /)")),
        ]);
        let safe = ["Safe".to_owned()];
        for (text, expected) in [
            (json!("{{ List }}"), json!(["a", "b"])),
            (json!("{{List}}"), json!(["a", "b"])),
            (
                json!("is {{ List }} {{ Yes }}"),
                json!("is [\"a\",\"b\"] true"),
            ),
            (json!("{{ Yes }}"), json!(true)),
            (json!("{{ Ref }}!"), json!("{{ Word }}!")),
            (json!("{{ Nobody }} {{ Word }}"), json!("{{ Nobody }} x y")),
            (
                json!("{{ . }} {{ if x }} {{ Word }}"),
                json!("{{ . }} {{ if x }} x y"),
            ),
            (
                json!({ "{{ Word }}": ["{{ Word }}"] }),
                json!({ "{{ Word }}": ["x y"] }),
            ),
            (json!("echo \"{{ Safe }}\""), json!("echo \"${SSM_Safe}\"")),
            (json!("{{ Safe }}"), json!("${SSM_Safe}")),
            (json!("{{{ Word }}}"), json!("{x y}")),
        ] {
            assert_eq!(
                substitute(&text, &parameters, &safe, Shell::Posix),
                expected,
                "{text}"
            );
        }
        assert_eq!(references("{{ ssm:/a/b:3 }}")[0].name, "ssm:/a/b:3");
    }
}
