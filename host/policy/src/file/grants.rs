//! Reads what a rule grants.

use std::collections::{BTreeMap, BTreeSet};

use capstan_syntax::{Node, Value};

use super::reader::Reader;
use crate::bind::{
    FileText, GrantText, HostText, NAME_KINDS, SecretText, parse_access, parse_host,
};
use crate::secret::SecretUse;

const FILE: &[&str] = &["path", "access", "except"];
const HOST: &[&str] = &["host", "methods", "private"];
const SECRET: &[&str] = &["name", "uses", "hosts"];

impl Reader {
    pub(super) fn grants(
        &mut self,
        node: &Node,
        with_limits: bool,
        limits: &mut BTreeMap<&'static str, u64>,
    ) -> GrantText {
        let mut grants = GrantText::default();
        let mut known = vec!["files", "hosts", "secrets"];
        known.extend(NAME_KINDS);
        if with_limits {
            known.push("limits");
        }
        for (key, node) in self.entries(node, "`grants`", &known) {
            match key {
                "limits" => *limits = self.limits(node),
                "files" | "hosts" => {
                    let Some(items) = node.as_list() else {
                        self.problem(node, format!("`{key}` is a list, not {}", node.kind()));
                        continue;
                    };
                    for item in items {
                        if key == "files" {
                            grants.files.extend(self.file(item));
                        } else {
                            grants.hosts.extend(self.host(item));
                        }
                    }
                }
                "secrets" => {
                    let items = match &node.value {
                        Value::List(items) => items.as_slice(),
                        _ => std::slice::from_ref(node),
                    };
                    for item in items {
                        grants.secrets.extend(self.secret(item));
                    }
                }
                kind => {
                    let names: BTreeSet<String> = self.texts(node, kind).into_iter().collect();
                    if let Some(kind) = NAME_KINDS.iter().find(|name| **name == kind) {
                        grants.names.insert(kind, names);
                    }
                }
            }
        }
        grants
    }

    fn file(&mut self, node: &Node) -> Option<FileText> {
        let mut file = FileText {
            path: String::new(),
            access: crate::AccessSet::new(),
            except: Vec::new(),
        };
        for (key, node) in self.entries(node, "a file grant", FILE) {
            match key {
                "path" => {
                    file.path = self.text(node, "`path`")?;
                    let plain = file.path.contains("{{") || crate::is_normal_path(&file.path);
                    if !plain || file.path.contains('*') {
                        self.problem(
                            node,
                            format!("`{}` is not an absolute path without `.`, `..`, `*` and doubled or trailing slashes", file.path),
                        );
                        return None;
                    }
                }
                "access" => {
                    let words = self.texts(node, "`access`");
                    match parse_access(words.iter().map(|word| {
                        if word == "read" && words.len() == 1 {
                            "read-only"
                        } else {
                            word
                        }
                    })) {
                        Ok(access) => file.access = access,
                        Err(message) => self.problem(node, message),
                    }
                }
                _ => file.except = self.exceptions(node),
            }
        }
        if file.path.is_empty() || file.access.is_empty() {
            self.problem(node, "a file grant has a `path` and an `access`");
            return None;
        }
        Some(file)
    }

    /// An exception that no path matches would keep nothing back, so each has to be written as paths are.
    fn exceptions(&mut self, node: &Node) -> Vec<String> {
        let items = match &node.value {
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let mut list = Vec::new();
        for item in items {
            let Some(text) = self.text(item, "`except`") else {
                continue;
            };
            if !text.contains("{{") && !crate::is_normal_path(&text) {
                self.problem(
                    item,
                    format!("`{text}` in `except` is not an absolute path without `.`, `..` and doubled or trailing slashes"),
                );
            }
            list.push(text);
        }
        list
    }

    fn secret(&mut self, node: &Node) -> Option<SecretText> {
        if node.as_map().is_none() {
            let name = self.text(node, "a secret")?;
            return Some(SecretText::new(name, None, Vec::new()));
        }
        let (mut name, mut uses, mut hosts) = (String::new(), None, Vec::new());
        for (key, node) in self.entries(node, "a secret's grant", SECRET) {
            match key {
                "name" => name = self.text(node, "`name`")?,
                "uses" => {
                    let uses: &mut BTreeSet<SecretUse> = uses.get_or_insert_default();
                    for word in self.texts(node, "`uses`") {
                        match SecretUse::of_word(&word) {
                            Some(one) => {
                                uses.insert(one);
                            }
                            None => self.problem(
                                node,
                                format!("`{word}` is no use of a secret; there are header, body, environment and stdin"),
                            ),
                        }
                    }
                }
                _ => hosts = self.texts(node, "`hosts`"),
            }
        }
        if name.is_empty() || uses.as_ref().is_some_and(BTreeSet::is_empty) {
            self.problem(
                node,
                "a secret's grant has a `name`, and `uses` that are not empty",
            );
            return None;
        }
        for host in hosts.iter().filter(|host| !host.contains("{{")) {
            if let Err(message) = parse_host(host) {
                self.problem(node, message);
                return None;
            }
        }
        Some(SecretText::new(name, uses, hosts))
    }

    fn host(&mut self, node: &Node) -> Option<HostText> {
        let mut host = HostText {
            url: String::new(),
            methods: BTreeSet::new(),
            private: false,
        };
        if node.as_map().is_some() {
            for (key, node) in self.entries(node, "a host grant", HOST) {
                match key {
                    "host" => host.url = self.text(node, "`host`")?,
                    "methods" => {
                        host.methods = self
                            .texts(node, "`methods`")
                            .iter()
                            .map(|text| text.to_uppercase())
                            .collect();
                    }
                    _ => match node.value {
                        Value::Bool(private) => host.private = private,
                        _ => self.problem(node, "`private` is true or false"),
                    },
                }
            }
        } else {
            host.url = self.text(node, "a host")?;
        }
        if !host.url.contains("{{")
            && let Err(message) = parse_host(&host.url)
        {
            self.problem(node, message);
            return None;
        }
        Some(host)
    }
}
