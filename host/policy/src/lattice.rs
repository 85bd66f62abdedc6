//! Meet, union and order of grants.

use std::collections::BTreeSet;

use crate::bind::{NAME_KINDS, names, names_mut};
use crate::check::name_fits;
use crate::grant::{AccessSet, Confinement, FileAccess, FileRule, Grant, HostRule};
use crate::pattern::{excepted, is_below, name_matches};
use crate::secret::{self, SecretRule};

/// What both allow.
#[must_use]
pub fn meet(a: &Grant, b: &Grant) -> Grant {
    match (a.confinement, b.confinement) {
        // What is not confined holds everything.
        (Confinement::Unconfined, _) => return b.clone(),
        (_, Confinement::Unconfined) => return a.clone(),
        _ => {}
    }
    let mut grant = Grant {
        confinement: Confinement::Confined,
        files: pairs(&a.files, &b.files, meet_file),
        hosts: meet_hosts(&a.hosts, &b.hosts),
        secrets: pairs(&a.secrets, &b.secrets, |a, b| {
            secret::meet(a, b, narrower_name)
        }),
        run_as: if b.run_as.user.is_some() {
            b.run_as.clone()
        } else {
            a.run_as.clone()
        },
        files_of_others: a.files_of_others && b.files_of_others,
        may_lack: a.may_lack.intersection(&b.may_lack).copied().collect(),
        ..Grant::default()
    };
    for kind in NAME_KINDS {
        if let (Some(a), Some(b)) = (names(a, kind), names(b, kind)) {
            let both = meet_names(a, b, *kind == "programs");
            if let Some(list) = names_mut(&mut grant, kind) {
                *list = both;
            }
        }
    }
    grant
}

/// What either allows.
#[must_use]
pub fn union(a: &Grant, b: &Grant) -> Grant {
    let mut grant = a.clone();
    if b.confinement == Confinement::Unconfined {
        grant.confinement = Confinement::Unconfined;
    }
    grant.files.extend(b.files.iter().cloned());
    grant.files.sort();
    grant.files.dedup();
    grant.hosts.extend(b.hosts.iter().cloned());
    grant.hosts.sort();
    grant.hosts.dedup();
    grant.secrets.extend(b.secrets.iter().cloned());
    grant.secrets.sort();
    grant.secrets.dedup();
    for kind in NAME_KINDS {
        if let (Some(list), Some(more)) = (names_mut(&mut grant, kind), names(b, kind)) {
            list.extend(more.iter().cloned());
        }
    }
    if grant.run_as.user.is_none() {
        grant.run_as = b.run_as.clone();
    }
    grant.files_of_others |= b.files_of_others;
    grant.may_lack.extend(b.may_lack.iter().copied());
    grant
}

/// Whether `a` holds every item of `b`.
#[must_use]
pub fn covers(a: &Grant, b: &Grant) -> bool {
    a.confinement == Confinement::Unconfined
        || (b.confinement == Confinement::Confined
            && b.files
                .iter()
                .all(|rule| missing_access(a, &rule.path, &rule.access).is_empty())
            && b.hosts.iter().all(|rule| covers_host(a, rule))
            && b.secrets.iter().all(|rule| covers_secret(a, rule))
            && NAME_KINDS
                .iter()
                .all(|kind| match (names(a, kind), names(b, kind)) {
                    (Some(a), Some(b)) => b
                        .iter()
                        .all(|name| covers_name(a, name, *kind == "programs")),
                    _ => true,
                }))
}

fn pairs<T: Ord>(a: &[T], b: &[T], both: impl Fn(&T, &T) -> Option<T>) -> Vec<T> {
    let set: BTreeSet<T> = a
        .iter()
        .flat_map(|one| {
            b.iter()
                .filter_map(|other| both(one, other))
                .collect::<Vec<_>>()
        })
        .collect();
    set.into_iter().collect()
}

