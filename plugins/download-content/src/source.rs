//! What is downloaded, from the inputs.

use capstan_sdk::http::Authorization;
use capstan_sdk::{Failure, Value, input, serde_json};

/// `sourceInfo`, which is a mapping or JSON text of one.
pub(crate) fn info(inputs: &Value) -> Result<Value, Failure> {
    let value = match input(inputs, "sourceInfo") {
        Some(Value::String(text)) => serde_json::from_str(text)
            .map_err(|error| Failure::invalid(format!("sourceInfo is not JSON: {error}")))?,
        Some(value) => value.clone(),
        None => return Err(Failure::invalid("the step has no sourceInfo")),
    };
    if value.is_object() {
        Ok(value)
    } else {
        Err(Failure::invalid("sourceInfo is a mapping"))
    }
}

/// Plain HTTP is only for those who say so.
pub(crate) fn check_scheme(url: &str, allow_insecure: Option<&str>) -> Result<(), Failure> {
    if url.starts_with("https://") || (url.starts_with("http://") && allow_insecure == Some("true"))
    {
        return Ok(());
    }
    if url.starts_with("http://") {
        return Err(Failure::invalid(format!(
            "{url} is not encrypted; allowInsecureDownload: true allows it"
        )));
    }
    Err(Failure::invalid(format!("{url} is no http or https URL")))
}

/// The part of a URL or key after its last slash, without the query.
pub(crate) fn file_name(url: &str) -> Option<&str> {
    let path = url.split(['?', '#']).next()?;
    let path = path.split_once("://").map_or(path, |(_, rest)| {
        rest.split_once('/').map_or("", |(_, path)| path)
    });
    path.rsplit('/')
        .next()
        .filter(|name| !name.is_empty() && *name != "." && *name != "..")
}

/// The name of a parameter in `{{ssm-secure:NAME}}`.
pub(crate) fn secure(value: &str) -> Option<&str> {
    value
        .strip_prefix("{{")?
        .strip_suffix("}}")?
        .trim()
        .strip_prefix("ssm-secure:")
}

/// What of a repository is wanted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Revision {
    /// The branch that the server shows first.
    Default,
    Branch(String),
    Commit(String),
}

/// `getOptions`: `branch:NAME` or `commitID:HASH`.
pub(crate) fn revision(options: &str) -> Result<Revision, Failure> {
    let good = |name: &str| {
        !name.is_empty()
            && !name.starts_with('-')
            && !name.contains("..")
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._/-+@#".contains(c))
    };
    match options.split_once(':') {
        None if options.is_empty() => Ok(Revision::Default),
        Some(("branch", name)) if good(name) => Ok(Revision::Branch(name.to_owned())),
        Some(("commitID", hash))
            if hash.len() >= 4 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
        {
            Ok(Revision::Commit(hash.to_owned()))
        }
        _ => Err(Failure::invalid(format!(
            "getOptions is branch:NAME or commitID:HASH, and not `{options}`"
        ))),
    }
}

/// Passwords are taken from secure parameters only: whatever stands in a document can be read by many.
pub(crate) fn authorization(
    method: Option<String>,
    user: Option<String>,
    password: Option<String>,
) -> Result<Authorization, Failure> {
    match method.as_deref() {
        None | Some("None") => Ok(Authorization::None),
        Some(kind @ ("Basic" | "Digest")) => {
            let (Some(user), Some(password)) = (user, password) else {
                return Err(Failure::invalid(format!(
                    "authMethod {kind} needs a username and a password"
                )));
            };
            let name = secure(&password).ok_or_else(|| {
                Failure::invalid(
                    "the password is a reference to a SecureString: {{ssm-secure:NAME}}",
                )
            })?;
            let pair = (user, name.to_owned());
            Ok(if kind == "Basic" {
                Authorization::Basic(pair)
            } else {
                Authorization::Digest(pair)
            })
        }
        Some(other) => Err(Failure::invalid(format!(
            "there is no authMethod {other}; there are None, Basic and Digest"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::{Revision, file_name, revision, secure};

    #[test]
    fn names_come_from_the_end_of_a_path() {
        assert_eq!(file_name("https://x/a/b.tar.gz?x=/y"), Some("b.tar.gz"));
        assert_eq!(file_name("https://x/"), None);
        assert_eq!(file_name("https://x/a/.."), None);
        assert_eq!(secure("{{ ssm-secure:/a/b }}"), Some("/a/b"));
        assert_eq!(secure("plain"), None);
    }

    #[test]
    fn a_revision_is_a_branch_or_a_commit() {
        for (text, expected) in [
            ("", Some(Revision::Default)),
            (
                "branch:release/2",
                Some(Revision::Branch("release/2".into())),
            ),
            ("commitID:bbc1dd", Some(Revision::Commit("bbc1dd".into()))),
            ("branch:--upload-pack=x", None),
            ("commitID:HEAD", None),
            ("tag:v1", None),
            ("branch:", None),
        ] {
            assert_eq!(revision(text).ok(), expected, "{text}");
        }
    }
}
