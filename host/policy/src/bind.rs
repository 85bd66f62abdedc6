//! From the words of a policy, a declaration or a manifest to rules: templates replaced, texts taken apart.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::decide::StepDirectories;
use crate::grant::{AccessSet, FileAccess, FileRule, Grant, HostRule};
use crate::pattern::is_normal_path;
use crate::secret::{SecretRule, SecretUse};
use crate::template::{Place, resolve};

/// Grants as they are written, before parameters are known.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct GrantText {
    pub(crate) files: Vec<FileText>,
    pub(crate) hosts: Vec<HostText>,
    pub(crate) secrets: Vec<SecretText>,
    pub(crate) names: BTreeMap<&'static str, BTreeSet<String>>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FileText {
    pub(crate) path: String,
    pub(crate) access: AccessSet,
    pub(crate) except: Vec<String>,
}

impl FileText {
    /// An exception that cannot be bound takes the whole rule with it: without it, the rule would grant more.
    fn rule(&self, parameters: &BTreeMap<String, Value>) -> Result<FileRule, String> {
        let path = |text: &String| {
            let path = resolve(text, parameters, Place::Path)?;
            if is_normal_path(&path) {
                Ok(path)
            } else {
                Err(format!(
                    "`{path}` is not an absolute path without `.`, `..` and doubled slashes"
                ))
            }
        };
        Ok(FileRule {
            path: path(&self.path)?,
            access: self.access.clone(),
            except: self.except.iter().map(path).collect::<Result<_, _>>()?,
        })
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HostText {
    pub(crate) url: String,
    pub(crate) methods: BTreeSet<String>,
    pub(crate) private: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SecretText {
    pub(crate) name: String,
    pub(crate) uses: BTreeSet<SecretUse>,
    pub(crate) hosts: Vec<String>,
}

impl SecretText {
    /// What is not said is not narrowed, but for a secret that is for hosts: it is not for programs, unless they are
    /// named as well.
    pub(crate) fn new(name: String, uses: Option<BTreeSet<SecretUse>>, hosts: Vec<String>) -> Self {
        let uses = uses.unwrap_or_else(|| {
            if hosts.is_empty() {
                SecretRule::anywhere("").uses
            } else {
                SecretUse::OF_REQUESTS.into()
            }
        });
        Self { name, uses, hosts }
    }

    /// With the name and each host replaced by what `resolve` makes of it. A host that cannot be resolved must not
    /// leave an empty list, which would be any host.
    pub(crate) fn rule(
        &self,
        name: String,
        resolve: impl Fn(&str) -> Result<String, String>,
    ) -> Result<SecretRule, String> {
        let mut hosts = Vec::new();
        for host in &self.hosts {
            hosts.extend(parse_host(&resolve(host)?)?);
        }
        Ok(SecretRule {
            name,
            uses: self.uses.clone(),
            hosts,
        })
    }
}

/// The kinds of grants that are lists of names.
pub(crate) const NAME_KINDS: &[&str] = &[
    "programs",
    "sockets",
    "parameters",
    "environment",
    "documents",
    "signing",
];

/// The list of names of a kind within a grant.
pub(crate) fn names_mut<'a>(grant: &'a mut Grant, kind: &str) -> Option<&'a mut BTreeSet<String>> {
    Some(match kind {
        "programs" => &mut grant.programs,
        "sockets" => &mut grant.sockets,
        "parameters" => &mut grant.parameters,
        "environment" => &mut grant.environment,
        "documents" => &mut grant.documents,
        "signing" => &mut grant.signing,
        _ => return None,
    })
}

/// The same for reading.
pub(crate) fn names<'a>(grant: &'a Grant, kind: &str) -> Option<&'a BTreeSet<String>> {
    Some(match kind {
        "programs" => &grant.programs,
        "sockets" => &grant.sockets,
        "parameters" => &grant.parameters,
        "environment" => &grant.environment,
        "documents" => &grant.documents,
        "signing" => &grant.signing,
        _ => return None,
    })
}

impl GrantText {
    /// Replaces the templates. What cannot be replaced is left out and told.
    pub(crate) fn bind(&self, parameters: &BTreeMap<String, Value>) -> (Grant, Vec<String>) {
        let mut grant = Grant::default();
        let mut problems = Vec::new();
        for file in &self.files {
            match file.rule(parameters) {
                Ok(rule) => grant.files.push(rule),
                Err(problem) => problems.push(problem),
            }
        }
        for host in &self.hosts {
            match resolve(&host.url, parameters, Place::Host).and_then(|url| parse_host(&url)) {
                Ok(rules) => grant.hosts.extend(rules.into_iter().map(|rule| HostRule {
                    methods: host.methods.clone(),
                    private: host.private,
                    ..rule
                })),
                Err(problem) => problems.push(problem),
            }
        }
        for secret in &self.secrets {
            let rule = resolve(&secret.name, parameters, Place::Name)
                .and_then(|name| secret.rule(name, |host| resolve(host, parameters, Place::Host)));
            match rule {
                Ok(rule) => grant.secrets.push(rule),
                Err(problem) => problems.push(problem),
            }
        }
        for (kind, list) in &self.names {
            for name in list {
                match resolve(name, parameters, Place::Name) {
                    Ok(name) => {
                        if let Some(names) = names_mut(&mut grant, kind) {
                            names.insert(name);
                        }
                    }
                    Err(problem) => problems.push(problem),
                }
            }
        }
        (grant, problems)
    }
}