/// A set with what `Replace` includes spelt out.
fn spelt_out(access: &AccessSet) -> AccessSet {
    let mut set = access.clone();
    if set.contains(&FileAccess::Replace) {
        set.extend([FileAccess::Write, FileAccess::Create, FileAccess::Remove]);
    }
    set
}

fn meet_file(a: &FileRule, b: &FileRule) -> Option<FileRule> {
    let path = if is_below(&a.path, &b.path) {
        &a.path
    } else if is_below(&b.path, &a.path) {
        &b.path
    } else {
        return None;
    };
    let access: AccessSet = spelt_out(&a.access)
        .intersection(&spelt_out(&b.access))
        .copied()
        .collect();
    let mut except: Vec<String> = a.except.iter().chain(&b.except).cloned().collect();
    if access.is_empty() || except.iter().any(|pattern| excepted(pattern, path)) {
        return None;
    }
    except.sort();
    except.dedup();
    Some(FileRule {
        path: path.clone(),
        access,
        except,
    })
}

/// The rights on a path that a grant does not hold.
pub(crate) fn missing_access(grant: &Grant, path: &str, access: &AccessSet) -> AccessSet {
    let mut missing = access.clone();
    for rule in grant.files.iter().filter(|rule| is_below(path, &rule.path)) {
        if !rule.except.iter().any(|pattern| excepted(pattern, path)) {
            let has = spelt_out(&rule.access);
            let all = has
                .is_superset(&[FileAccess::Write, FileAccess::Create, FileAccess::Remove].into());
            missing.retain(|access| {
                !(has.contains(access) || (*access == FileAccess::Replace && all))
            });
        }
    }
    missing
}

/// The hosts that both lists hold.
pub(crate) fn meet_hosts(a: &[HostRule], b: &[HostRule]) -> Vec<HostRule> {
    pairs(a, b, meet_host)
}

fn meet_host(a: &HostRule, b: &HostRule) -> Option<HostRule> {
    let scheme = meet_word(&a.scheme, &b.scheme)?;
    let host = if name_fits(&a.host, &b.host) || a.host == b.host {
        b.host.clone()
    } else if name_fits(&b.host, &a.host) || wider_wildcard(&b.host, &a.host) {
        a.host.clone()
    } else if wider_wildcard(&a.host, &b.host) {
        b.host.clone()
    } else {
        return None;
    };
    let port = match (a.port, b.port) {
        (Some(a), Some(b)) if a != b => return None,
        (a, b) => a.or(b),
    };
    let methods: BTreeSet<String> = match (a.methods.is_empty(), b.methods.is_empty()) {
        (true, _) => b.methods.clone(),
        (_, true) => a.methods.clone(),
        _ => {
            let both: BTreeSet<String> = a.methods.intersection(&b.methods).cloned().collect();
            if both.is_empty() {
                return None;
            }
            both
        }
    };
    let path = match (&a.path, &b.path) {
        (None, path) | (path, None) => path.clone(),
        (Some(a), Some(b)) if a == b => Some(a.clone()),
        (Some(a), Some(b)) if crate::pattern::url_path_matches(a, b) => Some(b.clone()),
        (Some(a), Some(b)) if crate::pattern::url_path_matches(b, a) => Some(a.clone()),
        _ => return None,
    };
    Some(HostRule {
        scheme,
        host,
        port,
        methods,
        path,
        private: a.private && b.private,
    })
}

/// `*.example.com` holds `*.a.example.com`.
fn wider_wildcard(wide: &str, narrow: &str) -> bool {
    wide == "*"
        || matches!((wide.strip_prefix('*'), narrow.strip_prefix('*')), (Some(w), Some(n)) if n.ends_with(w))
}

fn meet_word(a: &str, b: &str) -> Option<String> {
    match (a, b) {
        ("*", other) | (other, "*") => Some(other.to_owned()),
        (a, b) if a == b => Some(a.to_owned()),
        _ => None,
    }
}

