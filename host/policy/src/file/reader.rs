//! What reading every part of a policy file has in common: fields by name, texts, and what is wrong with its place.

use capstan_syntax::{Diagnostic, Node, Value, nearest};

/// Collects what is wrong; each part of the file adds its own methods.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) problems: Vec<Diagnostic>,
}

impl Reader {
    pub(super) fn problem(&mut self, node: &Node, message: impl Into<String>) {
        self.problems
            .push(Diagnostic::error("policy", node.position, message));
    }

    /// Entries of a mapping, with a message for each key that is none of `known`.
    pub(super) fn entries<'a>(
        &mut self,
        node: &'a Node,
        what: &str,
        known: &[&str],
    ) -> Vec<(&'a str, &'a Node)> {
        let Some(entries) = node.as_map() else {
            self.problem(node, format!("{what} is a mapping, not {}", node.kind()));
            return Vec::new();
        };
        let mut list = Vec::new();
        for entry in entries {
            if known.contains(&entry.key.as_str()) {
                list.push((entry.key.as_str(), &entry.node));
            } else {
                let mut problem = Diagnostic::error(
                    "unknown-field",
                    entry.position,
                    format!("{what} has no field `{}`", entry.key),
                );
                problem.help = Some(match nearest(&entry.key, known.iter().copied()) {
                    Some(word) => format!("did you mean `{word}`?"),
                    None => format!("its fields are {}", known.join(", ")),
                });
                self.problems.push(problem);
            }
        }
        list
    }

    pub(super) fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        let text = node.scalar_text();
        if text.is_none() {
            self.problem(node, format!("{what} is text, not {}", node.kind()));
        }
        text
    }

    /// A list of texts, or one text.
    pub(super) fn texts(&mut self, node: &Node, what: &str) -> Vec<String> {
        match &node.value {
            Value::List(items) => items
                .iter()
                .filter_map(|item| self.text(item, what))
                .collect(),
            _ => self.text(node, what).into_iter().collect(),
        }
    }
}