/// The words for access in a policy: a shorthand or a list of rights.
pub(crate) fn parse_access<'a>(
    words: impl IntoIterator<Item = &'a str>,
) -> Result<AccessSet, String> {
    use FileAccess::{Append, Create, Execute, List, Read, Remove, Replace, Write};
    let mut set = AccessSet::new();
    for word in words {
        match word {
            "read-only" => set.extend([Read, List]),
            "read-write" => set.extend([Read, List, Write, Create, Remove]),
            "read" => set.extend([Read]),
            "list" => set.extend([List]),
            "execute" => set.extend([Execute]),
            "write" => set.extend([Write]),
            "create" => set.extend([Create]),
            "remove" => set.extend([Remove]),
            "replace" => set.extend([Replace]),
            "append" => set.extend([Append]),
            other => {
                return Err(format!(
                    "`{other}` is no access; use read-only, read-write, read, list, execute, write, create, remove, replace or append"
                ));
            }
        }
    }
    Ok(set)
}

/// `https://example.com:8443/api/**`, `*.example.com`, `tcp://db:5432`, `*`. Without a scheme it is both HTTP and
/// HTTPS.
pub(crate) fn parse_host(text: &str) -> Result<Vec<HostRule>, String> {
    let bad = |why: &str| Err(format!("`{text}` is no host: {why}"));
    if text == "*" {
        return Ok(["http", "https", "tcp"]
            .map(|scheme| rule(scheme, "*".into(), None, None))
            .into());
    }
    let (schemes, rest): (Vec<&str>, &str) = match text.split_once("://") {
        Some(("http", rest)) => (vec!["http"], rest),
        Some(("https", rest)) => (vec!["https"], rest),
        Some(("tcp", rest)) => (vec!["tcp"], rest),
        Some(_) => return bad("the scheme is http, https or tcp"),
        None => (vec!["http", "https"], text),
    };
    let (authority, path) = match rest.find('/') {
        Some(at) => (&rest[..at], Some(&rest[at..])),
        None => (rest, None),
    };
    if authority.contains('@') {
        return bad("it names a user");
    }
    let (host, port) = if let Some(inner) = authority.strip_prefix('[') {
        let Some((host, rest)) = inner.split_once(']') else {
            return bad("the bracket is not closed");
        };
        (host, rest.strip_prefix(':'))
    } else {
        match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    let port = match port {
        None => None,
        Some(port) => match port.parse::<u16>() {
            Ok(port) if port > 0 => Some(port),
            _ => return bad("the port is a number from 1 to 65535"),
        },
    };
    let host = host.trim_end_matches('.').to_lowercase();
    let name = host.strip_prefix("*.").unwrap_or(&host);
    let good = name == "*"
        || name.parse::<std::net::IpAddr>().is_ok()
        || (!name.is_empty()
            && name.split('.').all(|label| {
                !label.is_empty()
                    && label
                        .chars()
                        .all(|c| c.is_alphanumeric() || c == '-' || c == '_')
            }));
    if !good {
        return bad("a host is a name, `*.` and a name, or an address");
    }
    let path = match path.map(|path| path.split(['?', '#']).next().unwrap_or(path)) {
        None | Some("/") => None,
        Some(path) => Some(path.to_owned()),
    };
    Ok(schemes
        .into_iter()
        .map(|scheme| {
            let port = port.or(match scheme {
                "http" => Some(80),
                "https" => Some(443),
                _ => None,
            });
            rule(scheme, host.clone(), port, path.clone())
        })
        .collect())
}

fn rule(scheme: &str, host: String, port: Option<u16>, path: Option<String>) -> HostRule {
    HostRule {
        scheme: scheme.into(),
        host,
        port,
        methods: BTreeSet::new(),
        path,
        private: false,
    }
}

/// `${inputs.sourceInfo.url}` and `${context.workDirectory}` in a manifest. None when an input is absent.
pub(crate) fn manifest_text(
    text: &str,
    inputs: &Value,
    directories: &StepDirectories,
) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        out.push_str(&rest[..start]);
        let end = rest[start..].find('}')?;
        let name = &rest[start + 2..start + end];
        match name {
            "context.workDirectory" => out.push_str(&directories.work),
            "context.downloadsDirectory" => out.push_str(&directories.downloads),
            "context.dataDirectory" => out.push_str(&directories.data),
            _ => out.push_str(&input(inputs, name.strip_prefix("inputs.")?)?),
        }
        rest = &rest[start + end + 1..];
    }
    out.push_str(rest);
    Some(out)
}

/// A value by dotted path, keys without regard to case; text on the way is read as JSON.
fn input(inputs: &Value, path: &str) -> Option<String> {
    let mut current = inputs.clone();
    for key in path.split('.') {
        if let Value::String(text) = &current {
            current = serde_json::from_str(text).ok()?;
        }
        let Value::Object(map) = current else {
            return None;
        };
        current = map
            .into_iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(key))?
            .1;
    }
    match current {
        Value::String(text) if !text.is_empty() => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
