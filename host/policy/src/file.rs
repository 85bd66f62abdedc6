//! The policy file.

use std::collections::{BTreeMap, BTreeSet};

use capstan_syntax::{Diagnostic, Diagnostics, Node, Value, nearest, parse};
use serde::Serialize;

use crate::bind::{
    FileText, GrantText, HostText, NAME_KINDS, SecretText, parse_access, parse_host,
};
use crate::grant::{Layer, RunAs};
use crate::limits::Limits;
use crate::profile::Profile;
use crate::secret::SecretUse;
use crate::units;

/// What an operator allows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// What every step starts from.
    pub profile: Profile,
    /// The text that it was read from; empty when it is nothing but a profile.
    pub source: String,
    /// Limits of every step, by their names in [`Limits`].
    pub(crate) limits: BTreeMap<&'static str, u64>,
    /// Limits of a run as a whole, by the same names.
    pub(crate) run_limits: BTreeMap<&'static str, u64>,
    /// Layers whose absence is accepted, instead of those of the profile.
    pub(crate) may_lack: Option<BTreeSet<Layer>>,
    /// In the order of the file, which means nothing.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rule {
    /// Its name in explanations.
    pub id: String,
    /// When it applies.
    pub when: Match,
    /// What it does.
    pub effect: Effect,
    pub(crate) grants: GrantText,
    pub(crate) has_grants: bool,
    pub(crate) run_as: RunAs,
    pub(crate) limits: BTreeMap<&'static str, u64>,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Its grants are given.
    #[default]
    Allow,
    /// The same, and every use is told.
    Audit,
    /// Its grants are taken away, whatever another rule gives; without grants, the step is refused.
    Deny,
}

/// When a rule applies: all that is there must fit; patterns may hold `*` and `?`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named after what they are compared with")]
pub struct Match {
    pub document: Option<String>,
    pub version: Option<String>,
    pub sha256: Option<String>,
    pub action: Option<String>,
    pub publisher: Option<String>,
    pub step: Option<String>,
    pub node_tags: BTreeMap<String, String>,
}

const TOP: &[&str] = &[
    "version",
    "profile",
    "limits",
    "runLimits",
    "mayLack",
    "rules",
];
const RULE: &[&str] = &[
    "id",
    "description",
    "match",
    "effect",
    "grants",
    "runAs",
    "limits",
];
const MATCH: &[&str] = &[
    "document",
    "version",
    "sha256",
    "action",
    "publisher",
    "step",
    "nodeTags",
];
const FILE: &[&str] = &["path", "access", "except"];
const HOST: &[&str] = &["host", "methods", "private"];
const SECRET: &[&str] = &["name", "uses", "hosts"];

/// Names of limits in a file, the same in [`Limits`], and whether it is a time.
const LIMITS: &[(&str, &str, bool)] = &[
    ("fuel", "fuel", false),
    ("memory", "memoryBytes", false),
    ("tableElements", "tableElements", false),
    ("instances", "instances", false),
    ("handles", "handles", false),
    ("hostCallBytes", "hostCallBytes", false),
    ("wall", "wallMillis", true),
    ("output", "outputBytes", false),
    ("openFiles", "openFiles", false),
    ("processes", "processes", false),
    ("childCpu", "childCpuMillis", true),
    ("childMemory", "childMemoryBytes", false),
    ("disk", "diskBytes", false),
    ("httpRequests", "httpRequests", false),
    ("httpBytes", "httpBytes", false),
];

impl Policy {
    /// A policy that is nothing but a profile.
    #[must_use]
    pub fn builtin(profile: Profile) -> Self {
        Self {
            profile,
            ..Self::default()
        }
    }

    /// Reads a policy file, YAML or JSON.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its place.
    pub fn parse(source: &str, origin: &str) -> Result<Self, Diagnostics> {
        let mut reader = Reader {
            problems: Vec::new(),
        };
        let policy = match parse(source) {
            Ok(root) => Self {
                source: source.to_owned(),
                ..reader.policy(&root)
            },
            Err(problems) => return Err(Diagnostics::new(origin, problems)),
        };
        if reader.problems.is_empty() {
            Ok(policy)
        } else {
            Err(Diagnostics::new(origin, reader.problems))
        }
    }

    /// Accepts that a layer is missing, where the file has no list of its own.
    #[must_use]
    pub fn accept_missing(mut self, layer: Layer) -> Self {
        if self.may_lack.is_none() {
            let mut accepted = self.profile.may_lack();
            accepted.insert(layer);
            self.may_lack = Some(accepted);
        }
        self
    }

