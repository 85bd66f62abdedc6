//! A grant as it is asked at run time.

use std::net::IpAddr;

use crate::grant::{Confinement, FileAccess, FileRule, Grant, HostRule};
use crate::pattern::{excepted, is_below, is_normal_path, name_matches, url_path_matches};
use crate::secret::SecretPlace;

/// Answers whether a grant holds something. Asking costs no allocation, but for odd URLs.
#[derive(Debug, Clone)]
pub struct GrantCheck {
    grant: Grant,
}

/// Whether a host may be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostVerdict {
    /// No.
    Refused,
    /// At a public address only.
    Public,
    /// At any address.
    Anywhere,
}

impl GrantCheck {
    /// For this grant.
    #[must_use]
    pub fn new(grant: Grant) -> Self {
        Self { grant }
    }

    /// The grant.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    fn everything(&self) -> bool {
        self.grant.confinement == Confinement::Unconfined
    }

    /// Whether a file or folder may be used so. Rights add up over the rules that hold the path.
    #[must_use]
    pub fn allows_file(&self, path: &str, access: FileAccess) -> bool {
        if !is_normal_path(path) {
            return false;
        }
        self.everything()
            || self.grant.files.iter().any(|rule| {
                let has = rule.access.contains(&access)
                    || (rule.access.contains(&FileAccess::Replace)
                        && matches!(
                            access,
                            FileAccess::Write | FileAccess::Create | FileAccess::Remove
                        ));
                has && is_below(path, &rule.path)
                    && !rule.except.iter().any(|pattern| excepted(pattern, path))
            })
    }

    /// The rule that keeps a path back from what is granted around it, and the exception of it that does; none when
    /// no rule does.
    #[must_use]
    pub fn exception(&self, path: &str) -> Option<(&FileRule, &str)> {
        self.grant
            .files
            .iter()
            .filter(|rule| is_below(path, &rule.path))
            .find_map(|rule| {
                let pattern = rule.except.iter().find(|pattern| excepted(pattern, path))?;
                Some((rule, pattern.as_str()))
            })
    }

    /// The rules that hold a path, exceptions taken into account.
    pub fn rules_for_file<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a FileRule> {
        self.grant.files.iter().filter(move |rule| {
            is_below(path, &rule.path) && !rule.except.iter().any(|pattern| excepted(pattern, path))
        })
    }

    /// Whether a host may be reached by this name. `method` and `path` are none where they cannot be seen, which
    /// only rules without them allow.
    #[must_use]
    pub fn allows_host(
        &self,
        scheme: &str,
        host: &str,
        port: u16,
        method: Option<&str>,
        path: Option<&str>,
    ) -> HostVerdict {
        let method_fits = |rule: &HostRule| {
            rule.methods.is_empty() || method.is_some_and(|method| rule.methods.contains(method))
        };
        let path_fits = |rule: &HostRule| match (&rule.path, path) {
            (None, _) => true,
            (Some(pattern), Some(path)) => {
                url_path_matches(pattern, path.split(['?', '#']).next().unwrap_or(path))
            }
            (Some(_), None) => false,
        };
        self.verdict(|rule| {
            host_fits(rule, scheme, host, port) && method_fits(rule) && path_fits(rule)
        })
    }

    /// Whether the host may be reached at all, whatever the method and path: asked before a connection is made,
    /// where the request is checked again.
    #[must_use]
    pub fn allows_connection(&self, scheme: &str, host: &str, port: u16) -> HostVerdict {
        self.verdict(|rule| host_fits(rule, scheme, host, port))
    }

    /// How far the rules that fit lead.
    fn verdict(&self, fits: impl Fn(&HostRule) -> bool) -> HostVerdict {
        if self.everything() {
            return HostVerdict::Anywhere;
        }
        let mut verdict = HostVerdict::Refused;
        for rule in self.grant.hosts.iter().filter(|rule| fits(rule)) {
            // An address or `localhost` in the grant is leave enough for where it leads.
            let literal = rule.host == "localhost" || rule.host.parse::<IpAddr>().is_ok();
            if rule.private || literal {
                return HostVerdict::Anywhere;
            }
            verdict = HostVerdict::Public;
        }
        verdict
    }

    fn named(&self, list: &std::collections::BTreeSet<String>, name: &str) -> bool {
        self.everything() || list.iter().any(|pattern| name_matches(pattern, name))
    }

    /// Whether the component may start a program.
    #[must_use]
    pub fn allows_program(&self, path: &str) -> bool {
        self.everything()
            || (is_normal_path(path)
                && self.grant.programs.iter().any(|pattern| {
                    if pattern.contains('*') {
                        excepted(pattern, path)
                    } else {
                        is_below(path, pattern)
                    }
                }))
    }

    /// Whether a plain parameter may be read.
    #[must_use]
    pub fn allows_parameter(&self, name: &str) -> bool {
        self.named(&self.grant.parameters, name)
    }

    /// Whether a secret may be put somewhere at all.
    #[must_use]
    pub fn knows_secret(&self, name: &str) -> bool {
        self.everything()
            || self
                .grant
                .secrets
                .iter()
                .any(|rule| name_matches(&rule.name, name))
    }

    /// Whether the value of a secret may be put into a place.
    #[must_use]
    pub fn allows_secret(&self, name: &str, place: &SecretPlace) -> bool {
        self.everything() || crate::secret::allows(&self.grant.secrets, name, place)
    }

    /// Whether a document may be read or run. A grant of a plain name holds for each of its versions, and for its
    /// ARN.
    #[must_use]
    pub fn allows_document(&self, name: &str) -> bool {
        let plain = name.rsplit('/').next().unwrap_or(name);
        let plain = plain.split(':').next().unwrap_or(plain);
        self.named(&self.grant.documents, name) || self.named(&self.grant.documents, plain)
    }

    /// Whether requests to an AWS service may be signed.
    #[must_use]
    pub fn allows_signing(&self, service: &str) -> bool {
        self.named(&self.grant.signing, service)
    }

    /// Whether a variable of the host's environment is passed on.
    #[must_use]
    pub fn allows_environment(&self, name: &str) -> bool {
        self.named(&self.grant.environment, name)
    }
}

