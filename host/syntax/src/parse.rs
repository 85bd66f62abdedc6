//! From text to values. JSON is read as the part of YAML that it is.

use std::collections::{BTreeMap, HashMap};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use crate::diagnostics::{Diagnostic, Diagnostics, Position};
use crate::node::{Entry, Node, Value};

/// Deeper nesting than any real file has; a guard for the stack.
const MAX_DEPTH: usize = 96;
/// More values than any real file has; a guard against aliases that multiply.
const MAX_NODES: usize = 200_000;

/// Reads one YAML or JSON value.
///
/// # Errors
/// What is not well formed, doubled keys, and more than one document in the file. All doubled keys of a file are
/// reported; a syntax error ends the reading.
pub fn parse(source: &str) -> Result<Node, Vec<Diagnostic>> {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let json = source.trim_start().starts_with(['{', '[']);
    // A tab between the tokens of JSON is white space, for YAML it is not always; within JSON strings there is none.
    let replaced = json.then(|| source.replace('\t', " "));
    match read(replaced.as_deref().unwrap_or(source)) {
        Err(errors) if json && errors.iter().all(|error| error.code == "syntax") => {
            match serde_json::from_str(source) {
                // JSON that YAML cannot read, such as a pair of surrogate escapes.
                Ok(value) => Ok(Node::from_json(&value, Position { line: 1, column: 1 })),
                Err(_) => Err(errors),
            }
        }
        result => result,
    }
}

/// Reads one mapping that stands on its own, such as a set of parameters.
///
/// # Errors
/// As [`parse`], and when it is no mapping. `origin` is its name in messages.
pub fn parse_mapping(
    source: &str,
    origin: &str,
) -> Result<BTreeMap<String, serde_json::Value>, Diagnostics> {
    let root = parse(source).map_err(|problems| Diagnostics::new(origin, problems))?;
    match root.as_map() {
        Some(entries) => Ok(entries
            .iter()
            .map(|entry| (entry.key.clone(), entry.node.to_json()))
            .collect()),
        None => Err(Diagnostics::new(
            origin,
            vec![Diagnostic::error(
                "type",
                root.position,
                format!("this is {}, and not a mapping", root.kind()),
            )],
        )),
    }
}

fn position(marker: Marker) -> Position {
    Position {
        line: marker.line().max(1),
        column: marker.col() + 1,
    }
}

/// A list or mapping that has begun.
enum Open {
    List(Vec<Node>),
    Map(Vec<Entry>, Option<(String, Position)>),
}

struct Reader {
    stack: Vec<(Open, Position, usize)>,
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
    nodes: usize,
    problems: Vec<Diagnostic>,
}

fn read(source: &str) -> Result<Node, Vec<Diagnostic>> {
    let mut reader = Reader {
        stack: Vec::new(),
        anchors: HashMap::new(),
        root: None,
        nodes: 0,
        problems: Vec::new(),
    };
    let mut documents = 0;
    let mut parser = Parser::new_from_str(source);
    while let Some(event) = parser.next_event() {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                let at = position(*error.marker());
                reader.problems.push(Diagnostic::error(
                    "syntax",
                    at,
                    format!("not valid YAML or JSON: {}", error.info()),
                ));
                return Err(reader.problems);
            }
        };
        let at = position(span.start);
        if let Event::DocumentStart(_) = event {
            documents += 1;
            if documents > 1 {
                reader.problems.push(
                    Diagnostic::error("syntax", at, "the file holds more than one document")
                        .help("put each document into a file of its own"),
                );
                return Err(reader.problems);
            }
        }
        if let Err(problem) = reader.take(event, at) {
            reader.problems.push(problem);
            return Err(reader.problems);
        }
    }
    if !reader.problems.is_empty() {
        return Err(reader.problems);
    }
    reader
        .root
        .filter(|root| root.value != Value::Null)
        .ok_or_else(|| {
            vec![Diagnostic::error(
                "empty",
                Position { line: 1, column: 1 },
                "the file is empty",
            )]
        })
}