    /// What all steps of a run together may use; without `runLimits`, each step has its own limits alone.
    #[must_use]
    pub fn run_limits(&self) -> Limits {
        let unlimited = Limits {
            fuel: u64::MAX,
            output_bytes: u64::MAX,
            child_cpu_millis: u64::MAX,
            http_requests: u64::MAX,
            http_bytes: u64::MAX,
            wall_millis: u64::MAX,
            ..Limits::default()
        };
        apply(&unlimited, &self.run_limits)
    }

    pub(crate) fn limits_with(&self, more: &[&BTreeMap<&'static str, u64>]) -> Limits {
        let mut limits = apply(&Limits::default(), &self.limits);
        for map in more {
            limits = lower(&limits, map);
        }
        limits
    }
}

/// Sets the limits of a map.
fn apply(limits: &Limits, map: &BTreeMap<&'static str, u64>) -> Limits {
    let mut value = serde_json::to_value(limits).unwrap_or_default();
    for (name, number) in map {
        value[*name] = (*number).into();
    }
    serde_json::from_value(value).unwrap_or_else(|_| limits.clone())
}

/// Sets the limits of a map that are lower.
pub(crate) fn lower(limits: &Limits, map: &BTreeMap<&'static str, u64>) -> Limits {
    let value = serde_json::to_value(limits).unwrap_or_default();
    let lower = map
        .iter()
        .filter(|(name, number)| value[**name].as_u64().is_none_or(|now| **number < now));
    apply(
        limits,
        &lower.map(|(name, number)| (*name, *number)).collect(),
    )
}

/// A step's declaration, or the grants of a manifest's author: the vocabulary of a rule's `grants`, with `limits`.
pub(crate) fn parse_declaration(
    value: &serde_json::Value,
) -> Result<(GrantText, BTreeMap<&'static str, u64>), Vec<String>> {
    let node = Node::from_json(value, capstan_syntax::Position { line: 1, column: 1 });
    let mut reader = Reader {
        problems: Vec::new(),
    };
    let mut limits = BTreeMap::new();
    let grants = reader.grants(&node, true, &mut limits);
    if reader.problems.is_empty() {
        Ok((grants, limits))
    } else {
        Err(reader
            .problems
            .into_iter()
            .map(|problem| problem.message)
            .collect())
    }
}

struct Reader {
    problems: Vec<Diagnostic>,
}

impl Reader {
    fn problem(&mut self, node: &Node, message: impl Into<String>) {
        self.problems
            .push(Diagnostic::error("policy", node.position, message));
    }

    /// Entries of a mapping, with a message for each key that is none of `known`.
    fn entries<'a>(
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

    fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        let text = node.scalar_text();
        if text.is_none() {
            self.problem(node, format!("{what} is text, not {}", node.kind()));
        }
        text
    }

    /// A list of texts, or one text.
    fn texts(&mut self, node: &Node, what: &str) -> Vec<String> {
        match &node.value {
            Value::List(items) => items
                .iter()
                .filter_map(|item| self.text(item, what))
                .collect(),
            _ => self.text(node, what).into_iter().collect(),
        }
    }

    fn policy(&mut self, root: &Node) -> Policy {
        let mut policy = Policy::default();
        for (key, node) in self.entries(root, "a policy", TOP) {
            match key {
                "version" => {
                    if node.scalar_text().as_deref() != Some("1") {
                        self.problem(
                            node,
                            "this is not version 1 of the policy format, the only one there is",
                        );
                    }
                }
                "profile" => {
                    if let Some(text) = self.text(node, "`profile`") {
                        match text.parse() {
                            Ok(profile) => policy.profile = profile,
                            Err(message) => self.problem(node, message),
                        }
                    }
                }
                "limits" => policy.limits = self.limits(node),
                "runLimits" => policy.run_limits = self.limits(node),
                "mayLack" => {
                    let may_lack = policy.may_lack.get_or_insert_default();
                    for text in self.texts(node, "`mayLack`") {
                        match serde_json::from_value(text.clone().into()) {
                            Ok(layer) => {
                                may_lack.insert(layer);
                            }
                            Err(_) => self.problem(
                                node,
                                format!(
                                    "`{text}` is no layer; there are landlock-files, landlock-tcp, landlock-scopes, seccomp, mount-namespace, pid-namespace, network-namespace, cgroup, rlimits, no-new-privs, file-metadata and setuid-files"
                                ),
                            ),
                        }
                    }
                }
                _ => match node.as_list() {
                    Some(rules) => {
                        let rules: Vec<Rule> = rules
                            .iter()
                            .enumerate()
                            .map(|(index, rule)| self.rule(rule, index))
                            .collect();
                        policy.rules = rules;
                    }
                    None => self.problem(node, format!("`rules` is a list, not {}", node.kind())),
                },
            }
        }
        if root.as_map().is_some() && root.get("version").is_none() {
            self.problem(root, "the policy does not say `version: 1`");
        }
        policy
    }

