//! The decision what a step may do.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::bind::{
    GrantText, NAME_KINDS, SecretText, manifest_text, names, names_mut, parse_access, parse_host,
};
use crate::file::{Effect, Match, Policy, Rule, lower, parse_declaration};
use crate::grant::{AccessSet, Confinement, FileAccess, FileRule, Grant, HostRule};
use crate::lattice::{covers_host, covers_secret, meet, missing_access, union};
use crate::limits::Limits;
use crate::pattern::{glob, is_below, is_normal_path, name_matches};
use crate::request::{ChildrenRequest, Manifest, NameRequest};
use crate::secret::SecretRule;

/// Whom a decision is about.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "named after what they are")]
pub struct Subject {
    pub document: String,
    pub document_version: Option<String>,
    pub document_sha256: String,
    pub action: String,
    pub publisher: Option<String>,
    pub step: String,
    pub node_tags: BTreeMap<String, String>,
    /// The document's parameters, for `{{ name }}` in paths and hosts.
    pub parameters: BTreeMap<String, Value>,
    /// For a nested document, the steps that run it: it gets no more than they.
    pub ancestors: Vec<Subject>,
}

/// The folders that every step gets.
#[derive(Debug, Clone, Default)]
pub struct StepDirectories {
    /// The step's own.
    pub work: String,
    /// Shared by the steps of the run.
    pub downloads: String,
    /// The action's own, kept between runs; only for those that ask for it and are granted it.
    pub data: String,
    /// `/tmp` where that is private; empty where it is not.
    pub temporary: String,
    /// Folders of Capstan's own, with what no step may see: a rule for a folder around one of them does not hold it.
    pub withheld: Vec<String>,
}

/// What a step brings along.
#[derive(Debug, Clone, Default)]
pub struct StepNeeds {
    /// Its inputs, for the bindings of the manifest.
    pub inputs: Value,
    /// Its `capabilities`: what it says it needs.
    pub declared: Option<Value>,
    /// Its folders.
    pub directories: StepDirectories,
}

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

/// What a step may do.
#[derive(Debug, Clone, Default)]
pub struct Decision {
    /// What the component itself may do.
    pub component: Grant,
    /// What its children may do.
    pub children: Grant,
    /// How much it may use.
    pub limits: Limits,
    /// Needed and not granted: the step must not run.
    pub missing: Vec<Missing>,
    /// Asked for, not needed, and not granted.
    pub optional_missing: Vec<Missing>,
    /// The rules that apply, by id.
    pub rules: Vec<String>,
    /// Those of them that are to be told.
    pub audited: Vec<String>,
}

fn applies(when: &Match, subject: &Subject) -> bool {
    let fits = |pattern: &Option<String>, text: &str| {
        pattern.as_ref().is_none_or(|pattern| glob(pattern, text))
    };
    fits(&when.document, &subject.document)
        && fits(
            &when.version,
            subject.document_version.as_deref().unwrap_or_default(),
        )
        && when
            .sha256
            .as_ref()
            .is_none_or(|hash| hash.eq_ignore_ascii_case(&subject.document_sha256))
        && fits(&when.action, &subject.action)
        && fits(
            &when.publisher,
            subject.publisher.as_deref().unwrap_or_default(),
        )
        && fits(&when.step, &subject.step)
        && when.node_tags.iter().all(|(key, pattern)| {
            subject
                .node_tags
                .get(key)
                .is_some_and(|tag| glob(pattern, tag))
        })
}

/// A rule's effect on one subject.
struct Outcome {
    granted: Grant,
    refused: Option<String>,
    limits: Vec<BTreeMap<&'static str, u64>>,
    problems: Vec<String>,
    rules: Vec<String>,
    audited: Vec<String>,
}

