//! What is seen while a simulation runs, and what is against the rules in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use serde_json::Value;

use crate::network::elapsed;

/// A command that is sent.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Invocations that may be open at once.
    pub concurrency: usize,
    /// Errors that are borne.
    pub errors: u64,
}

#[derive(Debug, Default)]
struct Seen {
    limits: BTreeMap<String, Limits>,
    /// The accepted commands and their labels.
    accepted: BTreeMap<String, String>,
    /// Commands that were asked to be cancelled.
    cancelled: BTreeSet<String>,
    /// By label, the nodes that began it and did not end it.
    running: BTreeMap<String, BTreeSet<usize>>,
    /// The first terminal state of each invocation, and of each command, whose node is empty.
    terminal: BTreeMap<(String, String), String>,
    /// The commands that were not over when they were seen last.
    open: BTreeSet<String>,
    online: usize,
    events: Vec<String>,
    violations: Vec<String>,
}

/// What is seen while a simulation runs.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Seen>);

/// Whether nothing follows this `StatusDetails`.
pub fn is_terminal(details: &str) -> bool {
    !matches!(details, "Pending" | "Delayed" | "InProgress" | "Cancelling")
}

impl Ledger {
    /// What is seen is named by labels and numbers alone, so that two runs of one seed can be compared.
    fn event(seen: &mut Seen, what: String) {
        let at = elapsed().as_millis();
        seen.events.push(format!("{at:>8} {what}"));
    }

    pub fn happened(&self, what: String) {
        Self::event(&mut self.0.lock().unwrap(), what);
    }

    pub fn violated(&self, rule: String) {
        let mut seen = self.0.lock().unwrap();
        Self::event(&mut seen, format!("AGAINST THE RULES: {rule}"));
        seen.violations.push(rule);
    }

    pub fn is_violated(&self) -> bool {
        !self.0.lock().unwrap().violations.is_empty()
    }

    pub fn violations(&self) -> Vec<String> {
        self.0.lock().unwrap().violations.clone()
    }

    pub fn events(&self) -> Vec<String> {
        self.0.lock().unwrap().events.clone()
    }

    pub fn announce(&self, label: &str, limits: Limits) {
        let mut seen = self.0.lock().unwrap();
        seen.limits.insert(label.to_owned(), limits);
    }

    pub fn limits(&self, label: &str) -> Limits {
        self.0.lock().unwrap().limits[label].clone()
    }

    pub fn accepted(&self, command: &str, label: &str) {
        let mut seen = self.0.lock().unwrap();
        Self::event(&mut seen, format!("{label} is accepted"));
        seen.accepted.insert(command.to_owned(), label.to_owned());
        seen.open.insert(command.to_owned());
    }

    pub fn all_accepted(&self) -> BTreeMap<String, String> {
        self.0.lock().unwrap().accepted.clone()
    }

    pub fn cancelled(&self, command: &str) {
        self.0.lock().unwrap().cancelled.insert(command.to_owned());
    }

    pub fn is_cancelled(&self, command: &str) -> bool {
        self.0.lock().unwrap().cancelled.contains(command)
    }

    pub fn started(&self, label: &str, node: usize) {
        let mut seen = self.0.lock().unwrap();
        Self::event(&mut seen, format!("{label} starts on node {node}"));
        seen.running
            .entry(label.to_owned())
            .or_default()
            .insert(node);
        let (running, most) = (seen.running[label].len(), seen.limits[label].concurrency);
        if running > most {
            let rule = format!("{running} nodes run {label}, and {most} may");
            seen.violations.push(rule);
        }
    }

    pub fn ended(&self, label: &str, node: usize, status: &str) {
        let mut seen = self.0.lock().unwrap();
        Self::event(&mut seen, format!("{label} ends on node {node}: {status}"));
        if let Some(running) = seen.running.get_mut(label) {
            running.remove(&node);
        }
    }

    pub fn saw_online(&self, count: usize) {
        self.0.lock().unwrap().online = count;
    }

    pub fn online(&self) -> usize {
        self.0.lock().unwrap().online
    }

    /// Whether all commands that were accepted, or only seen, were over when they were seen last.
    pub fn is_over(&self) -> bool {
        self.0.lock().unwrap().open.is_empty()
    }

    /// What the API tells of a command.
    pub fn saw(&self, command: &Value, invocations: &[Value]) {
        let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let id = text(command, "CommandId");
        let label = text(command, "Comment");
        let details = text(command, "StatusDetails");
        let mut seen = self.0.lock().unwrap();
        if is_terminal(&details) {
            seen.open.remove(&id);
        } else {
            seen.open.insert(id.clone());
        }
        let mut in_flight = 0;
        let states = invocations
            .iter()
            .map(|one| (text(one, "InstanceId"), text(one, "StatusDetails")));
        for (node, details) in states.chain([(String::new(), details)]) {
            in_flight += usize::from(
                !node.is_empty()
                    && matches!(details.as_str(), "InProgress" | "Delayed" | "Cancelling"),
            );
            match seen.terminal.get(&(id.clone(), node.clone())).cloned() {
                Some(before) if before != details => {
                    let rule =
                        format!("{label} on {node:?} was {before} for good and became {details}");
                    seen.violations.push(rule);
                }
                Some(_) => {}
                None if is_terminal(&details) => {
                    seen.terminal.insert((id.clone(), node), details);
                }
                None => {}
            }
        }
        let most = seen
            .limits
            .get(&label)
            .map_or(usize::MAX, |limits| limits.concurrency);
        if in_flight > most {
            seen.violations.push(format!(
                "{in_flight} invocations of {label} are open, and {most} may"
            ));
        }
    }
}
