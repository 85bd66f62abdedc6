//! From values to YAML, for people to read.

use serde_json::Value;

/// A value as YAML: mappings and lists in blocks, texts of several lines as they are, and quotes where they are
/// needed.
#[must_use]
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block(&mut out, value, 0, false),
        Value::Array(items) if !items.is_empty() => block(&mut out, value, 0, false),
        other => {
            out.push_str(&scalar(other));
            out.push('\n');
        }
    }
    out
}

/// The entries of a mapping or the items of a list, which are not none. `inline` is after a `-`, where the first one
/// stands in the same line.
fn block(out: &mut String, value: &Value, indent: usize, inline: bool) {
    let mut first = inline;
    let mut begin = |out: &mut String| {
        if !std::mem::take(&mut first) {
            spaces(out, indent);
        }
    };
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                begin(out);
                out.push_str(&line(key));
                out.push(':');
                part(out, value, indent + 2, false);
            }
        }
        Value::Array(items) => {
            for item in items {
                begin(out);
                out.push('-');
                part(out, item, indent + 2, true);
            }
        }
        _ => {}
    }
}

/// What comes after `key:` or `-`.
fn part(out: &mut String, value: &Value, indent: usize, inline: bool) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push(if inline { ' ' } else { '\n' });
            block(out, value, indent, inline);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push(if inline { ' ' } else { '\n' });
            block(out, value, indent, inline);
        }
        Value::String(text) if is_literal(text) => {
            out.push_str(if text.ends_with('\n') {
                " |\n"
            } else {
                " |-\n"
            });
            for line in text.lines() {
                if !line.is_empty() {
                    spaces(out, indent);
                    out.push_str(line);
                }
                out.push('\n');
            }
        }
        other => {
            out.push(' ');
            out.push_str(&scalar(other));
            out.push('\n');
        }
    }
}

fn spaces(out: &mut String, count: usize) {
    out.extend(std::iter::repeat_n(' ', count));
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => line(text),
        // Numbers, truth values, null, and what is empty are written as in JSON.
        other => other.to_string(),
    }
}

/// Whether a text can stand as lines: none of them with white space at an end that would be lost or mistaken.
fn is_literal(text: &str) -> bool {
    text.contains('\n')
        && !text.starts_with(char::is_whitespace)
        && !text.ends_with("\n\n")
        && !text.chars().any(|c| c != '\n' && c != '\t' && is_odd(c))
        && text.lines().all(|line| line.trim_end() == line)
}

/// A text in one line, in quotes unless it is surely read as text without.
fn line(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    // What JSON escapes, YAML reads; it wants more escaped.
    for c in Value::from(text).to_string().chars() {
        if is_odd(c) {
            quoted.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            quoted.push(c);
        }
    }
    quoted
}

/// Characters that YAML does not take as they are.
fn is_odd(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        )
}

fn is_plain(text: &str) -> bool {
    const WORDS: &[&str] = &["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let mut characters = text.chars();
    characters
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '/')
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && text.chars().all(|c| {
            c.is_ascii_alphanumeric()
                || matches!(
                    c,
                    ' ' | '_' | '-' | '.' | '/' | '(' | ')' | ',' | '=' | '+' | ':' | ';' | '$'
                )
        })
        && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::to_yaml;
    use crate::parse;

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for value in [
            json!({"schemaVersion": "2.2", "mainSteps": [{"name": "a", "inputs": {"runCommand": ["x", "y: z"]}}]}),
            json!({"a": [], "b": {}, "c": null, "d": [[1, 2], [{"x": 1, "y": [true]}], []], "e": 1.5, "f": -3}),
            json!({"script": "#!/bin/sh\necho 'a'\n\n  indented\n", "open": "a\nb", "more": "a\n\n", "odd": " a\nb"}),
            json!({"t": ["true", "No", "1", "1.0", "~", "", " ", "a ", "- a", "a #b", "{{ x }}", "a:", "a: b", "\t"]}),
            json!({"ends": "a \nb\n", "return": "a\r\nb", "control": "\u{7f}\u{85}\u{2028}", "wide": "grüße\n🦀"}),
            json!({"a key": 1, "true": 2, "": 3, "x:y": 4, "1": 5}),
            json!(["a", {"b": "c"}]),
            json!("text\nin lines"),
            json!({}),
        ] {
            let text = to_yaml(&value);
            let read = parse(&text).map(|node| node.to_json());
            assert_eq!(read.as_ref(), Ok(&value), "{text}");
        }
    }

    #[test]
    fn it_is_written_for_people() {
        let value = json!({
            "schemaVersion": "2.2",
            "mainSteps": [{"name": "one", "inputs": {"runCommand": ["echo a", "#b"], "script": "x\ny\n"}}],
        });
        assert_eq!(
            to_yaml(&value),
            "schemaVersion: \"2.2\"\nmainSteps:\n  - name: one\n    inputs:\n      runCommand:\n        - echo a\n        \
             - \"#b\"\n      script: |\n        x\n        y\n"
        );
    }
}
