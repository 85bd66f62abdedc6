//! Which machine this is: an id that changes when the disk finds itself in another machine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// With fewer of the facts in common, in per cent, it is another machine. The SSM agent's number.
const SIMILAR: usize = 40;

/// What a machine is known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Fingerprint {
    /// What the control plane knows it by.
    pub(crate) id: String,
    /// Hashes of the machine's id and of facts about its hardware.
    facts: BTreeMap<String, String>,
}

/// The fact that decides alone.
const MACHINE: &str = "machine-id";

impl Fingerprint {
    /// Of this machine.
    pub(crate) fn new() -> Self {
        Self::of(facts())
    }

    fn of(facts: BTreeMap<String, String>) -> Self {
        Self {
            id: uuid::Uuid::new_v4().to_string(),
            facts,
        }
    }

    /// The fingerprint of a machine with these facts: the same, or a new one if it is another machine.
    fn checked(&self, now: BTreeMap<String, String>) -> Self {
        let same_id = self.facts.get(MACHINE) == now.get(MACHINE);
        let all: Vec<&String> = self.facts.keys().filter(|name| *name != MACHINE).collect();
        let same = all
            .iter()
            .filter(|name| self.facts.get(**name) == now.get(**name))
            .count();
        if same_id && (all.is_empty() || same * 100 >= all.len() * SIMILAR) {
            self.clone()
        } else {
            Self::of(now)
        }
    }

    /// The fingerprint of this machine, which may have become another one.
    pub(crate) fn check(&self) -> Self {
        self.checked(facts())
    }
}

/// Hashed, so that the file tells nothing of the machine.
fn facts() -> BTreeMap<String, String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let line = |text: &str, name: &str| {
        text.lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default()
            .to_owned()
    };
    let mut addresses: Vec<String> = std::fs::read_dir("/sys/class/net")
        .into_iter()
        .flatten()
        .flatten()
        // Virtual interfaces come and go.
        .filter(|entry| entry.path().join("device").exists())
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("address")).ok())
        .collect();
    addresses.sort();
    [
        (MACHINE, read("/etc/machine-id")),
        ("processor", line(&read("/proc/cpuinfo"), "model name")),
        ("memory", line(&read("/proc/meminfo"), "MemTotal")),
        ("system", read("/sys/class/dmi/id/product_uuid")),
        ("board", read("/sys/class/dmi/id/product_name")),
        ("network", addresses.concat()),
    ]
    .into_iter()
    .map(|(name, value)| {
        let hash = Sha256::digest(value.trim().as_bytes());
        let text = hash[..16].iter().map(|byte| format!("{byte:02x}"));
        (name.to_owned(), text.collect())
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Fingerprint, MACHINE};

    fn machine(id: &str, others: [&str; 5]) -> BTreeMap<String, String> {
        let others = others
            .iter()
            .enumerate()
            .map(|(index, value)| (format!("fact {index}"), (*value).to_owned()));
        others
            .chain([(MACHINE.to_owned(), id.to_owned())])
            .collect()
    }

    #[test]
    fn another_machine_has_another_fingerprint() {
        let first = Fingerprint::of(machine("m", ["a", "b", "c", "d", "e"]));
        let id = |facts| first.checked(facts).id;
        assert_eq!(id(machine("m", ["a", "b", "c", "d", "e"])), first.id);
        assert_eq!(id(machine("m", ["a", "b", "x", "y", "z"])), first.id);
        assert_ne!(id(machine("m", ["a", "w", "x", "y", "z"])), first.id);
        assert_ne!(id(machine("n", ["a", "b", "c", "d", "e"])), first.id);
    }
}