/// Whether a grant holds a host rule; only whole rules are compared.
pub(crate) fn covers_host(grant: &Grant, wanted: &HostRule) -> bool {
    covers_host_rule(&grant.hosts, wanted)
}

/// The same for a list of rules.
pub(crate) fn covers_host_rule(hosts: &[HostRule], wanted: &HostRule) -> bool {
    hosts.iter().any(|rule| {
        let both = meet_host(rule, wanted);
        both.is_some_and(|both| {
            both.scheme == wanted.scheme
                && both.host == wanted.host
                && both.port == wanted.port
                && both.methods == wanted.methods
                && both.path == wanted.path
        })
    })
}

/// Whether a grant holds all that a rule allows.
pub(crate) fn covers_secret(grant: &Grant, wanted: &SecretRule) -> bool {
    grant.secrets.iter().any(|rule| {
        narrower_name(&rule.name, &wanted.name).as_ref() == Some(&wanted.name)
            && secret::covers(rule, wanted)
    })
}

/// The narrower of two names or patterns, if one holds the other.
fn narrower_name(a: &str, b: &str) -> Option<String> {
    if covers_pattern(a, b) {
        Some(b.to_owned())
    } else if covers_pattern(b, a) {
        Some(a.to_owned())
    } else {
        None
    }
}

fn covers_pattern(pattern: &str, wanted: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(prefix) => pattern
            .strip_suffix('*')
            .is_some_and(|wide| prefix.starts_with(wide)),
        None => name_matches(pattern, wanted),
    }
}

fn covers_name(granted: &BTreeSet<String>, wanted: &str, paths: bool) -> bool {
    granted.iter().any(|pattern| {
        if paths {
            is_below(wanted, pattern) || excepted(pattern, wanted)
        } else {
            covers_pattern(pattern, wanted)
        }
    })
}

