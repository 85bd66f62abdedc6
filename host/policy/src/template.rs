//! `{{ name }}` in the paths and hosts of a policy or of a step's declaration: the value of a document parameter.

use std::collections::BTreeMap;

use serde_json::Value;

/// Where the text goes, which decides what a value may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A path: each value is one component, or, when the path is the template alone, a whole normal path.
    Path,
    /// A URL or host: a value without slashes and the like, or, when it is the template alone, a whole URL.
    Host,
    /// A name.
    Name,
}

/// Replaces the templates.
///
/// # Errors
/// A parameter that does not exist, or a value that would change what the text means: empty, `.`, `..`, a slash
/// inside a component, a control character. Such values are refused and never repaired.
pub(crate) fn resolve(
    text: &str,
    parameters: &BTreeMap<String, Value>,
    place: Place,
) -> Result<String, String> {
    if !text.contains("{{") {
        return Ok(text.to_owned());
    }
    let whole = text.starts_with("{{") && text.ends_with("}}") && text.matches("{{").count() == 1;
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        out.push_str(&rest[..start]);
        let Some(end) = rest[start..].find("}}") else {
            return Err(format!("`{text}` has an opening {{{{ without an end"));
        };
        let name = rest[start + 2..start + end].trim();
        rest = &rest[start + end + 2..];
        let value = match parameters.get(name) {
            Some(Value::String(value)) => value.clone(),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
            Some(_) => {
                return Err(format!(
                    "the parameter {name} in `{text}` is not plain text"
                ));
            }
            None => {
                return Err(format!(
                    "`{text}` names the parameter {name}, which the document does not have"
                ));
            }
        };
        let refused = |why: &str| {
            Err(format!(
                "the parameter {name} in `{text}` is \"{value}\": {why}"
            ))
        };
        if value.is_empty() {
            return refused("it is empty");
        }
        if value.chars().any(|c| c.is_control()) {
            return refused("it holds a control character");
        }
        if value.contains('*') || value.contains('?') {
            return refused("it holds a wildcard");
        }
        let dots = value.split('/').any(|part| part == "." || part == "..");
        if dots {
            return refused("`.` and `..` are not followed here");
        }
        match place {
            Place::Path if !whole && value.contains('/') => {
                return refused("a slash would leave the folder");
            }
            Place::Host if !whole && value.contains(['/', '@', ':', '\\', '#', '?', '%', ' ']) => {
                return refused("only a plain name can stand here");
            }
            _ => {}
        }
        out.push_str(&value);
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::{Place, resolve};

    #[test]
    fn values_cannot_leave_their_place() {
        for (text, value, place, good) in [
            ("/srv/{{ app }}/x", "orders", Place::Path, true),
            ("/srv/{{ app }}/x", "..", Place::Path, false),
            ("/srv/{{ app }}/x", "a/b", Place::Path, false),
            ("/srv/{{ app }}", "", Place::Path, false),
            ("/srv/{{ app }}", "a\u{0}b", Place::Path, false),
            ("/srv/{{ app }}", "*", Place::Path, false),
            ("{{ app }}", "/opt/orders", Place::Path, true),
            ("{{ app }}", "/opt/../etc", Place::Path, false),
            ("https://{{ app }}.example.com", "db", Place::Host, true),
            (
                "https://{{ app }}.example.com",
                "evil.com/x",
                Place::Host,
                false,
            ),
            (
                "https://{{ app }}.example.com",
                "user@evil",
                Place::Host,
                false,
            ),
            ("{{ other }}", "x", Place::Name, false),
        ] {
            let parameters = BTreeMap::from([("app".to_owned(), json!(value))]);
            assert_eq!(
                resolve(text, &parameters, place).is_ok(),
                good,
                "{text} {value:?}"
            );
        }
    }
}