impl Policy {
    /// Decides what a step may do. Deny overrides allow; the order of rules means nothing.
    #[must_use]
    pub fn decide(&self, subject: &Subject, manifest: &Manifest, step: &StepNeeds) -> Decision {
        let own = self.rules_for(subject, false);
        let mut base = self.profile.base(&step.directories);
        withhold(&step.directories, &mut base);
        if let Some(may_lack) = &self.may_lack {
            base.may_lack.clone_from(may_lack);
        }
        let mut refused = own.refused.clone();
        let mut granted = union(&base, &own.granted);
        // What of it the operator's rules grant, and not the profile alone.
        let mut by_rules = own.granted.clone();
        let mut limits = self.limits_with(&own.limits.iter().collect::<Vec<_>>());
        for ancestor in &subject.ancestors {
            let outcome = self.rules_for(ancestor, false);
            let theirs = union(&base, &outcome.granted);
            granted = meet(&granted, &theirs);
            by_rules = meet(&by_rules, &theirs);
            refused = refused.or(outcome.refused);
            for map in &outcome.limits {
                limits = lower(&limits, map);
            }
        }
        granted.run_as = own.granted.run_as.clone();
        withhold(&step.directories, &mut granted);
        let mut decision = Decision {
            rules: own.rules,
            audited: own.audited,
            ..Decision::default()
        };
        for one in subjects(subject) {
            // What is to be kept back is not known, so nothing is given.
            self.take_denied(one, &mut by_rules);
            for (rule, problem) in self.take_denied(one, &mut granted) {
                decision.missing.push(Missing {
                    capability: "policy".into(),
                    item: problem,
                    reason: format!("the rule `{rule}`, which denies, cannot be applied"),
                    hint: format!("correct the parameters of the document, or the rule `{rule}`"),
                });
            }
        }
        for problem in own.problems {
            // A rule that cannot be bound grants nothing; whoever needs it learns why.
            decision.optional_missing.push(Missing {
                capability: "policy".into(),
                item: problem.clone(),
                reason: "a rule of the policy cannot be applied".into(),
                hint: problem,
            });
        }
        if let Some(rule) = refused {
            decision.missing.push(Missing {
                capability: "documents".into(),
                item: subject.document.clone(),
                reason: format!("the rule `{rule}` denies this step"),
                hint: format!("remove or narrow the rule `{rule}`"),
            });
        }

        let mut children = granted.clone();
        if let Some(declared) = &step.declared {
            match parse_declaration(declared) {
                Ok((text, lower_limits)) => {
                    let (wanted, problems) = text.bind(&subject.parameters);
                    for problem in problems {
                        decision.missing.push(Missing {
                            capability: "capabilities".into(),
                            item: problem.clone(),
                            reason: "the step's `capabilities` cannot be read".into(),
                            hint: "correct the document or its parameters".into(),
                        });
                    }
                    needs_of_grant(
                        &granted,
                        &wanted,
                        "the step declares it in its `capabilities`",
                        &mut decision.missing,
                    );
                    children = union(&base, &meet(&granted, &wanted));
                    by_rules = meet(&by_rules, &wanted);
                    for one in subjects(subject) {
                        self.take_denied(one, &mut children);
                    }
                    children.run_as = granted.run_as.clone();
                    limits = lower(&limits, &lower_limits);
                }
                Err(problems) => {
                    decision
                        .missing
                        .extend(problems.into_iter().map(|problem| Missing {
                            capability: "capabilities".into(),
                            item: problem,
                            reason: "the step's `capabilities` cannot be read".into(),
                            hint: "correct the document".into(),
                        }))
                }
            }
        }
        let component = self.component(manifest, step, &granted, &base, &mut decision);
        decision.children = match manifest.capabilities.children {
            ChildrenRequest::Any => children,
            ChildrenRequest::Same => {
                by_rules = meet(&by_rules, &component);
                Grant {
                    // Programs need their libraries and the machine's facts; what they may change is the component's.
                    files: union(&base, &component).files,
                    ..component.clone()
                }
            }
        };
        decision.children.files_of_others = !by_rules.files.is_empty();
        decision.component = component;
        decision.limits = limits;
        decision
    }

    /// Everything that a step of this document could be granted: the ceiling for its worker.
    #[must_use]
    pub fn ceiling(&self, subject: &Subject, directories: &StepDirectories) -> Grant {
        let mut base = self.profile.base(directories);
        if let Some(may_lack) = &self.may_lack {
            base.may_lack.clone_from(may_lack);
        }
        let mut ceiling = union(&base, &self.rules_for(subject, true).granted);
        withhold(directories, &mut ceiling);
        ceiling
    }

