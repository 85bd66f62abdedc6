//! What is needed and not granted, each with the lines of a policy that would grant it.

use serde::Serialize;

use crate::bind::{NAME_KINDS, names};
use crate::grant::{AccessSet, Confinement, FileAccess, Grant, HostRule};
use crate::lattice::{covers_host, covers_secret, missing_access};
use crate::pattern::{is_below, name_matches};
use crate::secret::SecretRule;

/// Something that is needed and not granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Missing {
    /// `files`, `hosts`, `programs`, …
    pub capability: String,
    /// The path, URL or name.
    pub item: String,
    /// Who needs it, and why.
    pub reason: String,
    /// The lines of a policy that would grant it.
    pub hint: String,
}

/// What is missing, in one message.
#[must_use]
pub fn explain(missing: &[Missing]) -> String {
    let mut text = String::from("the policy does not grant what the step needs:");
    for one in missing {
        text.push_str(&format!(
            "\n  {}: {}\n    needed because {}\n    a rule grants it with  {}",
            one.capability, one.item, one.reason, one.hint
        ));
    }
    text
}

/// What of a declaration is not granted.
pub(super) fn needs_of_grant(
    granted: &Grant,
    wanted: &Grant,
    reason: &str,
    missing: &mut Vec<Missing>,
) {
    if granted.confinement == Confinement::Unconfined {
        return;
    }
    for rule in &wanted.files {
        let lacking = missing_access(granted, &rule.path, &rule.access);
        if !lacking.is_empty() {
            missing.push(missing_file(&rule.path, &lacking, reason));
        }
    }
    for rule in &wanted.hosts {
        if !covers_host(granted, rule) {
            missing.push(missing_host(rule, reason));
        }
    }
    for rule in &wanted.secrets {
        if !covers_secret(granted, rule) {
            missing.push(missing_secret(rule, reason));
        }
    }
    for kind in NAME_KINDS {
        let (Some(has), Some(wants)) = (names(granted, kind), names(wanted, kind)) else {
            continue;
        };
        for name in wants {
            let covered = if *kind == "programs" {
                has.iter().any(|folder| is_below(name, folder))
            } else {
                has.iter().any(|pattern| name_matches(pattern, name))
            };
            if !covered {
                missing.push(missing_name(kind, name, reason));
            }
        }
    }
}

fn words(access: &AccessSet) -> String {
    let words: Vec<String> = access
        .iter()
        .filter_map(|one: &FileAccess| serde_json::to_value(one).ok()?.as_str().map(str::to_owned))
        .collect();
    words.join(", ")
}

pub(super) fn missing_file(path: &str, access: &AccessSet, reason: &str) -> Missing {
    let words = words(access);
    Missing {
        capability: "files".into(),
        item: format!("{path} ({words})"),
        reason: reason.to_owned(),
        hint: format!("grants: {{ files: [{{ path: {path}, access: [{words}] }}] }}"),
    }
}

pub(super) fn missing_host(rule: &HostRule, reason: &str) -> Missing {
    let url = rule.to_string();
    Missing {
        capability: "hosts".into(),
        item: url.clone(),
        reason: reason.to_owned(),
        hint: format!("grants: {{ hosts: [\"{url}\"] }}"),
    }
}

pub(super) fn missing_secret(rule: &SecretRule, reason: &str) -> Missing {
    Missing {
        capability: "secrets".into(),
        item: rule.to_string(),
        reason: reason.to_owned(),
        hint: if *rule == SecretRule::anywhere(&rule.name) {
            format!("grants: {{ secrets: [\"{}\"] }}", rule.name)
        } else {
            let uses: Vec<String> = rule.uses.iter().map(ToString::to_string).collect();
            let hosts: Vec<String> = rule
                .hosts
                .iter()
                .map(|host| format!("\"{host}\""))
                .collect();
            format!(
                "grants: {{ secrets: [{{ name: \"{}\", uses: [{}], hosts: [{}] }}] }}",
                rule.name,
                uses.join(", "),
                hosts.join(", ")
            )
        },
    }
}

pub(super) fn missing_name(kind: &str, name: &str, reason: &str) -> Missing {
    Missing {
        capability: kind.to_owned(),
        item: name.to_owned(),
        reason: reason.to_owned(),
        hint: format!("grants: {{ {kind}: [\"{name}\"] }}"),
    }
}
