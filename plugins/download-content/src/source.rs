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

/// An object of S3.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) bucket: String,
    pub(crate) key: String,
}

/// The bucket and key of an S3 URL, virtual-hosted or path style.
pub(crate) fn s3(url: &str) -> Result<Object, Failure> {
    let bad = || Failure::invalid(format!("{url} is no https URL of an object in S3"));
    let rest = url.strip_prefix("https://").ok_or_else(bad)?;
    let (host, path) = rest.split_once('/').ok_or_else(bad)?;
    let is_s3 = |host: &str| {
        (host.starts_with("s3.") || host.starts_with("s3-"))
            && (host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn"))
    };
    let (bucket, key) = if is_s3(host) {
        path.split_once('/').ok_or_else(bad)?
    } else {
        let at = host
            .find(".s3.")
            .or_else(|| host.find(".s3-"))
            .ok_or_else(bad)?;
        if !is_s3(&host[at + 1..]) {
            return Err(bad());
        }
        (&host[..at], path)
    };
    if bucket.is_empty() || key.is_empty() {
        return Err(bad());
    }
    Ok(Object {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
    })
}

/// The name of a parameter in `{{ssm-secure:NAME}}`.
fn secure(value: &str) -> Option<&str> {
    value
        .strip_prefix("{{")?
        .strip_suffix("}}")?
        .trim()
        .strip_prefix("ssm-secure:")
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
    use super::{Object, file_name, s3, secure};

    #[test]
    fn s3_urls_name_a_bucket_and_a_key() {
        let object = |bucket: &str, key: &str| {
            Some(Object {
                bucket: bucket.into(),
                key: key.into(),
            })
        };
        for (url, expected) in [
            (
                "https://b.s3.amazonaws.com/releases/1/app.tar.gz",
                object("b", "releases/1/app.tar.gz"),
            ),
            (
                "https://b.c.s3.eu-central-1.amazonaws.com/k",
                object("b.c", "k"),
            ),
            ("https://b.s3-eu-west-1.amazonaws.com/k", object("b", "k")),
            (
                "https://s3.eu-west-1.amazonaws.com/b/k/l",
                object("b", "k/l"),
            ),
            ("https://s3.amazonaws.com/b", None),
            ("https://example.com/b/k", None),
            ("https://b.s3.evil.com/k", None),
            ("http://b.s3.amazonaws.com/k", None),
        ] {
            assert_eq!(s3(url).ok(), expected, "{url}");
        }
    }

    #[test]
    fn names_come_from_the_end_of_a_path() {
        assert_eq!(file_name("https://x/a/b.tar.gz?x=/y"), Some("b.tar.gz"));
        assert_eq!(file_name("https://x/"), None);
        assert_eq!(file_name("https://x/a/.."), None);
        assert_eq!(secure("{{ ssm-secure:/a/b }}"), Some("/a/b"));
        assert_eq!(secure("plain"), None);
    }
}