pub(crate) fn host_fits(rule: &HostRule, scheme: &str, host: &str, port: u16) -> bool {
    // A bare connection can carry anything, so a rule for HTTPS allows CONNECT, which is how HTTPS passes a proxy.
    let scheme_fits = rule.scheme == "*" || rule.scheme == scheme;
    scheme_fits && rule.port.is_none_or(|granted| granted == port) && name_fits(&rule.host, host)
}

pub(crate) fn name_fits(pattern: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    if pattern == "*" {
        return true;
    }
    if let Some(suffix) = pattern.strip_prefix("*.") {
        return host.len() > suffix.len() + 1
            && host.is_char_boundary(host.len() - suffix.len())
            && host[host.len() - suffix.len()..].eq_ignore_ascii_case(suffix)
            && host[..host.len() - suffix.len()].ends_with('.');
    }
    match (pattern.parse::<IpAddr>(), host.parse::<IpAddr>()) {
        (Ok(pattern), Ok(host)) => pattern == host,
        _ => pattern.eq_ignore_ascii_case(host),
    }
}

#[cfg(test)]
mod tests {
    use super::{GrantCheck, HostVerdict};
    use crate::bind::{parse_access, parse_host};
    use crate::grant::{FileAccess, FileRule, Grant};

    fn hosts(texts: &[&str]) -> GrantCheck {
        let hosts = texts
            .iter()
            .flat_map(|text| parse_host(text).unwrap_or_default())
            .collect();
        GrantCheck::new(Grant {
            hosts,
            ..Grant::default()
        })
    }

    #[test]
    fn hosts_are_matched_by_scheme_name_port_and_path() {
        let check = hosts(&[
            "https://*.example.com/api/**",
            "http://localhost:8080/health",
            "tcp://db:5432",
        ]);
        for (scheme, host, port, path, expected) in [
            ("https", "a.example.com", 443, "/api/x", HostVerdict::Public),
            ("https", "A.Example.COM", 443, "/api/x", HostVerdict::Public),
            ("https", "example.com", 443, "/api/x", HostVerdict::Refused),
            (
                "https",
                "evilexample.com",
                443,
                "/api/x",
                HostVerdict::Refused,
            ),
            (
                "https",
                "a.example.com",
                444,
                "/api/x",
                HostVerdict::Refused,
            ),
            (
                "https",
                "a.example.com",
                443,
                "/other",
                HostVerdict::Refused,
            ),
            ("http", "a.example.com", 80, "/api/x", HostVerdict::Refused),
            ("http", "localhost", 8080, "/health", HostVerdict::Anywhere),
            (
                "http",
                "localhost",
                8080,
                "/health?x=1",
                HostVerdict::Anywhere,
            ),
            ("http", "127.0.0.1", 8080, "/health", HostVerdict::Refused),
            ("tcp", "db", 5432, "", HostVerdict::Public),
            ("tcp", "db", 5433, "", HostVerdict::Refused),
        ] {
            assert_eq!(
                check.allows_host(scheme, host, port, Some("GET"), Some(path)),
                expected,
                "{scheme}://{host}:{port}{path}"
            );
        }
    }

    #[test]
    fn files_are_matched_by_folder() {
        let access = parse_access(["read-only"]).unwrap_or_default();
        let rule = FileRule {
            path: "/etc".into(),
            access,
            except: vec!["/etc/shadow*".into()],
        };
        let check = GrantCheck::new(Grant {
            files: vec![rule],
            ..Grant::default()
        });
        assert!(check.allows_file("/etc/hosts", FileAccess::Read));
        assert!(!check.allows_file("/etc/hosts", FileAccess::Write));
        assert!(!check.allows_file("/etc/shadow-", FileAccess::Read));
        assert!(!check.allows_file("/etcetera", FileAccess::Read));
        assert!(!check.allows_file("/etc/../root/x", FileAccess::Read));
    }
}
