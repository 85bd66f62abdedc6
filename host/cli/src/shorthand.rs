//! Parameters as the aws CLI takes them: JSON, its shorthand, or a file with either.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// Reads all `--parameters` together; the last of one name counts.
pub(crate) fn parameters(texts: &[String]) -> Result<BTreeMap<String, Value>> {
    let mut all = BTreeMap::new();
    for text in texts {
        let owned;
        let text = match text.strip_prefix("file://") {
            Some(path) => {
                owned = std::fs::read_to_string(path)
                    .with_context(|| format!("the parameters in {path}"))?;
                owned.trim()
            }
            None => text.trim(),
        };
        if text.starts_with('{') {
            let value: Value = serde_json::from_str(text)
                .with_context(|| format!("the parameters {text} are not JSON"))?;
            let Value::Object(map) = value else {
                bail!("the parameters {text} are not a JSON object")
            };
            all.extend(map);
        } else if !text.is_empty() {
            all.extend(Shorthand { text, at: 0 }.read()?);
        }
    }
    Ok(all)
}

/// `commands=["a","b"],workingDirectory=/tmp`; a list is `[…]`, `a,b`, or one value.
struct Shorthand<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Shorthand<'a> {
    fn read(mut self) -> Result<BTreeMap<String, Value>> {
        let mut all = BTreeMap::new();
        while self.at < self.text.len() {
            let rest = self.rest();
            let Some(equals) = rest.find('=') else {
                bail!("in the parameters {}, `{rest}` is no NAME=VALUE", self.text);
            };
            let key = rest[..equals].trim().to_owned();
            if key.is_empty() || key.contains(',') {
                bail!(
                    "in the parameters {}, `{}` is no name; a value with a comma is written in quotes or in […]",
                    self.text,
                    &rest[..equals]
                );
            }
            self.at += equals + 1;
            let value = self.values()?;
            all.insert(key, Value::Array(value));
        }
        Ok(all)
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// The values of one name, up to and with the comma before the next.
    fn values(&mut self) -> Result<Vec<Value>> {
        self.skip_space();
        if self.rest().starts_with('[') {
            // JSON first: quotes inside mean what they mean there.
            let mut stream = serde_json::Deserializer::from_str(self.rest()).into_iter::<Value>();
            if let Some(Ok(Value::Array(items))) = stream.next() {
                self.at += stream.byte_offset();
                self.end()?;
                return Ok(items);
            }
            self.at += 1;
            let mut items = Vec::new();
            loop {
                self.skip_space();
                if self.rest().starts_with(']') {
                    self.at += 1;
                    self.end()?;
                    return Ok(items);
                }
                items.push(Value::String(self.one(&[',', ']'])?));
                self.skip_space();
                if self.rest().starts_with(',') {
                    self.at += 1;
                } else if !self.rest().starts_with(']') {
                    bail!(
                        "in the parameters {}, a list is not closed with `]`",
                        self.text
                    );
                }
            }
        }
        let mut items = vec![Value::String(self.one(&[','])?)];
        // Another value of the same name, or the next name?
        while self.rest().starts_with(',') {
            let next = &self.rest()[1..];
            let quoted = next.trim_start().starts_with(['"', '\'']);
            let until = next.find(',').unwrap_or(next.len());
            if !quoted && next[..until].contains('=') {
                self.at += 1;
                return Ok(items);
            }
            self.at += 1;
            if self.rest().is_empty() {
                break;
            }
            items.push(Value::String(self.one(&[','])?));
        }
        Ok(items)
    }

    fn end(&mut self) -> Result<()> {
        self.skip_space();
        if self.rest().is_empty() {
            return Ok(());
        }
        if !self.rest().starts_with(',') {
            bail!(
                "in the parameters {}, there is `{}` where a comma or the end should be",
                self.text,
                self.rest()
            );
        }
        self.at += 1;
        Ok(())
    }

    /// One value, in quotes or up to one of these characters.
    fn one(&mut self, ends: &[char]) -> Result<String> {
        self.skip_space();
        let rest = self.rest();
        if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            let mut value = String::new();
            let mut escaped = false;
            for (at, c) in rest.char_indices().skip(1) {
                if escaped {
                    if c != quote && c != '\\' {
                        value.push('\\');
                    }
                    value.push(c);
                    escaped = false;
                } else if c == '\\' {
                    escaped = true;
                } else if c == quote {
                    self.at += at + 1;
                    return Ok(value);
                } else {
                    value.push(c);
                }
            }
            bail!("in the parameters {}, a quote is not closed", self.text);
        }
        let end = rest.find(ends).unwrap_or(rest.len());
        self.at += end;
        Ok(rest[..end].trim_end().to_owned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::{Value, json};

    use super::parameters;

    #[test]
    fn shorthand_and_json_are_read_as_by_the_aws_cli() {
        for (text, expected) in [
            (r#"commands=["uptime"]"#, json!({ "commands": ["uptime"] })),
            ("commands=uptime", json!({ "commands": ["uptime"] })),
            (
                r#"commands=["echo a, b","x=1"],workingDirectory=/tmp"#,
                json!({ "commands": ["echo a, b", "x=1"], "workingDirectory": ["/tmp"] }),
            ),
            ("a=1,2,b=3", json!({ "a": ["1", "2"], "b": ["3"] })),
            ("a=[x,y z]", json!({ "a": ["x", "y z"] })),
            (
                "a='x,y',b=\"q\\\"r\"",
                json!({ "a": ["x,y"], "b": ["q\"r"] }),
            ),
            ("a=", json!({ "a": [""] })),
            ("a=x=y", json!({ "a": ["x=y"] })),
            (
                r#"{"commands":["a"],"n":3}"#,
                json!({ "commands": ["a"], "n": 3 }),
            ),
        ] {
            let read = parameters(&[text.to_owned()]).unwrap();
            assert_eq!(
                Value::Object(read.into_iter().collect()),
                expected,
                "{text}"
            );
        }
        for text in ["uptime", "{\"a\"", "a=[x", "a='x", "[1]", "=x"] {
            assert!(parameters(&[text.to_owned()]).is_err(), "{text}");
        }
    }
}
