//! Data types: what a value has to look like.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::de::IgnoredAny;

use super::record::Kind;
use crate::error::ApiError;

/// The type of values that may be anything.
pub(super) const TEXT: &str = "text";

/// Types whose values may hold commas, so that they are looked at as a whole in a list too.
const WHOLE: [&str; 2] = ["json", "jsonc"];

/// Refuses a type that there is none of.
pub(super) fn known(data_type: &str) -> Result<(), ApiError> {
    match data_type {
        TEXT
        | "aws:ec2:image"
        | "aws:ssm:integration"
        | "aws:region"
        | "aws:account:id"
        | "boolean"
        | "integer"
        | "float"
        | "binary"
        | "hostname"
        | "email"
        | "ipv4-address"
        | "ipv6-address"
        | "url"
        | "json"
        | "jsonc" => Ok(()),
        other => Err(ApiError::validation(format!(
            "The following data type is not supported: {other} (Data type names are all lowercase.)"
        ))),
    }
}

/// Refuses a value that is not of its type; in a list each of its items has to be. The message does not repeat the
/// value, which may be a secret.
pub(super) fn check(data_type: &str, kind: Kind, value: &str) -> Result<(), ApiError> {
    if data_type == "aws:ec2:image" && kind != Kind::String {
        return Err(ApiError::validation(
            "The data type aws:ec2:image is for parameters of the type String alone.",
        ));
    }
    let fits = if kind == Kind::StringList && !WHOLE.contains(&data_type) {
        value.split(',').all(|item| fits(data_type, item))
    } else {
        fits(data_type, value)
    };
    if fits {
        return Ok(());
    }
    Err(ApiError::validation(format!(
        "The parameter's value does not have the form of the data type {data_type}."
    )))
}

fn fits(data_type: &str, value: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match data_type {
        "aws:ec2:image" => value.strip_prefix("ami-").is_some_and(|id| {
            matches!(id.len(), 8..=17) && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
        }),
        "aws:region" => {
            let parts: Vec<&str> = value.split('-').collect();
            let word =
                |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase());
            parts.len() >= 3
                && parts.split_last().is_some_and(|(number, words)| {
                    digits(number) && words.iter().all(|part| word(part))
                })
        }
        "aws:account:id" => value.len() == 12 && digits(value),
        "boolean" => value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false"),
        "integer" => digits(value.strip_prefix(['+', '-']).unwrap_or(value)),
        // Rust also takes `inf` and `nan`.
        "float" => {
            value
                .bytes()
                .all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'))
                && value.parse::<f64>().is_ok_and(f64::is_finite)
        }
        "hostname" => is_hostname(value),
        "email" => value.rsplit_once('@').is_some_and(|(local, domain)| {
            !local.is_empty()
                && local.len() <= 64
                && !local.contains(|c: char| c.is_whitespace() || c.is_control() || c == '@')
                && is_hostname(domain)
        }),
        "ipv4-address" => value.parse::<Ipv4Addr>().is_ok(),
        "ipv6-address" => value.parse::<Ipv6Addr>().is_ok(),
        "url" => value.parse::<http::Uri>().is_ok_and(|uri| {
            uri.scheme().is_some() && uri.host().is_some_and(|host| !host.is_empty())
        }),
        "json" => serde_json::from_str::<IgnoredAny>(value).is_ok(),
        "jsonc" => serde_json::from_str::<IgnoredAny>(&without_comments(value)).is_ok(),
        // What these look like is nowhere told.
        _ => true,
    }
}