    /// What a user should be told before anything runs.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        if self.profile == crate::Profile::TrustedHost {
            vec![
                "the profile trusted-host is in force: programs run without any confinement, as the user that runs Capstan"
                    .into(),
            ]
        } else {
            Vec::new()
        }
    }

    /// `any_step` passes over what a rule says of actions, publishers and steps.
    fn rules_for(&self, subject: &Subject, any_step: bool) -> Outcome {
        let mut outcome = Outcome {
            granted: Grant::default(),
            refused: None,
            limits: Vec::new(),
            problems: Vec::new(),
            rules: Vec::new(),
            audited: Vec::new(),
        };
        for rule in &self.rules {
            let when = if any_step {
                Match {
                    action: None,
                    step: None,
                    publisher: None,
                    ..rule.when.clone()
                }
            } else {
                rule.when.clone()
            };
            if !applies(&when, subject) {
                continue;
            }
            outcome.rules.push(rule.id.clone());
            match rule.effect {
                Effect::Deny if !rule.has_grants => outcome.refused = Some(rule.id.clone()),
                Effect::Deny => {}
                Effect::Allow | Effect::Audit => {
                    let (grant, problems) = rule.grants.bind(&subject.parameters);
                    outcome.granted = union(&outcome.granted, &grant);
                    outcome.problems.extend(
                        problems
                            .into_iter()
                            .map(|problem| format!("rule `{}`: {problem}", rule.id)),
                    );
                    if rule.run_as.user.is_some() {
                        outcome.granted.run_as = rule.run_as.clone();
                    }
                    outcome.limits.push(rule.limits.clone());
                    if rule.effect == Effect::Audit {
                        outcome.audited.push(rule.id.clone());
                    }
                }
            }
        }
        outcome
    }

    /// Takes what deny rules name out of a grant. Returns what of them cannot be bound, each with its rule.
    fn take_denied(&self, subject: &Subject, grant: &mut Grant) -> Vec<(String, String)> {
        let mut unbound = Vec::new();
        let denies = |rule: &&Rule| {
            rule.effect == Effect::Deny && rule.has_grants && applies(&rule.when, subject)
        };
        for rule in self.rules.iter().filter(denies) {
            let (denied, problems) = GrantText::bind(&rule.grants, &subject.parameters);
            unbound.extend(
                problems
                    .into_iter()
                    .map(|problem| (rule.id.clone(), problem)),
            );
            for file in &denied.files {
                grant
                    .files
                    .retain(|granted| !is_below(&granted.path, &file.path));
                for granted in &mut grant.files {
                    if is_below(&file.path, &granted.path) {
                        granted.except.push(file.path.clone());
                    }
                }
            }
            for host in &denied.hosts {
                // A rule that overlaps with a denied host goes as a whole: better too little than too much.
                let single = |rule: &HostRule| Grant {
                    hosts: vec![rule.clone()],
                    ..Grant::default()
                };
                grant
                    .hosts
                    .retain(|rule| meet(&single(rule), &single(host)).hosts.is_empty());
            }
            for secret in &denied.secrets {
                grant
                    .secrets
                    .retain(|rule| !overlaps(&secret.name, &rule.name));
            }
            for kind in NAME_KINDS {
                let Some(gone) = names(&denied, kind).cloned() else {
                    continue;
                };
                if let Some(list) = names_mut(grant, kind) {
                    list.retain(|name| !gone.iter().any(|pattern| overlaps(pattern, name)));
                }
            }
        }
        unbound
    }

    /// What the manifest asks for, as far as it is granted.
    fn component(
        &self,
        manifest: &Manifest,
        step: &StepNeeds,
        granted: &Grant,
        base: &Grant,
        decision: &mut Decision,
    ) -> Grant {
        if granted.confinement == Confinement::Unconfined {
            return granted.clone();
        }
        let requests = &manifest.capabilities;
        let bind = |text: &str| manifest_text(text, &step.inputs, &step.directories);
        let mut wanted = Grant {
            may_lack: granted.may_lack.clone(),
            environment: granted.environment.clone(),
            ..Grant::default()
        };
        // Every action has its own folders.
        let private = [
            &step.directories.work,
            &step.directories.downloads,
            &step.directories.temporary,
        ];
        wanted.files = base
            .files
            .iter()
            .filter(|rule| private.contains(&&rule.path))
            .cloned()
            .collect();
        let mut missing = |optional: bool, one: Missing| {
            if optional {
                decision.optional_missing.push(one)
            } else {
                decision.missing.push(one)
            }
        };
        for request in &requests.files {
            let Ok(access) = parse_access(request.access.iter().map(String::as_str)) else {
                continue;
            };
            let Some(path) = bind(&request.path) else {
                continue;
            };
            // A relative path is below the downloads folder, which every step has.
            if !path.starts_with('/') {
                continue;
            }
            let path = if path == "/" {
                path
            } else {
                path.trim_end_matches('/').to_owned()
            };
            if !is_normal_path(&path) {
                missing(
                    false,
                    missing_file(
                        &path,
                        &access,
                        "the path holds `.`, `..` or doubled slashes",
                    ),
                );
                continue;
            }
            let lacking = missing_access(granted, &path, &access);
            if !lacking.is_empty() && path != "/" {
                missing(
                    request.optional,
                    missing_file(
                        &path,
                        &lacking,
                        &format!("{}: {}", manifest.actions[0], request.reason),
                    ),
                );
            }
            wanted.files.push(FileRule {
                path,
                access,
                except: Vec::new(),
            });
        }
        for request in &requests.hosts {
            let Some(url) = bind(&request.url) else {
                continue;
            };
            let Ok(rules) = parse_host(&url) else {
                continue;
            };
            for mut rule in rules {
                rule.methods = request.methods.iter().cloned().collect();
                // What the component asks for it gets as the policy says it: also at private addresses.
                rule.private = true;
                if !covers_host(granted, &rule) && rule.host != "*" {
                    missing(
                        request.optional,
                        missing_host(
                            &rule,
                            &format!("{}: {}", manifest.actions[0], request.reason),
                        ),
                    );
                }
                wanted.hosts.push(rule);
            }
        }
        for request in requests.programs.values() {
            wanted.programs.extend(request.paths.iter().cloned());
        }
        for request in &requests.secrets {
            let Some(name) = bind(&request.name) else {
                continue;
            };
            let text = SecretText::new(name.clone(), request.uses.clone(), request.hosts.clone());
            // A binding to an absent input drops the host, and the request with it when none is left.
            let text = SecretText {
                hosts: text.hosts.iter().filter_map(|host| bind(host)).collect(),
                ..text
            };
            if text.hosts.is_empty() && !request.hosts.is_empty() {
                continue;
            }
            let Ok(rule) = text.rule(name.clone(), |host| Ok(host.to_owned())) else {
                continue;
            };
            // What the manifest leaves open is the operator's to narrow.
            let mut open = granted.clone();
            for granted in &mut open.secrets {
                if request.uses.is_none() {
                    granted.uses = SecretRule::anywhere("").uses;
                }
                if request.hosts.is_empty() {
                    granted.hosts.clear();
                }
            }
            if !covers_secret(&open, &rule) && !name.contains('*') {
                let reason = format!("{}: {}", manifest.actions[0], request.reason);
                missing(request.optional, missing_secret(&rule, &reason));
            }
            wanted.secrets.push(rule);
        }
        let kinds: [(&str, &[NameRequest]); 3] = [
            ("parameters", &requests.parameters),
            ("documents", &requests.documents),
            ("signing", &requests.signing),
        ];
        for (kind, list) in kinds {
            for request in list {
                let Some(name) = bind(&request.name) else {
                    continue;
                };
                let covered = names(granted, kind)
                    .is_some_and(|list| list.iter().any(|pattern| name_matches(pattern, &name)));
                if !covered && !name.contains('*') {
                    let reason = format!("{}: {}", manifest.actions[0], request.reason);
                    missing(request.optional, missing_name(kind, &name, &reason));
                }
                if let Some(list) = names_mut(&mut wanted, kind) {
                    list.insert(name);
                }
            }
        }
        let mut both = meet(granted, &wanted);
        both.run_as = granted.run_as.clone();
        both
    }
}

