//! From text to values. JSON is read as the part of YAML that it is.

use std::collections::{BTreeMap, HashMap};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use crate::diagnostics::{Diagnostic, Diagnostics, Position};
use crate::json;
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
    match parse_all(source) {
        (Some(node), problems) if problems.is_empty() => Ok(node),
        (_, problems) => Err(problems),
    }
}

/// Reads one YAML or JSON value, also one with doubled keys, of which the first counts. Nothing if it cannot be read
/// at all.
#[must_use]
pub fn parse_all(source: &str) -> (Option<Node>, Vec<Diagnostic>) {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    if !source.trim_start().starts_with(['{', '[']) {
        return read(source);
    }
    if let Err(problem) = json::check_depth(source, MAX_DEPTH) {
        return (None, vec![problem]);
    }
    match read(&json::as_yaml(source)) {
        (None, errors) if errors.iter().all(|error| error.code == "syntax") => {
            match serde_json::from_str(source) {
                // JSON that YAML cannot read.
                Ok(value) => (
                    Some(Node::from_json(&value, Position { line: 1, column: 1 })),
                    Vec::new(),
                ),
                Err(_) => (None, errors),
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
    Map(Mapping),
}

/// A mapping that has begun.
#[derive(Default)]
struct Mapping {
    entries: Vec<Entry>,
    /// Where the entry of a key is.
    index: HashMap<String, usize>,
    /// The key whose value comes next.
    key: Option<Key>,
    /// What `<<` takes in, once all of the mapping's own keys are known.
    merged: Vec<Node>,
}

struct Key {
    text: String,
    position: Position,
    merges: bool,
}

impl Mapping {
    /// Takes in what `<<` named: the mapping's own keys win, then those of the earlier ones.
    fn finish(mut self) -> Vec<Entry> {
        for node in std::mem::take(&mut self.merged) {
            if let Value::Map(entries) = node.value {
                for entry in entries {
                    if !self.index.contains_key(&entry.key) {
                        self.index.insert(entry.key.clone(), self.entries.len());
                        self.entries.push(entry);
                    }
                }
            }
        }
        self.entries
    }

    /// What stands after `<<`.
    fn merge(&mut self, node: Node) -> Result<(), Diagnostic> {
        let items = match node.value {
            Value::List(items) => items,
            _ => vec![node],
        };
        if let Some(wrong) = items.iter().find(|item| item.as_map().is_none()) {
            return Err(Diagnostic::error(
                "merge-key",
                wrong.position,
                format!(
                    "`<<` takes a mapping or a list of mappings, not {}",
                    wrong.kind()
                ),
            )
            .help("write the key in quotes if it is meant as it is"));
        }
        self.merged.extend(items);
        Ok(())
    }
}

struct Reader {
    stack: Vec<(Open, Position, usize)>,
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
    nodes: usize,
    problems: Vec<Diagnostic>,
}

fn read(source: &str) -> (Option<Node>, Vec<Diagnostic>) {
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
                return (None, reader.problems);
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
                return (None, reader.problems);
            }
        }
        if let Err(problem) = reader.take(event, at) {
            reader.problems.push(problem);
            return (None, reader.problems);
        }
    }
    let root = reader.root.filter(|root| root.value != Value::Null);
    if root.is_none() && reader.problems.is_empty() {
        reader.problems.push(Diagnostic::error(
            "empty",
            Position { line: 1, column: 1 },
            "the file is empty",
        ));
    }
    (root, reader.problems)
}

