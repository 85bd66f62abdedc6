//! `oci://HOST[:PORT]/REPOSITORY[:TAG|@sha256:DIGEST]`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use url::{Host, Url};

use crate::error::PluginError;

/// The scheme of references.
const SCHEME: &str = "oci://";

/// A place in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Host and port.
    pub(crate) host: String,
    pub(crate) repository: String,
    pub(crate) version: Version,
    loopback: bool,
}

/// What of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Version {
    /// What has no name in the reference.
    Unnamed,
    Tag(String),
    /// `sha256:…`
    Digest(String),
}

impl Reference {
    /// Whether a text is meant as one.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// Whether the registry is on this very machine.
    pub(crate) fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// The same place with a tag, unless it has one.
    pub(crate) fn or_tag(&self, tag: &str) -> Self {
        let version = match &self.version {
            Version::Unnamed => Version::Tag(tag.to_owned()),
            named => named.clone(),
        };
        Self {
            version,
            ..self.clone()
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.host, self.repository)?;
        match &self.version {
            Version::Unnamed => Ok(()),
            Version::Tag(tag) => write!(f, ":{tag}"),
            Version::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

/// Whether a text is `sha256:` and 64 digits.
pub(crate) fn is_digest(text: &str) -> bool {
    let digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.chars().all(digit))
}

impl FromStr for Reference {
    type Err = PluginError;

    fn from_str(text: &str) -> Result<Self, PluginError> {
        let malformed = |why: &str| {
            PluginError::Invalid(format!(
                "{text}: {why}; references are like oci://registry.example.com/ops/rotate-logs:1.2.0 or …@sha256:…"
            ))
        };
        let rest = text
            .strip_prefix(SCHEME)
            .ok_or_else(|| malformed("it does not begin with oci://"))?;
        let (host, path) = rest
            .split_once('/')
            .ok_or_else(|| malformed("there is no repository"))?;
        let url = Url::parse(&format!("https://{host}/"))
            .ok()
            .filter(|url| url.username().is_empty() && url.password().is_none())
            .ok_or_else(|| malformed("this is no host"))?;
        let loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
            Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
            None => false,
        };
        let (repository, version) = if let Some((repository, digest)) = path.split_once('@') {
            if !is_digest(digest) {
                return Err(malformed(
                    "the digest is not sha256: and 64 lower-case hexadecimal digits",
                ));
            }
            // A tag beside a digest says nothing more.
            let repository = repository.split(':').next().unwrap_or_default();
            (repository, Version::Digest(digest.to_owned()))
        } else if let Some((repository, tag)) = path.split_once(':') {
            let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
            if tag.is_empty()
                || tag.len() > 128
                || !tag.chars().all(word)
                || tag.starts_with(['.', '-'])
            {
                return Err(malformed("this is no tag"));
            }
            (repository, Version::Tag(tag.to_owned()))
        } else {
            (path, Version::Unnamed)
        };
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let proper = |part: &str| {
            part.starts_with(word)
                && part.ends_with(word)
                && part
                    .chars()
                    .all(|c| word(c) || matches!(c, '_' | '.' | '-'))
        };
        if !repository.split('/').all(proper) {
            return Err(malformed(
                "a repository is of lower-case letters, digits and, between them, `.`, `_`, `-` and `/`",
            ));
        }
        Ok(Self {
            host: host.to_owned(),
            repository: repository.to_owned(),
            version,
            loopback,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{Reference, Version};

    #[test]
    fn references_are_read_and_shown_alike() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for (text, loopback) in [
            (
                "oci://registry.example.com/ops/rotate-logs:1.2.0".to_owned(),
                false,
            ),
            ("oci://localhost:5000/a".to_owned(), true),
            ("oci://127.0.0.1:5000/a/b".to_owned(), true),
            (format!("oci://[::1]:5000/a@{digest}"), true),
            (format!("oci://localhost.example.com/a@{digest}"), false),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), text);
            assert_eq!(reference.is_loopback(), loopback, "{text}");
        }
        let both: Reference = format!("oci://h/a:1@{digest}").parse().unwrap();
        assert_eq!(both.version, Version::Digest(digest));
    }

    #[test]
    fn what_is_none_is_told() {
        for text in [
            "https://h/a",
            "oci://h",
            "oci:///a",
            "oci://u:p@h/a",
            "oci://h/",
            "oci://h/A",
            "oci://h/a/../b",
            "oci://h/a:",
            "oci://h/a:b/c",
            "oci://h/a@sha256:12",
            "oci://h/a?b",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
