//! Where secrets may be put.
//!
//! A component never sees a secret's value: it holds a placeholder, and the host puts the value where the grant
//! says that it may go.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::check::host_fits;
use crate::grant::HostRule;
use crate::lattice::{covers_host_rule, meet_hosts};
use crate::pattern::{name_matches, url_path_matches};

/// A kind of place for the value of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretUse {
    /// A header of an HTTP request, `Authorization` included.
    Header,
    /// The body of an HTTP request.
    Body,
    /// A variable of a program's environment.
    Environment,
    /// A program's standard input.
    Stdin,
}

impl SecretUse {
    /// All of them, with their words in a policy.
    pub(crate) const ALL: [(Self, &'static str); 4] = [
        (Self::Header, "header"),
        (Self::Body, "body"),
        (Self::Environment, "environment"),
        (Self::Stdin, "stdin"),
    ];

    /// The uses that send a secret to a host.
    pub(crate) const OF_REQUESTS: [Self; 2] = [Self::Header, Self::Body];

    /// The use that a word names.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(_, own)| *own == word)
            .map(|(one, _)| *one)
    }
}

/// Its word in a policy.
impl fmt::Display for SecretUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = Self::ALL.iter().find(|(one, _)| one == self);
        f.write_str(found.map_or("", |(_, word)| word))
    }
}

/// Leave to use a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretRule {
    /// Its name; a trailing `*` stands for any rest.
    pub name: String,
    /// What for.
    pub uses: BTreeSet<SecretUse>,
    /// In requests to which hosts; empty is all that the step may reach.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostRule>,
}

impl SecretRule {
    /// Leave to use a secret wherever the step can put it.
    #[must_use]
    pub fn anywhere(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            uses: SecretUse::ALL.iter().map(|(one, _)| *one).collect(),
            hosts: Vec::new(),
        }
    }

    fn allows(&self, name: &str, place: &SecretPlace) -> bool {
        name_matches(&self.name, name)
            && self.uses.contains(&place.kind())
            && match place {
                SecretPlace::Environment | SecretPlace::Stdin => true,
                SecretPlace::Header(to) | SecretPlace::Body(to) => {
                    self.hosts.is_empty() || self.hosts.iter().any(|rule| to.fits(rule))
                }
            }
    }
}

impl fmt::Display for SecretRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uses: Vec<String> = self.uses.iter().map(ToString::to_string).collect();
        write!(f, "{} ({})", self.name, uses.join(", "))?;
        if !self.hosts.is_empty() {
            let hosts: Vec<String> = self.hosts.iter().map(ToString::to_string).collect();
            write!(f, " to {}", hosts.join(", "))?;
        }
        Ok(())
    }
}

/// Where a value is to be put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretPlace {
    /// A variable of a program.
    Environment,
    /// The standard input of a program.
    Stdin,
    /// A header of a request to this destination.
    Header(Destination),
    /// The body of a request to this destination.
    Body(Destination),
}

impl SecretPlace {
    fn kind(&self) -> SecretUse {
        match self {
            Self::Environment => SecretUse::Environment,
            Self::Stdin => SecretUse::Stdin,
            Self::Header(_) => SecretUse::Header,
            Self::Body(_) => SecretUse::Body,
        }
    }
}

/// For messages: `header of a request to https://example.com:443/`.
impl fmt::Display for SecretPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str("environment of a program"),
            Self::Stdin => f.write_str("standard input of a program"),
            Self::Header(to) => write!(f, "header of a request to {to}"),
            Self::Body(to) => write!(f, "body of a request to {to}"),
        }
    }
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the parts of a URL")]
pub struct Destination {
    pub scheme: String,
    pub host: String,
    pub port: u16,
    pub path: String,
}

impl Destination {
    fn fits(&self, rule: &HostRule) -> bool {
        host_fits(rule, &self.scheme, &self.host, self.port)
            && rule
                .path
                .as_ref()
                .is_none_or(|pattern| url_path_matches(pattern, &self.path))
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}:{}{}",
            self.scheme, self.host, self.port, self.path
        )
    }
}

/// Whether one of the rules allows a use.
pub(crate) fn allows(rules: &[SecretRule], name: &str, place: &SecretPlace) -> bool {
    rules.iter().any(|rule| rule.allows(name, place))
}

/// What both rules allow, for names where `narrower` gives the one that both hold.
pub(crate) fn meet(
    a: &SecretRule,
    b: &SecretRule,
    narrower: impl Fn(&str, &str) -> Option<String>,
) -> Option<SecretRule> {
    let name = narrower(&a.name, &b.name)?;
    let mut uses: BTreeSet<SecretUse> = a.uses.intersection(&b.uses).copied().collect();
    let hosts = match (a.hosts.is_empty(), b.hosts.is_empty()) {
        (true, _) => b.hosts.clone(),
        (_, true) => a.hosts.clone(),
        _ => {
            let both = meet_hosts(&a.hosts, &b.hosts);
            if both.is_empty() {
                // No host is left, which an empty list would not say.
                uses.retain(|one| !SecretUse::OF_REQUESTS.contains(one));
            }
            both
        }
    };
    (!uses.is_empty()).then_some(SecretRule { name, uses, hosts })
}

/// Whether a rule holds all of another, whose name it holds.
pub(crate) fn covers(wide: &SecretRule, narrow: &SecretRule) -> bool {
    let sends = narrow
        .uses
        .iter()
        .any(|one| SecretUse::OF_REQUESTS.contains(one));
    let hosts = wide.hosts.is_empty()
        || !sends
        || (!narrow.hosts.is_empty()
            && narrow
                .hosts
                .iter()
                .all(|host| covers_host_rule(&wide.hosts, host)));
    wide.uses.is_superset(&narrow.uses) && hosts
}
