//! Names of parameters: what a new one may be, and how one is referred to.

use crate::error::ApiError;
use crate::server::Config;

/// Characters of an ARN.
const LONGEST_ARN: usize = 1011;
/// Levels of a hierarchy.
const LEVELS: usize = 15;
/// References to secrets: their names have characters of their own.
const SECRETS: &str = "/aws/reference/secretsmanager/";

/// The ARN of a parameter.
pub(super) fn arn(name: &str, config: &Config) -> String {
    let slash = if name.starts_with('/') { "" } else { "/" };
    format!(
        "arn:aws:ssm:{}:{}:parameter{slash}{name}",
        config.region, config.account
    )
}

/// The level of the hierarchy that a parameter is on: `/a/b` of `/a/b/c`.
pub(super) fn parent(name: &str) -> &str {
    match name.rfind('/') {
        Some(at) if at > 0 => &name[..at],
        _ => "/",
    }
}

fn is_plain(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'/'))
}

/// The name of a parameter that is put, without the blanks around it.
pub(super) fn of_new(name: &str, config: &Config) -> Result<String, ApiError> {
    let invalid = |message: &str| Err(ApiError::validation(message));
    let name = name.trim();
    let inner = name.strip_prefix('/').unwrap_or(name);
    let lower = inner.to_ascii_lowercase();
    if lower.starts_with("aws") || lower.starts_with("ssm") {
        if !inner.contains('/') {
            return invalid(
                "Parameter name: can't be prefixed with \"aws\" or \"ssm\" (case-insensitive).",
            );
        }
        if lower.starts_with("aws") && name.starts_with('/') {
            return Err(ApiError::new(
                "AccessDeniedException",
                format!("No access to reserved parameter name: {name}."),
            ));
        }
    }
    if lower.starts_with("aws") || lower.starts_with("ssm") || !is_plain(name) || inner.is_empty() {
        return invalid(
            "Parameter name: can't be prefixed with \"ssm\" (case-insensitive). If formed as a path, it can consist of \
             sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the following \
             3 symbols .-_",
        );
    }
    if inner.contains('/') && !name.starts_with('/') {
        return invalid(
            "Parameter name must be a fully qualified name: one with levels begins with /.",
        );
    }
    if inner.split('/').any(str::is_empty) {
        return invalid(
            "Parameter name must not end with a slash, and no level of it may be empty.",
        );
    }
    if inner.split('/').count() > LEVELS {
        return Err(ApiError::new(
            "HierarchyLevelLimitExceededException",
            format!(
                "A parameter's hierarchy can have a maximum of {LEVELS} levels, its name among them."
            ),
        ));
    }
    let length = arn(name, config).len();
    if length > LONGEST_ARN {
        return Err(ApiError::validation(format!(
            "Parameter name is too long: its ARN would have {length} characters, and {LONGEST_ARN} are allowed."
        )));
    }
    Ok(name.to_owned())
}

/// Which version of a parameter is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Selector {
    Version(i64),
    Label(String),
}

/// A parameter as callers name it: `name`, `name:3`, `name:label`, or an ARN with any of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// What it may be: of `…:parameter/x` it cannot be told whether `x` or `/x` is meant. None for one that is
    /// elsewhere.
    pub(super) names: Vec<String>,
    /// None for the latest version.
    pub(super) selector: Option<Selector>,
}

impl Reference {
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    pub(super) fn parse(text: &str, config: &Config) -> Result<Self, ApiError> {
        let text = text.trim();
        let (mut names, rest) = match text.strip_prefix("arn:") {
            None => (Vec::new(), text),
            Some(rest) => {
                let parts: Vec<&str> = rest.splitn(5, ':').collect();
                let &[partition, "ssm", region, account, resource] = parts.as_slice() else {
                    return Err(malformed(text));
                };
                let Some(path) = resource.strip_prefix("parameter/") else {
                    return Err(malformed(text));
                };
                let here = region == config.region && account == config.account;
                if !partition.starts_with("aws") || !here {
                    return Ok(Self {
                        names: Vec::new(),
                        selector: None,
                    });
                }
                let name = path.split(':').next().unwrap_or_default();
                let plain = (!name.contains('/')).then(|| name.to_owned());
                (plain.into_iter().collect(), &resource["parameter".len()..])
            }
        };
        let mut parts = rest.split(':');
        let name = parts.next().unwrap_or_default();
        let selector = match (parts.next(), parts.next()) {
            (None, _) => None,
            (Some(selector), None) if !selector.is_empty() => Some(selector),
            _ => return Err(malformed(text)),
        };
        let plain = is_plain(name) && selector.is_none_or(is_plain);
        if matches!(name, "" | "/") || !(plain || name.starts_with(SECRETS) && !text.contains('\0'))
        {
            return Err(malformed(text));
        }
        names.push(name.to_owned());
        Ok(Self {
            names,
            selector: selector.map(|selector| match selector.parse() {
                Ok(version) => Selector::Version(version),
                Err(_) => Selector::Label(selector.to_owned()),
            }),
        })
    }

    /// The name of a parameter, for operations that take no version and no ARN.
    pub(super) fn name(text: &str) -> Result<String, ApiError> {
        let name = text.trim();
        if name.is_empty() || !is_plain(name) {
            return Err(malformed(name));
        }
        Ok(name.to_owned())
    }
}

fn malformed(name: &str) -> ApiError {
    ApiError::validation(format!(
        "Invalid parameter name {name:?}. Please use correct syntax for referencing a version/label <name>:<version/label>, \
         with letters, numbers and the symbols .-_/ in the name."
    ))
}