/// RFC 1123.
fn is_hostname(value: &str) -> bool {
    value.len() <= 253
        && value.split('.').all(|label| {
            matches!(label.len(), 1..=63)
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

/// JSON of JSON with comments: those become blanks, and a comma before a closing bracket goes.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // Where a comma stands that nothing has followed yet.
    let mut comma = None;
    let mut before = '[';
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let length = match next {
            '"' => string_length(rest),
            '/' if rest.starts_with("//") => {
                rest = rest.find('\n').map_or("", |end| &rest[end..]);
                continue;
            }
            '/' if rest.starts_with("/*") => match rest[2..].find("*/") {
                Some(end) => {
                    rest = &rest[end + 4..];
                    out.push(' ');
                    continue;
                }
                // One that has no end is no JSON: the slash stays.
                None => 1,
            },
            _ => next.len_utf8(),
        };
        if matches!(next, ']' | '}')
            && let Some(at) = comma
        {
            out.replace_range(at..=at, " ");
        }
        if !next.is_whitespace() {
            comma = (next == ',' && !matches!(before, '[' | '{' | ',')).then_some(out.len());
            before = next;
        }
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out
}

/// How long the string at the beginning is, with its quotes.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::{check, known};
    use crate::parameters::record::Kind;

    #[test]
    fn values_have_the_form_of_their_types() {
        let long = format!("{}.com", "a".repeat(64));
        for (data_type, good, bad) in [
            ("text", vec!["", "anything"], vec![]),
            (
                "aws:ec2:image",
                vec!["ami-12345abcdeEXAMPLE", "ami-01234567"],
                vec!["ami-", "ami-1", "i-01234567", "ami-0123456-"],
            ),
            (
                "aws:region",
                vec!["us-east-1", "us-gov-west-1"],
                vec!["useast1", "us-1", "us-east-", "US-EAST-1", "us--1"],
            ),
            (
                "aws:account:id",
                vec!["123456789012"],
                vec!["12345678901", "12345678901a"],
            ),
            (
                "boolean",
                vec!["true", "false", "True"],
                vec!["yes", "1", ""],
            ),
            (
                "integer",
                vec!["0", "-12", "+7", "99999999999999999999999"],
                vec!["", "-", "1.0", "1e3", " 1", "0x1"],
            ),
            (
                "float",
                vec!["0", "-1.5", ".5", "1e-9", "3."],
                vec!["", "inf", "NaN", "1,5", "1e999", "."],
            ),
            (
                "hostname",
                vec!["a", "web-1.example.com"],
                vec!["", "-a", "a-", "a..b", "a_b", &long],
            ),
            (
                "email",
                vec!["a.b+c@example.com"],
                vec!["a", "@example.com", "a@", "a b@c", "a@b@c"],
            ),
            (
                "ipv4-address",
                vec!["10.0.0.1"],
                vec!["10.0.0", "10.0.0.256", "::1", "10.0.0.1/8"],
            ),
            (
                "ipv6-address",
                vec!["::1", "2001:db8::ff00:42:8329"],
                vec!["10.0.0.1", "::g", "1:2"],
            ),
            (
                "url",
                vec!["https://example.com/a?b=c", "ftp://h:21"],
                vec!["example.com", "/a", "http://", "a b"],
            ),
            (
                "json",
                vec!["{\"a\": [1, null]}", "3"],
                vec!["{", "{'a': 1}", "", "[1,]", "{} // no"],
            ),
            (
                "jsonc",
                vec![
                    "{} // yes",
                    "/* a */ {\"a//b\": [1, /* x */ 2,], \"c\\\"//\": 1,\n}",
                ],
                vec!["{", "[1 2]", "{} /* open", "[,]", "// only"],
            ),
        ] {
            assert_eq!(known(data_type).map_err(|error| error.message), Ok(()));
            for value in good {
                assert!(
                    check(data_type, Kind::String, value).is_ok(),
                    "{data_type}: {value}"
                );
            }
            for value in bad {
                let refused = check(data_type, Kind::String, value);
                assert!(
                    refused.is_err_and(|error| error.code == "ValidationException"),
                    "{data_type}: {value}"
                );
            }
        }
        assert!(known("Integer").is_err());
    }

    #[test]
    fn lists_have_items_of_their_type() {
        assert!(check("integer", Kind::StringList, "1,2,3").is_ok());
        assert!(check("integer", Kind::StringList, "1,two").is_err());
        assert!(check("json", Kind::StringList, "[1,2]").is_ok());
        assert!(check("aws:ec2:image", Kind::SecureString, "ami-01234567").is_err());
    }
}