impl Reader {
    fn take(&mut self, event: Event<'_>, at: Position) -> Result<(), Diagnostic> {
        match event {
            Event::Scalar(text, style, anchor, tag) => self.place(
                Node {
                    position: at,
                    value: scalar(&text, style, tag.as_deref()),
                },
                anchor,
            ),
            Event::SequenceStart(anchor, _) => self.open(Open::List(Vec::new()), at, anchor),
            Event::MappingStart(anchor, _) => self.open(Open::Map(Vec::new(), None), at, anchor),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some((open, position, anchor)) = self.stack.pop() else {
                    return Ok(());
                };
                let value = match open {
                    Open::List(items) => Value::List(items),
                    Open::Map(entries, _) => Value::Map(entries),
                };
                self.place(Node { position, value }, anchor)
            }
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id).cloned() else {
                    return Err(Diagnostic::error(
                        "syntax",
                        at,
                        "the alias stands for nothing that came before it",
                    ));
                };
                self.nodes += count(&node);
                self.place(node, 0)
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, open: Open, at: Position, anchor: usize) -> Result<(), Diagnostic> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(Diagnostic::error(
                "too-deep",
                at,
                format!("more than {MAX_DEPTH} levels of nesting"),
            ));
        }
        self.stack.push((open, at, anchor));
        Ok(())
    }

    fn place(&mut self, node: Node, anchor: usize) -> Result<(), Diagnostic> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Diagnostic::error(
                "too-large",
                node.position,
                format!("more than {MAX_NODES} values"),
            ));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some((Open::List(items), ..)) => items.push(node),
            Some((Open::Map(entries, key), ..)) => match key.take() {
                None => {
                    let Some(text) = node.scalar_text() else {
                        return Err(Diagnostic::error(
                            "syntax",
                            node.position,
                            format!("a key is text, not {}", node.kind()),
                        ));
                    };
                    *key = Some((text, node.position));
                }
                Some((text, position)) => {
                    if let Some(first) = entries.iter().find(|entry| entry.key == text) {
                        let line = first.position.line;
                        self.problems.push(
                            Diagnostic::error(
                                "duplicate-key",
                                position,
                                format!("`{text}` is there twice, first in line {line}"),
                            )
                            .help("keep one of them"),
                        );
                    } else {
                        entries.push(Entry {
                            key: text,
                            position,
                            node,
                        });
                    }
                }
            },
        }
        Ok(())
    }
}

fn count(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Map(entries) => {
            1 + entries
                .iter()
                .map(|entry| count(&entry.node))
                .sum::<usize>()
        }
        _ => 1,
    }
}

/// A scalar by YAML's core schema: quoted is text, plain is what it looks like.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    if style != ScalarStyle::Plain || tag.is_some_and(|tag| tag.suffix == "str") {
        return Value::String(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        let plain = text.strip_prefix('+').unwrap_or(text);
        if let Ok(number) = plain.parse::<i64>() {
            return Value::Number(number.into());
        }
        if let Ok(number) = plain.parse::<u64>() {
            return Value::Number(number.into());
        }
        if digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
            && let Some(number) = plain
                .parse::<f64>()
                .ok()
                .and_then(serde_json::Number::from_f64)
        {
            return Value::Number(number);
        }
    }
    Value::String(text.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::parse;

    #[test]
    fn yaml_and_json_give_the_same() {
        let yaml = "a: 1\nb: ['2', true, ~]\nc:\n  d: |\n    x\n    y\n";
        let json = "{\"a\": 1,\n\t\"b\": [\"2\", true, null], \"c\": {\"d\": \"x\\ny\\n\"}}";
        assert_eq!(
            parse(yaml).unwrap().to_json(),
            parse(json).unwrap().to_json()
        );
        assert_eq!(
            parse("{\"a\": \"\\ud83d\\ude00\"}").unwrap().to_json(),
            json!({ "a": "😀" })
        );
        assert_eq!(
            parse("--- # comment\na: 1.5\n").unwrap().to_json(),
            json!({ "a": 1.5 })
        );
    }

    #[test]
    fn values_know_where_they_stand() {
        let node = parse("a: 1\nbeta:\n  - x\n  - y: z\n").unwrap();
        let beta = node.get("beta").unwrap().as_list().unwrap();
        assert_eq!((beta[1].position.line, beta[1].position.column), (4, 5));
        let z = beta[1].get("y").unwrap().position;
        assert_eq!((z.line, z.column), (4, 8));
    }

    #[test]
    fn problems_are_told_with_their_place() {
        let errors = parse("a: 1\nb: 2\na: 3\nb: 4\n").unwrap_err();
        assert_eq!(errors.len(), 2);
        assert_eq!(errors[0].position.unwrap().line, 3);
        assert_eq!(parse("").unwrap_err()[0].code, "empty");
        assert_eq!(parse("a: [1\nb: 2").unwrap_err()[0].code, "syntax");
        assert!(parse(&"[".repeat(10_000)).is_err());
        assert_eq!(
            parse(&format!("{}{}", "[".repeat(100), "]".repeat(100))).unwrap_err()[0].code,
            "too-deep"
        );
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e]\n";
        assert_eq!(parse(bomb).unwrap_err()[0].code, "too-large");
    }
}