/// Keeps Capstan's own folders out of the rules for folders around them. What is granted within them is granted.
fn withhold(directories: &StepDirectories, grant: &mut Grant) {
    for folder in &directories.withheld {
        for rule in &mut grant.files {
            if is_below(folder, &rule.path) && !rule.except.contains(folder) {
                rule.except.push(folder.clone());
            }
        }
    }
}

/// Whoever a step runs for: itself, and the steps that its document is nested in.
fn subjects(subject: &Subject) -> impl Iterator<Item = &Subject> {
    std::iter::once(subject).chain(&subject.ancestors)
}

/// Whether a denied name or pattern touches a granted one.
fn overlaps(denied: &str, granted: &str) -> bool {
    let stem = granted.trim_end_matches('*');
    name_matches(denied, granted) || (granted.ends_with('*') && denied.starts_with(stem))
}

/// What of a declaration is not granted.
fn needs_of_grant(granted: &Grant, wanted: &Grant, reason: &str, missing: &mut Vec<Missing>) {
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

fn missing_file(path: &str, access: &AccessSet, reason: &str) -> Missing {
    let words = words(access);
    Missing {
        capability: "files".into(),
        item: format!("{path} ({words})"),
        reason: reason.to_owned(),
        hint: format!("grants: {{ files: [{{ path: {path}, access: [{words}] }}] }}"),
    }
}

fn missing_host(rule: &HostRule, reason: &str) -> Missing {
    let url = rule.to_string();
    Missing {
        capability: "hosts".into(),
        item: url.clone(),
        reason: reason.to_owned(),
        hint: format!("grants: {{ hosts: [\"{url}\"] }}"),
    }
}

fn missing_secret(rule: &SecretRule, reason: &str) -> Missing {
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

fn missing_name(kind: &str, name: &str, reason: &str) -> Missing {
    Missing {
        capability: kind.to_owned(),
        item: name.to_owned(),
        reason: reason.to_owned(),
        hint: format!("grants: {{ {kind}: [\"{name}\"] }}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::{Decision, StepDirectories, StepNeeds, Subject};
    use crate::{FileAccess, GrantCheck, Manifest, Policy};

    fn decide(rules: &str, parameters: &Value, declared: Option<Value>) -> Decision {
        let policy = Policy::parse(&format!("version: 1\nrules:\n{rules}"), "p").unwrap();
        let manifest = json!({
            "actions": ["aws:runShellScript"], "version": "1.0.0", "description": "x",
            "capabilities": { "children": "any" },
        });
        let manifest: Manifest = serde_json::from_value(manifest).unwrap();
        let parameters: BTreeMap<String, Value> =
            serde_json::from_value(parameters.clone()).unwrap();
        let subject = Subject {
            parameters,
            ..Subject::default()
        };
        let step = StepNeeds {
            inputs: json!({}),
            declared,
            directories: StepDirectories {
                work: "/var/lib/capstan/run/work".into(),
                withheld: vec!["/var/lib/capstan".into()],
                ..StepDirectories::default()
            },
        };
        policy.decide(&subject, &manifest, &step)
    }

    #[test]
    fn what_cannot_be_kept_back_is_not_granted() {
        let rules = "
  - id: all
    grants: { files: [{ path: /srv/audit, access: read-write }], hosts: [\"https://*.example.com\"] }
  - id: keep-back
    effect: deny
    grants: { files: [{ path: \"/srv/audit/{{ app }}/secret\", access: read }], hosts: [\"{{ host }}\"] }
";
        for (app, host, refused) in [
            ("x", "https://db.example.com", false),
            ("x/y", "https://db.example.com", true),
            ("..", "https://db.example.com", true),
            ("", "https://db.example.com", true),
            ("x", "", true),
            ("x", "https://a@db.example.com", true),
        ] {
            let decision = decide(rules, &json!({ "app": app, "host": host }), None);
            assert_eq!(!decision.missing.is_empty(), refused, "{app:?} {host:?}");
            for missing in &decision.missing {
                assert!(missing.reason.contains("keep-back"), "{missing:?}");
            }
        }
        assert!(!decide(rules, &json!({}), None).missing.is_empty());
    }

    #[test]
    fn exceptions_are_bound_like_paths() {
        let rules = "
  - id: all
    grants: { files: [{ path: /srv/audit, access: read-write, except: [\"/srv/audit/{{ app }}/*.key\"] }] }
";
        let allows = |app: &str, path: &str| {
            let decision = decide(rules, &json!({ "app": app }), None);
            GrantCheck::new(decision.children).allows_file(path, FileAccess::Read)
        };
        assert!(allows("x", "/srv/audit/x/file"));
        assert!(!allows("x", "/srv/audit/x/a.key"));
        for app in ["x/y", "..", "", "*"] {
            assert!(!allows(app, "/srv/audit/x/file"), "{app:?}");
        }
    }

    #[test]
    fn folders_of_the_host_are_in_no_grant_around_them() {
        let rules = "
  - id: all
    grants: { files: [{ path: /, access: read-write }, { path: /var/lib/capstan/data/x, access: read-write }] }
";
        let children = GrantCheck::new(decide(rules, &json!({}), None).children);
        for (path, expected) in [
            ("/var/lib/other", true),
            ("/var/lib/capstan/run/work/file", true),
            ("/var/lib/capstan/data/x/file", true),
            ("/var/lib/capstan/data/y/file", false),
            ("/var/lib/capstan/parameters.json", false),
        ] {
            let allowed = children.allows_file(path, FileAccess::Write);
            assert_eq!(allowed, expected, "{path}");
        }
    }

    #[test]
    fn only_a_rule_opens_the_files_of_others() {
        let rules =
            "\n  - id: app\n    grants: { files: [{ path: /opt/app, access: read-only }] }\n";
        let declared =
            |path: &str| Some(json!({ "files": [{ "path": path, "access": "read-only" }] }));
        let hosts = "\n  - id: net\n    grants: { hosts: [example.com] }\n";
        for (rules, declared, expected) in [
            (rules, None, true),
            (rules, declared("/opt/app/x"), true),
            // Of the profile's rules, which others' files are no part of, whatever the document says.
            (rules, declared("/opt/other"), false),
            (hosts, None, false),
        ] {
            let decision = decide(rules, &json!({}), declared.clone());
            assert_eq!(
                decision.children.files_of_others, expected,
                "{rules} {declared:?}"
            );
        }
    }
}