/// A level of the hierarchy as `GetParametersByPath` and the filter `Path` name it, without the slash at its end.
pub(super) fn of_path(path: &str) -> Result<&str, ApiError> {
    let path = path.trim();
    if !path.starts_with('/') || path.contains("//") || !is_plain(path) {
        return Err(ApiError::validation(
            "The parameter doesn't meet the parameter name requirements. The parameter name must begin with a forward \
             slash \"/\". It can't be prefixed with \"aws\" or \"ssm\" (case-insensitive). It must use only letters, \
             numbers, or the following symbols: . (period), - (hyphen), _ (underscore). Special characters are not \
             allowed. All sub-paths, if specified, must use the forward slash symbol \"/\". Valid example: \
             /get/parameters2-/by1./path0_.",
        ));
    }
    Ok(match path.trim_end_matches('/') {
        "" => "/",
        path => path,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{Reference, Selector, arn, of_new, of_path, parent};
    use crate::server::Config;

    #[test]
    fn what_a_new_parameter_may_be_called() {
        let config = Config::default();
        let deep = |levels: usize| "/l".repeat(levels);
        let long = |length: usize| "x".repeat(length - arn("", &config).len());
        for (name, expected) in [
            ("a", Ok("a")),
            (" /a/b.c/d-e_F9 ", Ok("/a/b.c/d-e_F9")),
            ("/dev/ssm", Ok("/dev/ssm")),
            ("my-aws", Ok("my-aws")),
            (&deep(15), Ok(deep(15).as_str())),
            (&deep(16), Err("HierarchyLevelLimitExceededException")),
            (&long(1011), Ok(long(1011).as_str())),
            (&long(1012), Err("ValidationException")),
            ("/aws/x", Err("AccessDeniedException")),
            ("/AWS/x/y", Err("AccessDeniedException")),
            ("aws", Err("ValidationException")),
            ("AwsThing", Err("ValidationException")),
            ("/ssm", Err("ValidationException")),
            ("/SSM/x", Err("ValidationException")),
            ("aws/x", Err("ValidationException")),
            ("a/b", Err("ValidationException")),
            ("/a//b", Err("ValidationException")),
            ("//a", Err("ValidationException")),
            ("/a/", Err("ValidationException")),
            ("/", Err("ValidationException")),
            ("", Err("ValidationException")),
            ("   ", Err("ValidationException")),
            ("a b", Err("ValidationException")),
            ("a:1", Err("ValidationException")),
            ("ä", Err("ValidationException")),
            ("a\0", Err("ValidationException")),
            (
                "arn:aws:ssm:us-east-1:000000000000:parameter/a",
                Err("ValidationException"),
            ),
        ] {
            let named = of_new(name, &config);
            let named = named.as_deref().map_err(|error| error.code.as_ref());
            assert_eq!(named, expected, "{name}");
        }
    }

    #[test]
    fn references_have_names_and_selectors() {
        let config = Config::default();
        let version = |number| Some(Selector::Version(number));
        let label = |text: &str| Some(Selector::Label(text.to_owned()));
        let arn = "arn:aws:ssm:us-east-1:000000000000:parameter";
        for (text, names, selector) in [
            ("a", vec!["a"], None),
            (" /a/b:3 ", vec!["/a/b"], version(3)),
            ("/a/b:prod.1", vec!["/a/b"], label("prod.1")),
            (&format!("{arn}/a"), vec!["a", "/a"], None),
            (&format!("{arn}/a:2"), vec!["a", "/a"], version(2)),
            (&format!("{arn}/a/b:x"), vec!["/a/b"], label("x")),
            (
                "arn:aws:ssm:eu-west-1:000000000000:parameter/a",
                vec![],
                None,
            ),
            (
                "arn:aws:ssm:us-east-1:111111111111:parameter/a",
                vec![],
                None,
            ),
            (
                "/aws/reference/secretsmanager/a+b@c:AWSCURRENT",
                vec!["/aws/reference/secretsmanager/a+b@c"],
                label("AWSCURRENT"),
            ),
        ] {
            let names = names.into_iter().map(str::to_owned).collect();
            assert_eq!(
                Reference::parse(text, &config).unwrap(),
                Reference { names, selector },
                "{text}"
            );
        }
        for text in [
            "",
            " ",
            ":1",
            "a:",
            "a:1:2",
            "a b",
            "{{a}}",
            "a\0",
            "a:ä",
            "arn:aws:ssm:us-east-1:000000000000:document/a",
            "arn:aws:sns:us-east-1:000000000000:parameter/a",
            "arn:aws",
            "arn:aws:ssm:us-east-1:000000000000:parameter/",
        ] {
            let error = Reference::parse(text, &config).unwrap_err();
            assert_eq!(error.code, "ValidationException", "{text}");
        }
    }

    #[test]
    fn levels_of_the_hierarchy() {
        for (name, expected) in [("a", "/"), ("/a", "/"), ("/a/b", "/a"), ("/a/b/c", "/a/b")] {
            assert_eq!(parent(name), expected);
        }
        for (path, expected) in [
            ("/", "/"),
            ("/a", "/a"),
            (" /a/b/ ", "/a/b"),
            ("/aws/service", "/aws/service"),
        ] {
            assert_eq!(of_path(path).unwrap(), expected);
        }
        for path in ["", "a", "a/b", "//", "/a//b", "/a b", "/a:1", "/ä"] {
            assert_eq!(
                of_path(path).unwrap_err().code,
                "ValidationException",
                "{path}"
            );
        }
    }
}
