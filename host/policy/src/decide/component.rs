//! What a component itself gets: what its manifest asks for, as far as it is granted.

use super::missing::{Missing, missing_file, missing_host, missing_name, missing_secret};
use super::{Decision, StepNeeds};
use crate::bind::{SecretText, manifest_text, names, names_mut, parse_access, parse_host};
use crate::grant::{Confinement, FileRule, Grant};
use crate::lattice::{covers_host, covers_secret, meet, missing_access};
use crate::pattern::{is_normal_path, name_matches};
use crate::request::{Manifest, NameRequest};
use crate::secret::SecretRule;

/// What the manifest asks for, as far as it is granted.
pub(super) fn component(
    manifest: &Manifest,
    step: &StepNeeds,
    granted: &Grant,
    base: &Grant,
    decision: &mut Decision,
) -> Grant {
    if granted.confinement == Confinement::Unconfined {
        return granted.clone();
    }
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
    let mut requests = Requests {
        manifest,
        step,
        granted,
        wanted,
        decision,
    };
    requests.files();
    requests.hosts();
    requests.programs();
    requests.secrets();
    requests.names();
    let mut both = meet(granted, &requests.wanted);
    both.run_as = granted.run_as.clone();
    both
}

/// The requests of a manifest, bound to the inputs of a step.
struct Requests<'a> {
    manifest: &'a Manifest,
    step: &'a StepNeeds,
    granted: &'a Grant,
    wanted: Grant,
    decision: &'a mut Decision,
}

impl Requests<'_> {
    fn bind(&self, text: &str) -> Option<String> {
        manifest_text(text, &self.step.inputs, &self.step.directories)
    }

    fn reason(&self, of_request: &str) -> String {
        format!(
            "{}: {of_request}",
            self.manifest.names().next().unwrap_or_default()
        )
    }

    fn missing(&mut self, optional: bool, one: Missing) {
        if optional {
            self.decision.optional_missing.push(one);
        } else {
            self.decision.missing.push(one);
        }
    }

    fn files(&mut self) {
        for request in &self.manifest.capabilities.files {
            let Ok(access) = parse_access(request.access.iter().map(String::as_str)) else {
                continue;
            };
            let Some(path) = self.bind(&request.path) else {
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
                let why = "the path holds `.`, `..` or doubled slashes";
                self.missing(false, missing_file(&path, &access, why));
                continue;
            }
            let lacking = missing_access(self.granted, &path, &access);
            if !lacking.is_empty() && path != "/" {
                let reason = self.reason(&request.reason);
                self.missing(request.optional, missing_file(&path, &lacking, &reason));
            }
            self.wanted.files.push(FileRule {
                path,
                access,
                except: Vec::new(),
            });
        }
    }

    fn hosts(&mut self) {
        for request in &self.manifest.capabilities.hosts {
            let Some(url) = self.bind(&request.url) else {
                continue;
            };
            let Ok(rules) = parse_host(&url) else {
                continue;
            };
            for mut rule in rules {
                rule.methods = request.methods.iter().cloned().collect();
                // What the component asks for it gets as the policy says it: also at private addresses.
                rule.private = true;
                if !covers_host(self.granted, &rule) && rule.host != "*" {
                    let reason = self.reason(&request.reason);
                    self.missing(request.optional, missing_host(&rule, &reason));
                }
                self.wanted.hosts.push(rule);
            }
        }
    }

    fn programs(&mut self) {
        for request in self.manifest.capabilities.programs.values() {
            self.wanted.programs.extend(request.paths.iter().cloned());
        }
    }

    fn secrets(&mut self) {
        for request in &self.manifest.capabilities.secrets {
            let Some(name) = self.bind(&request.name) else {
                continue;
            };
            let text = SecretText::new(name.clone(), request.uses.clone(), request.hosts.clone());
            // A binding to an absent input drops the host, and the request with it when none is left.
            let text = SecretText {
                hosts: text
                    .hosts
                    .iter()
                    .filter_map(|host| self.bind(host))
                    .collect(),
                ..text
            };
            if text.hosts.is_empty() && !request.hosts.is_empty() {
                continue;
            }
            let Ok(rule) = text.rule(name.clone(), |host| Ok(host.to_owned())) else {
                continue;
            };
            // What the manifest leaves open is the operator's to narrow.
            let mut open = self.granted.clone();
            for granted in &mut open.secrets {
                if request.uses.is_none() {
                    granted.uses = SecretRule::anywhere("").uses;
                }
                if request.hosts.is_empty() {
                    granted.hosts.clear();
                }
            }
            if !covers_secret(&open, &rule) && !name.contains('*') {
                let reason = self.reason(&request.reason);
                self.missing(request.optional, missing_secret(&rule, &reason));
            }
            self.wanted.secrets.push(rule);
        }
    }

    fn names(&mut self) {
        let requests = &self.manifest.capabilities;
        let kinds: [(&str, &[NameRequest]); 3] = [
            ("parameters", &requests.parameters),
            ("documents", &requests.documents),
            ("signing", &requests.signing),
        ];
        for (kind, list) in kinds {
            for request in list {
                let Some(name) = self.bind(&request.name) else {
                    continue;
                };
                let covered = names(self.granted, kind)
                    .is_some_and(|list| list.iter().any(|pattern| name_matches(pattern, &name)));
                if !covered && !name.contains('*') {
                    let reason = self.reason(&request.reason);
                    self.missing(request.optional, missing_name(kind, &name, &reason));
                }
                if let Some(list) = names_mut(&mut self.wanted, kind) {
                    list.insert(name);
                }
            }
        }
    }
}