impl Reader {
    fn take(&mut self, event: Event<'_>, at: Position) -> Result<(), Diagnostic> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                if let Some((Open::Map(mapping), ..)) = self.stack.last_mut()
                    && mapping.key.is_none()
                    && style == ScalarStyle::Plain
                    && text == "<<"
                {
                    mapping.key = Some(Key {
                        text: text.into_owned(),
                        position: at,
                        merges: true,
                    });
                    return Ok(());
                }
                self.place(
                    Node {
                        position: at,
                        value: scalar(&text, style, tag.as_deref()),
                    },
                    anchor,
                )
            }
            Event::SequenceStart(anchor, _) => self.open(Open::List(Vec::new()), at, anchor),
            Event::MappingStart(anchor, _) => self.open(Open::Map(Mapping::default()), at, anchor),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some((open, position, anchor)) = self.stack.pop() else {
                    return Ok(());
                };
                let value = match open {
                    Open::List(items) => Value::List(items),
                    Open::Map(mapping) => {
                        self.nodes += mapping.merged.iter().map(count).sum::<usize>();
                        Value::Map(mapping.finish())
                    }
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
            Some((Open::Map(mapping), ..)) => match mapping.key.take() {
                None => {
                    let Some(text) = node.scalar_text() else {
                        return Err(Diagnostic::error(
                            "syntax",
                            node.position,
                            format!("a key is text, not {}", node.kind()),
                        ));
                    };
                    mapping.key = Some(Key {
                        text,
                        position: node.position,
                        merges: false,
                    });
                }
                Some(key) if key.merges => mapping.merge(node)?,
                Some(Key { text, position, .. }) => {
                    if let Some(first) = mapping.index.get(&text) {
                        let line = mapping.entries[*first].position.line;
                        self.problems.push(
                            Diagnostic::error(
                                "duplicate-key",
                                position,
                                format!("`{text}` is there twice, first in line {line}"),
                            )
                            .help("keep one of them"),
                        );
                    } else {
                        mapping.index.insert(text.clone(), mapping.entries.len());
                        mapping.entries.push(Entry {
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

/// How much room a value takes that is there once more: a long text counts as several values.
fn count(node: &Node) -> usize {
    let room = |text: &str| text.len() / 256;
    match &node.value {
        Value::List(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Map(entries) => {
            1 + entries
                .iter()
                .map(|entry| room(&entry.key) + count(&entry.node))
                .sum::<usize>()
        }
        Value::String(text) => 1 + room(text),
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
        // What reads otherwise as a number than it is written (an account's id with a leading zero, the version 1.10)
        // stays as it is written; where a number is wanted, its text is taken for one.
        let plain = text.strip_prefix('+').unwrap_or(text);
        if digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.") {
            return Value::String(text.to_owned());
        }
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
            && number.to_string() == plain
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
    fn escapes_of_json_keep_positions_and_doubled_keys() {
        let text = r#"{"\ud83d\ude00": "\uD83D\uDE00 \\ud83d", "b": [1], "b": 2}"#;
        let (node, problems) = super::parse_all(text);
        let node = node.unwrap();
        assert_eq!(node.get("😀").unwrap().as_str(), Some("😀 \\ud83d"));
        let b = node.get("b").unwrap().as_list().unwrap()[0].position;
        assert_eq!((b.line, b.column), (1, 1 + text.find("1]").unwrap()));
        assert_eq!(problems[0].code, "duplicate-key");
        assert_eq!(
            problems[0].position.unwrap().column,
            1 + text.rfind("\"b\"").unwrap()
        );
    }

    #[test]
    fn numbers_that_would_read_otherwise_stay_text() {
        for (text, expected) in [
            ("012345678901", json!("012345678901")),
            ("-07", json!("-07")),
            ("1.10", json!("1.10")),
            ("1e3", json!("1e3")),
            ("0", json!(0)),
            ("-5", json!(-5)),
            ("0.5", json!(0.5)),
            ("1.5", json!(1.5)),
            ("1.0", json!(1.0)),
        ] {
            assert_eq!(
                parse(&format!("[{text}]")).unwrap().to_json(),
                json!([expected])
            );
        }
    }

    #[test]
    fn mappings_are_merged() {
        let text = "a: &a { x: 1, y: 1 }\nb: &b { y: 2, z: 2 }\nc: { z: 3, <<: *a }\nd: { <<: [*a, *b], x: 4 }\ne: { '<<': 5 }\nf: { <<: { q: 6 }, <<: *a }\n";
        assert_eq!(
            parse(text).unwrap().to_json(),
            json!({
                "a": { "x": 1, "y": 1 },
                "b": { "y": 2, "z": 2 },
                "c": { "z": 3, "x": 1, "y": 1 },
                "d": { "x": 4, "y": 1, "z": 2 },
                "e": { "<<": 5 },
                "f": { "q": 6, "x": 1, "y": 1 },
            })
        );
        assert_eq!(parse("a: { <<: 1 }").unwrap_err()[0].code, "merge-key");
    }

    #[test]
    fn large_files_are_read_in_good_time() {
        let keys: String = (0..90_000).map(|n| format!("key{n}: 1\n")).collect();
        assert_eq!(parse(&keys).unwrap().as_map().unwrap().len(), 90_000);
        for open in ["{", "[", "{\"a\":", "[\"]\","] {
            assert_eq!(
                parse(&open.repeat(100_000)).unwrap_err()[0].code,
                "too-deep",
                "{open}"
            );
        }
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
        assert_eq!(
            parse(&format!("{}{}", "[".repeat(100), "]".repeat(100))).unwrap_err()[0].code,
            "too-deep"
        );
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e]\n";
        assert_eq!(parse(bomb).unwrap_err()[0].code, "too-large");
        let long = format!(
            "a: &a {}\nb: [{}]\n",
            "x".repeat(32_000),
            "*a,".repeat(8_000)
        );
        assert_eq!(parse(&long).unwrap_err()[0].code, "too-large");
    }
}
