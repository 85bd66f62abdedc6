//! What a plugin asks for, in lines for people, and how two versions of it differ.

use std::collections::BTreeMap;

use capstan_policy::{CapabilityRequests, ChildrenRequest};
use serde::Serialize;
use serde_json::Value;

/// One capability that is asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Request {
    /// `files`, `hosts`, …
    pub capability: String,
    /// The path, host or name.
    pub item: String,
    /// What with it: accesses, methods, arguments.
    pub details: String,
    /// Why.
    pub reason: String,
    /// The plugin works without it.
    pub optional: bool,
}

/// How a request differs from what was approved.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// It is new.
    Added(Request),
    /// It is not asked for any more.
    Removed(Request),
    /// It is asked for otherwise.
    Changed {
        /// As it was approved.
        from: Request,
        /// As it is now.
        to: Request,
    },
}

/// Everything that is asked for, in lines.
#[must_use]
pub fn requests(capabilities: &CapabilityRequests) -> Vec<Request> {
    // By way of JSON, so that a kind of capability that is added to the contract is shown without a word here.
    let Ok(Value::Object(kinds)) = serde_json::to_value(capabilities) else {
        return Vec::new();
    };
    let mut list = Vec::new();
    for (kind, value) in &kinds {
        match value {
            Value::Array(items) => list.extend(items.iter().map(|item| request(kind, None, item))),
            Value::Object(items) => {
                list.extend(
                    items
                        .iter()
                        .map(|(name, item)| request(kind, Some(name), item)),
                );
            }
            _ => {}
        }
    }
    if capabilities.children == ChildrenRequest::Any {
        list.push(Request {
            capability: "programs".into(),
            item: "*".into(),
            details: "with all that the policy grants to the step".into(),
            reason: "its programs do what the document's author wrote".into(),
            optional: false,
        });
    }
    list
}

fn request(kind: &str, name: Option<&str>, value: &Value) -> Request {
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let mut details = Vec::new();
    let mut item = name.unwrap_or_default().to_owned();
    for (key, value) in value.as_object().into_iter().flatten() {
        match (key.as_str(), value) {
            ("path" | "url" | "name", Value::String(text)) => item.clone_from(text),
            ("reason" | "optional", _) | (_, Value::Null) => {}
            (_, Value::Array(items)) if items.is_empty() => {}
            (key, Value::Array(items)) => {
                let words: Vec<String> = items.iter().map(plain).collect();
                details.push(match key {
                    "access" | "methods" | "uses" => words.join(", "),
                    "paths" => words.join(" or "),
                    "hosts" => format!("to {}", words.join(", ")),
                    _ => words.join(" "),
                });
            }
            (key, other) => details.push(format!("{key} {}", plain(other))),
        }
    }
    Request {
        capability: kind.to_owned(),
        item,
        details: details.join(" "),
        reason: text("reason"),
        optional: value["optional"].as_bool().unwrap_or_default(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What differs from what was approved; their order means nothing.
#[must_use]
pub fn changes(approved: &CapabilityRequests, now: &CapabilityRequests) -> Vec<Change> {
    fn by_item(list: Vec<Request>) -> BTreeMap<(String, String), Vec<Request>> {
        let mut map: BTreeMap<_, Vec<Request>> = BTreeMap::new();
        for one in list {
            let key = (one.capability.clone(), one.item.clone());
            map.entry(key).or_default().push(one);
        }
        map
    }
    let mut before = by_item(requests(approved));
    let mut changes = Vec::new();
    for (key, new) in by_item(requests(now)) {
        let mut old = before.remove(&key).unwrap_or_default();
        let fresh: Vec<Request> = new
            .into_iter()
            .filter(|one| match old.iter().position(|other| other == one) {
                Some(same) => {
                    old.remove(same);
                    false
                }
                None => true,
            })
            .collect();
        let mut old = old.into_iter();
        for to in fresh {
            changes.push(match old.next() {
                Some(from) => Change::Changed { from, to },
                None => Change::Added(to),
            });
        }
        changes.extend(old.map(Change::Removed));
    }
    changes.extend(before.into_values().flatten().map(Change::Removed));
    changes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use capstan_policy::CapabilityRequests;
    use serde_json::{Value, json};

    use super::{Change, changes, requests};

    fn of(value: Value) -> CapabilityRequests {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn every_request_is_one_line() {
        let list = requests(&of(json!({
            "files": [{ "path": "/x", "access": ["read", "list"], "reason": "r" }],
            "programs": { "ls": { "paths": ["/bin/ls", "/usr/bin/ls"], "arguments": ["-l", "{path}"], "reason": "r" } },
            "secrets": [{ "name": "/a", "uses": ["header"], "hosts": ["https://x"], "reason": "r", "optional": true }],
            "children": "any",
        })));
        let lines: Vec<String> = list
            .iter()
            .map(|one| format!("{} {} {}", one.capability, one.item, one.details))
            .collect();
        assert_eq!(
            lines,
            [
                "files /x read, list",
                "programs ls /bin/ls or /usr/bin/ls -l {path}",
                "secrets /a header to https://x",
                "programs * with all that the policy grants to the step",
            ]
        );
        assert!(list[2].optional && !list[0].optional);
    }

    #[test]
    fn changes_are_told_and_order_is_none() {
        let file =
            |path: &str, access: &str| json!({ "path": path, "access": [access], "reason": "r" });
        let host = json!({ "url": "https://x", "reason": "r" });
        let before =
            of(json!({ "files": [file("/a", "read"), file("/b", "read"), file("/b", "list")] }));
        let other =
            of(json!({ "files": [file("/b", "list"), file("/b", "read"), file("/a", "read")] }));
        assert_eq!(changes(&before, &other), []);
        let after =
            of(json!({ "files": [file("/a", "write"), file("/b", "list")], "hosts": [host] }));
        let mut told: Vec<String> = changes(&before, &after)
            .iter()
            .map(|change| match change {
                Change::Added(one) => format!("+ {}", one.item),
                Change::Removed(one) => format!("- {} {}", one.item, one.details),
                Change::Changed { from, to } => {
                    format!("~ {} {} > {}", to.item, from.details, to.details)
                }
            })
            .collect();
        told.sort();
        assert_eq!(told, ["+ https://x", "- /b read", "~ /a read > write"]);
        let optional =
            of(json!({ "hosts": [{ "url": "https://x", "reason": "r", "optional": true }] }));
        let required = of(json!({ "hosts": [host] }));
        assert_eq!(changes(&optional, &required).len(), 1);
    }
}
