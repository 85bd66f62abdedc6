//! Reads whose components are to be believed.

use std::collections::BTreeMap;

use capstan_syntax::{Node, Value};
use minisign_verify::PublicKey;

use super::Policy;
use super::reader::Reader;
use crate::pattern::glob;

/// The publisher of the actions that are a part of the program.
pub const BUILT_IN_PUBLISHER: &str = "capstan";
/// The namespace of those actions, which no other component has a name in.
pub const BUILT_IN_NAMESPACE: &str = "aws:";

const PUBLISHER: &[&str] = &["key", "actions"];

/// Somebody who signs components.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Publisher {
    /// The public key, one line in minisign's format.
    pub key: String,
    /// Patterns of the names of actions and collectors that take this publisher's signature.
    pub actions: Vec<String>,
}

impl Policy {
    /// The publishers one of whom must have signed whatever serves this name. With none of them anybody may serve it.
    pub fn publishers_of(&self, name: &str) -> impl Iterator<Item = (&str, &Publisher)> {
        let claims = move |publisher: &Publisher| {
            publisher.actions.iter().any(|pattern| glob(pattern, name))
        };
        self.publishers
            .iter()
            .filter(move |(_, publisher)| claims(publisher))
            .map(|(name, publisher)| (name.as_str(), publisher))
    }
}

impl Reader {
    pub(super) fn publishers(&mut self, node: &Node) -> BTreeMap<String, Publisher> {
        let mut publishers: BTreeMap<String, Publisher> = BTreeMap::new();
        let Some(entries) = node.as_map() else {
            self.problem(
                node,
                format!("`publishers` is a mapping, not {}", node.kind()),
            );
            return publishers;
        };
        for entry in entries {
            if entry.key == BUILT_IN_PUBLISHER {
                self.problem(
                    &entry.node,
                    format!("`{BUILT_IN_PUBLISHER}` is the publisher of the built-in actions; name this one otherwise"),
                );
                continue;
            }
            let publisher = self.publisher(&entry.node);
            // A signature has to lead to one publisher.
            let same = publishers
                .iter()
                .find(|(_, other)| other.key == publisher.key && !publisher.key.is_empty());
            if let Some((other, _)) = same {
                self.problem(
                    &entry.node,
                    format!("`{}` has the key of `{other}`", entry.key),
                );
            }
            publishers.insert(entry.key.clone(), publisher);
        }
        publishers
    }

    fn publisher(&mut self, node: &Node) -> Publisher {
        let mut publisher = Publisher::default();
        for (key, node) in self.entries(node, "a publisher", PUBLISHER) {
            match key {
                "key" => {
                    let Some(text) = self.text(node, "`key`") else {
                        continue;
                    };
                    if PublicKey::from_base64(text.trim()).is_err() {
                        self.problem(
                            node,
                            format!("`{text}` is no public key of minisign: one line that begins with RW, the second of a .pub file"),
                        );
                    }
                    text.trim().clone_into(&mut publisher.key);
                }
                _ => {
                    let items = match &node.value {
                        Value::List(items) => items.as_slice(),
                        _ => std::slice::from_ref(node),
                    };
                    for item in items {
                        let Some(pattern) = self.text(item, "`actions`") else {
                            continue;
                        };
                        if pattern.starts_with(BUILT_IN_NAMESPACE) {
                            self.problem(
                                item,
                                format!("the names of {BUILT_IN_NAMESPACE} are those of built-in actions; no publisher can have them"),
                            );
                        }
                        publisher.actions.push(pattern);
                    }
                }
            }
        }
        if node.as_map().is_some() && node.get("key").is_none() {
            self.problem(node, "a publisher has a `key`");
        }
        publisher
    }
}
