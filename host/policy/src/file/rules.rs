//! Reads a policy as a whole: its rules, when they apply, and limits.

use std::collections::BTreeMap;

use capstan_syntax::{Diagnostic, Node, nearest};

use super::reader::Reader;
use super::{Effect, Match, Policy, Rule};
use crate::units;

const TOP: &[&str] = &[
    "version",
    "profile",
    "limits",
    "runLimits",
    "mayLack",
    "publishers",
    "outputs",
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

impl Reader {
    pub(super) fn policy(&mut self, root: &Node) -> Policy {
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
                "outputs" => policy.outputs = self.outputs(node),
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
                "publishers" => policy.publishers = self.publishers(node),
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

    pub(super) fn limits(&mut self, node: &Node) -> BTreeMap<&'static str, u64> {
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
}
