//! What is downloaded, from the inputs.

use capstan_sdk::http::Authorization;
use capstan_sdk::{Failure, Value, input, secrets, serde_json};

/// `sourceInfo`, which is a mapping or JSON text of one.
pub(crate) fn info(inputs: &Value) -> Result<Value, Failure> {
    let value = match input(inputs, "sourceInfo") {
        Some(Value::String(text)) => serde_json::from_str(text)
            .map_err(|error| Failure::invalid(format!("sourceInfo is not JSON: {error}")))?,
        Some(value) => value.clone(),
        None => return Err(Failure::invalid("the step has no sourceInfo")),
    };
    let Value::Object(map) = &value else {
        return Err(Failure::invalid("sourceInfo is a mapping"));
    };
    // A value that is passed over may be the one that was to protect the download.
    match map
        .iter()
        .find(|(_, value)| value.is_array() || value.is_object())
    {
        Some((key, _)) => Err(Failure::invalid(format!(
            "{key} in sourceInfo is a text, and not a list or mapping"
        ))),
        None => Ok(value),
    }
}

/// The SHA-256 that the content is to have, which some write as `checksum`.
pub(crate) fn sha256(
    sha256: Option<String>,
    checksum: Option<String>,
) -> Result<Option<String>, Failure> {
    let Some(given) = sha256.or(checksum) else {
        return Ok(None);
    };
    let digits = given.strip_prefix("sha256:").unwrap_or(&given);
    if digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(Some(digits.to_owned()))
    } else {
        Err(Failure::invalid(format!(
            "`{given}` is no SHA-256: it has 64 hexadecimal digits"
        )))
    }
}

/// Refuses a sum that nothing would be compared with.
pub(crate) fn no_sum(sha256: Option<&str>, what: &str) -> Result<(), Failure> {
    match sha256 {
        Some(_) => Err(Failure::invalid(format!(
            "sha256 is for one file, and this is {what}"
        ))),
        None => Ok(()),
    }
}

/// As a part of a URL's path or query.
pub(crate) fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
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
            // The host puts the value in the place of a placeholder.
            let user = match secure(&user) {
                Some(name) => secrets::get(name)?,
                None => user,
            };
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
    use super::{Revision, file_name, info, percent_encoded, revision, secure, sha256};
    use capstan_sdk::json;

    #[test]
    fn nothing_in_the_source_is_passed_over() {
        assert!(info(&json!({ "sourceInfo": { "url": "u", "sha256": ["a"] } })).is_err());
        assert!(info(&json!({ "sourceInfo": "{\"url\": {}}" })).is_err());
        assert!(info(&json!({ "sourceInfo": { "url": "u", "allow": true } })).is_ok());
        let sum = "ab".repeat(32);
        assert_eq!(sha256(Some(sum.clone()), None).unwrap(), Some(sum.clone()));
        let prefixed = format!("sha256:{sum}");
        assert_eq!(sha256(None, Some(prefixed)).unwrap(), Some(sum));
        assert!(sha256(None, Some("d41d8cd98f00b204e9800998ecf8427e".into())).is_err());
    }

    #[test]
    fn odd_names_of_branches_stay_one_value() {
        assert_eq!(percent_encoded("fix#1+x/y"), "fix%231%2Bx/y");
    }

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