    fn rule(&mut self, node: &Node, index: usize) -> Rule {
        let mut rule = Rule {
            id: format!("rule {}", index + 1),
            ..Rule::default()
        };
        for (key, node) in self.entries(node, "a rule", RULE) {
            match key {
                "id" => rule.id = self.text(node, "`id`").unwrap_or_default(),
                "match" => rule.when = self.when(node),
                "effect" => match node.as_str() {
                    Some("allow") => rule.effect = Effect::Allow,
                    Some("audit") => rule.effect = Effect::Audit,
                    Some("deny") => rule.effect = Effect::Deny,
                    _ => self.problem(node, "`effect` is allow, audit or deny"),
                },
                "grants" => {
                    rule.has_grants = true;
                    rule.grants = self.grants(node, false, &mut BTreeMap::new());
                }
                "runAs" => {
                    for (_, node) in self.entries(node, "`runAs`", &["user"]) {
                        rule.run_as.user = self.text(node, "`user`");
                    }
                }
                "limits" => rule.limits = self.limits(node),
                _ => {}
            }
        }
        rule
    }

    fn when(&mut self, node: &Node) -> Match {
        let mut when = Match::default();
        for (key, node) in self.entries(node, "`match`", MATCH) {
            if key == "nodeTags" {
                for entry in node.as_map().unwrap_or_default() {
                    if let Some(text) = self.text(&entry.node, "a tag") {
                        when.node_tags.insert(entry.key.clone(), text);
                    }
                }
                continue;
            }
            let text = self.text(node, key);
            match key {
                "document" => when.document = text,
                "version" => when.version = text,
                "sha256" => when.sha256 = text,
                "action" => when.action = text,
                "publisher" => when.publisher = text,
                _ => when.step = text,
            }
        }
        when
    }

    fn limits(&mut self, node: &Node) -> BTreeMap<&'static str, u64> {
        let known: Vec<&str> = LIMITS.iter().map(|(name, ..)| *name).collect();
        let mut limits = BTreeMap::new();
        let Some(entries) = node.as_map() else {
            self.problem(node, format!("`limits` is a mapping, not {}", node.kind()));
            return limits;
        };
        for entry in entries {
            let found = LIMITS
                .iter()
                .find(|(name, long, _)| *name == entry.key || *long == entry.key);
            let Some((_, long, is_time)) = found else {
                let help = nearest(&entry.key, known.iter().copied()).map_or_else(
                    || format!("the limits are {}", known.join(", ")),
                    |word| format!("did you mean `{word}`?"),
                );
                self.problems.push(
                    Diagnostic::error(
                        "unknown-field",
                        entry.position,
                        format!("there is no limit `{}`", entry.key),
                    )
                    .help(help),
                );
                continue;
            };
            let text = entry.node.scalar_text().unwrap_or_default();
            match if *is_time {
                units::millis(&text)
            } else {
                units::amount(&text)
            } {
                Some(number) => {
                    limits.insert(*long, number);
                }
                None if *is_time => self.problem(
                    &entry.node,
                    format!("`{text}` is no time; write 90s, 2m or 1h30m"),
                ),
                None => self.problem(
                    &entry.node,
                    format!("`{text}` is no amount; write 1000000, 64KiB or 2GiB"),
                ),
            }
        }
        limits
    }

    fn grants(
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::Policy;

    #[test]
    fn every_problem_of_a_file_is_told_with_its_place() {
        let text = "version: 1\nprofil: confined\nlimits: { fule: 3, wall: soon }\nrules:\n  - id: a\n    effect: maybe\n    grants:\n      files:\n        - { path: relative, access: read }\n        - { path: /x, access: everything }\n        - { path: /x, access: read, except: [/x/ok, x/y] }\n        - { path: /x, access: read, except: /x/../y }\n      hosts: ['ftp://x', 'https://user@x']\n";
        let problems = Policy::parse(text, "p.yaml").unwrap_err();
        let text = problems.to_string();
        for expected in [
            "p.yaml:2:1",
            "did you mean `profile`?",
            "p.yaml:3:11",
            "did you mean `fuel`?",
            "`soon` is no time",
            "p.yaml:6:13",
            "`relative` is not an absolute path",
            "`everything` is no access",
            "p.yaml:11:53",
            "`x/y` in `except` is not an absolute path",
            "p.yaml:12:45",
            "`/x/../y` in `except` is not an absolute path",
            "the scheme is http",
            "it names a user",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
    }

    #[test]
    fn units_and_shorthands_are_read() {
        let text = "version: 1\nlimits: { memory: 64MiB, wall: 1h30m, fuel: 12 }\n";
        let limits = Policy::parse(text, "p").unwrap().limits_with(&[]);
        assert_eq!(
            (limits.memory_bytes, limits.wall_millis, limits.fuel),
            (64 << 20, 5_400_000, 12)
        );
    }
}