fn meet_names(a: &BTreeSet<String>, b: &BTreeSet<String>, paths: bool) -> BTreeSet<String> {
    let one = a.iter().filter(|name| covers_name(b, name, paths));
    let other = b.iter().filter(|name| covers_name(a, name, paths));
    one.chain(other).cloned().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{covers, meet, union};
    use crate::bind::parse_host;
    use crate::check::{GrantCheck, HostVerdict};
    use crate::grant::{FileAccess, FileRule, Grant};
    use crate::secret::{Destination, SecretPlace, SecretRule, SecretUse};

    const PATHS: &[&str] = &["/", "/a", "/a/b", "/a/b/c", "/a/bc", "/d"];
    const HOSTS: &[&str] = &[
        "*",
        "http://x.y",
        "https://*.y",
        "https://z.y/p/**",
        "tcp://x.y:1",
        "x.y",
    ];
    const ACCESS: &[FileAccess] = &[
        FileAccess::Read,
        FileAccess::Write,
        FileAccess::Create,
        FileAccess::Remove,
        FileAccess::Replace,
    ];

    fn grant() -> impl Strategy<Value = Grant> {
        let file = (
            prop::sample::select(PATHS),
            prop::collection::btree_set(prop::sample::select(ACCESS), 1..4),
            prop::collection::vec(prop::sample::select(&["/a/b*", "/a/b/c", "/d"][..]), 0..2),
        )
            .prop_map(|(path, access, except)| FileRule {
                path: path.into(),
                access,
                except: except.into_iter().map(str::to_owned).collect(),
            });
        let names = prop::collection::btree_set(
            prop::sample::select(&["*", "/app/*", "/app/x", "y"][..]),
            0..3,
        );
        (
            prop::collection::vec(file, 0..4),
            prop::collection::vec(prop::sample::select(HOSTS), 0..3),
            names,
            prop::collection::vec(secret(), 0..3),
        )
            .prop_map(|(files, hosts, names, secrets)| Grant {
                secrets,
                files,
                hosts: hosts
                    .into_iter()
                    .flat_map(|host| parse_host(host).unwrap_or_default())
                    .collect(),
                parameters: names.into_iter().map(str::to_owned).collect(),
                ..Grant::default()
            })
    }

    fn secret() -> impl Strategy<Value = SecretRule> {
        (
            prop::sample::select(&["*", "/app/*", "/app/x", "y"][..]),
            prop::collection::btree_set(
                prop::sample::select(
                    &[SecretUse::Header, SecretUse::Stdin, SecretUse::Environment][..],
                ),
                1..3,
            ),
            prop::collection::vec(prop::sample::select(HOSTS), 0..2),
        )
            .prop_map(|(name, uses, hosts)| SecretRule {
                name: name.into(),
                uses,
                hosts: hosts
                    .into_iter()
                    .flat_map(|host| parse_host(host).unwrap_or_default())
                    .collect(),
            })
    }

    /// Every concrete operation of a small world that a grant allows.
    fn operations(grant: &Grant) -> Vec<String> {
        let check = GrantCheck::new(grant.clone());
        let mut list = Vec::new();
        for path in ["/a", "/a/b", "/a/b/c", "/a/b/c/d", "/a/bc", "/d", "/e"] {
            for access in ACCESS {
                if *access != FileAccess::Replace && check.allows_file(path, *access) {
                    list.push(format!("{access:?} {path}"));
                }
            }
        }
        for scheme in ["http", "https", "tcp"] {
            for host in ["x.y", "z.y", "q"] {
                for port in [1, 80, 443] {
                    for path in ["/", "/p/q"] {
                        if check.allows_host(scheme, host, port, Some("GET"), Some(path))
                            != HostVerdict::Refused
                        {
                            list.push(format!("{scheme} {host} {port} {path}"));
                        }
                    }
                }
            }
        }
        list.extend(
            ["/app/x", "/app/z", "y", "q"]
                .into_iter()
                .filter(|name| check.allows_parameter(name))
                .map(str::to_owned),
        );
        for name in ["/app/x", "/app/z", "y", "q"] {
            let to = |scheme: &str, host: &str, port| {
                SecretPlace::Header(Destination {
                    scheme: scheme.into(),
                    host: host.into(),
                    port,
                    path: "/p/q".into(),
                })
            };
            for place in [
                SecretPlace::Stdin,
                SecretPlace::Environment,
                to("https", "z.y", 443),
                to("http", "x.y", 80),
                to("tcp", "x.y", 1),
            ] {
                if check.allows_secret(name, &place) {
                    list.push(format!("{name} {place}"));
                }
            }
        }
        list
    }

    proptest! {
        #[test]
        fn a_meet_allows_what_both_allow(a in grant(), b in grant()) {
            let (in_a, in_b) = (operations(&a), operations(&b));
            let both: Vec<String> = in_a.iter().filter(|operation| in_b.contains(operation)).cloned().collect();
            prop_assert_eq!(operations(&meet(&a, &b)), both.clone());
            prop_assert_eq!(operations(&meet(&b, &a)), both);
        }

        #[test]
        fn a_meet_with_itself_changes_nothing(a in grant()) {
            prop_assert_eq!(operations(&meet(&a, &a)), operations(&a));
        }

        #[test]
        fn a_union_allows_what_either_allows(a in grant(), b in grant()) {
            let all = operations(&union(&a, &b));
            for operation in operations(&a).iter().chain(&operations(&b)) {
                prop_assert!(all.contains(operation));
            }
        }

        #[test]
        fn what_covers_allows_no_less(a in grant(), b in grant()) {
            if covers(&a, &b) && b.files.iter().all(|rule| rule.except.is_empty()) && a.files.iter().all(|rule| rule.except.is_empty()) {
                let all = operations(&a);
                for operation in operations(&b) {
                    prop_assert!(all.contains(&operation), "{}", operation);
                }
            }
        }
    }
}
