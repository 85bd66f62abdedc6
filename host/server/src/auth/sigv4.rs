//! Signature Version 4, from the side that verifies: the header form and the presigned form.
//!
//! The rules are AWS's ("Signature Version 4 for API requests"); the texts of the errors are those that clients know.

use http::HeaderMap;
use http::request::Parts;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ring::hmac;
use sha2::{Digest as _, Sha256};

use crate::error::ApiError;

/// The one algorithm.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How far a client's clock may be off, and how long a signature can be used again: seconds.
const SKEW: i64 = 300;
/// The longest life of a presigned request, in seconds: seven days.
const LONGEST_LIFE: i64 = 604_800;
/// How times are written.
const TIME: &str = "%Y%m%dT%H%M%SZ";
/// RFC 3986's unreserved characters stay, all others are encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A signed request, before its signature was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signed {
    /// The id of the key, which is a node's id where a node signs with its own key.
    pub(crate) key_id: String,
    /// The service that it is for.
    pub(crate) service: String,
    /// The session's token.
    pub(crate) token: Option<String>,
    date: String,
    region: String,
    string_to_sign: String,
    signature: String,
}

/// The parts of the credential and what goes with it, from either form.
struct Claims {
    credential: String,
    headers: String,
    signature: String,
    time: String,
    /// Seconds that it is good for; presigned requests alone say it.
    life: Option<i64>,
    token: Option<String>,
}

fn incomplete(message: String) -> ApiError {
    ApiError::new("IncompleteSignatureException", message)
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidSignatureException", message)
}

impl Signed {
    /// Takes a request's signature apart and checks all of it but the signature itself: form, scope, time, and that
    /// what must be signed is.
    ///
    /// # Errors
    /// AWS's, as they are told to clients.
    pub(crate) fn of(parts: &Parts, body: &[u8], now: Timestamp) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        let presigned = query.contains("X-Amz-Algorithm=");
        let claims = if presigned {
            of_query(query)?
        } else {
            of_headers(&parts.headers)?
        };
        let scope: Vec<&str> = claims.credential.rsplitn(5, '/').collect();
        let [terminator, service, region, date, key_id] = scope[..] else {
            return Err(incomplete(format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{}'",
                claims.credential
            )));
        };
        if terminator != "aws4_request" {
            return Err(invalid(format!(
                "Credential should be scoped with a valid terminator: 'aws4_request', not '{terminator}'."
            )));
        }
        check_time(&claims, date, now)?;
        let names: Vec<&str> = claims.headers.split(';').collect();
        check_signed_headers(&names, &parts.headers, presigned)?;
        let payload = payload_hash(&parts.headers, body)?;
        let canonical = canonical_request(parts, query, &names, &claims.headers, &payload);
        Ok(Self {
            string_to_sign: format!(
                "{ALGORITHM}\n{}\n{date}/{region}/{service}/aws4_request\n{}",
                claims.time,
                hex(&Sha256::digest(canonical.as_bytes()))
            ),
            key_id: key_id.to_owned(),
            service: service.to_owned(),
            date: date.to_owned(),
            region: region.to_owned(),
            token: claims.token,
            signature: claims.signature,
        })
    }

    /// Whether it was signed with this secret.
    ///
    /// # Errors
    /// When it was not.
    pub(crate) fn verify(&self, secret: &str) -> Result<(), ApiError> {
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, format!("AWS4{secret}").as_bytes());
        for part in [
            self.date.as_str(),
            &self.region,
            &self.service,
            "aws4_request",
        ] {
            let derived = hmac::sign(&key, part.as_bytes());
            key = hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref());
        }
        let signature = of_hex(&self.signature).ok_or_else(mismatch)?;
        // In constant time.
        hmac::verify(&key, self.string_to_sign.as_bytes(), &signature).map_err(|_| mismatch())
    }

    /// What a node signs with its own key in the place of a secret, and its signature.
    pub(crate) fn by_node_key(&self) -> (&str, &str) {
        (&self.string_to_sign, &self.signature)
    }
}

/// The signature is another than the secret gives.
pub(crate) fn mismatch() -> ApiError {
    invalid(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access \
         Key and signing method. Consult the service documentation for details.",
    )
}

fn of_headers(headers: &HeaderMap) -> Result<Claims, ApiError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let authorization = text("authorization").ok_or_else(|| {
        ApiError::new(
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
        )
    })?;
    let rest = authorization.strip_prefix(ALGORITHM).ok_or_else(|| {
        incomplete(format!(
            "Authorization header requires the algorithm '{ALGORITHM}'."
        ))
    })?;
    let (mut credential, mut signed, mut signature) = (None, None, None);
    for part in rest.split(',') {
        match part.trim().split_once('=') {
            Some(("Credential", value)) => credential = Some(value),
            Some(("SignedHeaders", value)) => signed = Some(value),
            Some(("Signature", value)) => signature = Some(value),
            _ => {}
        }
    }
    let part = |value: Option<&str>, name: &str| {
        value
            .map(str::to_owned)
            .ok_or_else(|| incomplete(format!("Authorization header requires '{name}' parameter.")))
    };
    let time = text("x-amz-date").ok_or_else(|| {
        incomplete(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
                .to_owned(),
        )
    })?;
    Ok(Claims {
        credential: part(credential, "Credential")?,
        headers: part(signed, "SignedHeaders")?,
        signature: part(signature, "Signature")?,
        time: time.to_owned(),
        life: None,
        token: text("x-amz-security-token").map(str::to_owned),
    })
}

fn of_query(query: &str) -> Result<Claims, ApiError> {
    let find = |name: &str| {
        pairs(query)
            .find(|(key, _)| *key == name)
            .map(|(_, value)| percent_decode_str(value).decode_utf8_lossy().into_owned())
    };
    let part = |name: &str| {
        find(name).ok_or_else(|| {
            incomplete(format!(
                "AWS query-string parameters must include '{name}'."
            ))
        })
    };
    let algorithm = part("X-Amz-Algorithm")?;
    if algorithm != ALGORITHM {
        return Err(incomplete(format!(
            "Unsupported AWS 'algorithm': '{algorithm}', it must be '{ALGORITHM}'."
        )));
    }
    let life = part("X-Amz-Expires")?;
    let life = life
        .parse()
        .ok()
        .filter(|life| (1..=LONGEST_LIFE).contains(life))
        .ok_or_else(|| {
            incomplete(format!(
                "X-Amz-Expires must be a number of seconds from 1 to {LONGEST_LIFE}, not '{life}'."
            ))
        })?;
    Ok(Claims {
        credential: part("X-Amz-Credential")?,
        headers: part("X-Amz-SignedHeaders")?,
        signature: part("X-Amz-Signature")?,
        time: part("X-Amz-Date")?,
        life: Some(life),
        token: find("X-Amz-Security-Token"),
    })
}

fn check_time(claims: &Claims, date: &str, now: Timestamp) -> Result<(), ApiError> {
    let time = DateTime::strptime(TIME, &claims.time)
        .ok()
        .and_then(|time| time.to_zoned(TimeZone::UTC).ok())
        .map(|time| time.timestamp())
        .ok_or_else(|| {
            incomplete(format!(
                "Date must be in ISO-8601 'basic format'. Got '{}'. See http://en.wikipedia.org/wiki/ISO_8601",
                claims.time
            ))
        })?;
    if claims.time.get(..8) != Some(date) {
        return Err(invalid(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{date}' != '{}'.",
            claims.time.get(..8).unwrap_or_default()
        )));
    }
    let clock = |seconds: i64| {
        Timestamp::from_second(seconds)
            .map_or_else(|_| String::new(), |time| time.strftime(TIME).to_string())
    };
    let (signed, now) = (time.as_second(), now.as_second());
    if signed > now + SKEW {
        return Err(invalid(format!(
            "Signature not yet current: {} is still later than {} ({} + 5 min.)",
            claims.time,
            clock(now + SKEW),
            clock(now)
        )));
    }
    let end = signed + claims.life.unwrap_or(SKEW);
    if end < now {
        return Err(invalid(match claims.life {
            Some(_) => format!(
                "Signature expired: {} is now earlier than {}",
                clock(end),
                clock(now)
            ),
            None => format!(
                "Signature expired: {} is now earlier than {} ({} - 5 min.)",
                claims.time,
                clock(now - SKEW),
                clock(now)
            ),
        }));
    }
    Ok(())
}

/// The host and all of AWS's own headers have to be signed, so that no one on the way can turn a request into another.
fn check_signed_headers(
    names: &[&str],
    headers: &HeaderMap,
    presigned: bool,
) -> Result<(), ApiError> {
    let ours = headers
        .keys()
        .map(http::HeaderName::as_str)
        .filter(|name| name.starts_with("x-amz-"));
    for name in std::iter::once("host").chain(ours) {
        if !names.contains(&name) {
            return Err(invalid(format!(
                "'{name}' must be a 'SignedHeader' in the AWS Authorization."
            )));
        }
    }
    if !presigned && !names.contains(&"x-amz-date") {
        return Err(invalid(
            "'x-amz-date' must be a 'SignedHeader' in the AWS Authorization.",
        ));
    }
    Ok(())
}

/// The hash of the body; what the client says of it has to be so.
fn payload_hash(headers: &HeaderMap, body: &[u8]) -> Result<String, ApiError> {
    let hash = hex(&Sha256::digest(body));
    match headers.get("x-amz-content-sha256") {
        Some(said) if said.as_bytes() != hash.as_bytes() => Err(invalid(
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )),
        _ => Ok(hash),
    }
}

fn canonical_request(
    parts: &Parts,
    query: &str,
    names: &[&str],
    signed: &str,
    payload: &str,
) -> String {
    let path = parts
        .uri
        .path()
        .split('/')
        .map(|segment| utf8_percent_encode(segment, ENCODED).to_string())
        .collect::<Vec<_>>()
        .join("/");
    let mut arguments: Vec<(String, String)> = pairs(query)
        .filter(|(name, _)| *name != "X-Amz-Signature")
        .map(|(name, value)| (canonical(name), canonical(value)))
        .collect();
    arguments.sort();
    let arguments: Vec<String> = arguments
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let mut text = format!("{}\n{path}\n{}\n", parts.method, arguments.join("&"));
    for name in names {
        text.push_str(name);
        text.push(':');
        let mut first = true;
        for value in parts.headers.get_all(*name) {
            if !std::mem::take(&mut first) {
                text.push(',');
            }
            let value = String::from_utf8_lossy(value.as_bytes());
            // Runs of spaces count as one.
            let mut words = value.split(' ').filter(|word| !word.is_empty());
            text.extend(words.next());
            for word in words {
                text.push(' ');
                text.push_str(word);
            }
        }
        text.push('\n');
    }
    text.push('\n');
    text.push_str(signed);
    text.push('\n');
    text.push_str(payload);
    text
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// A part of a query as it is signed, whatever the client left unencoded.
fn canonical(part: &str) -> String {
    let bytes: Vec<u8> = percent_decode_str(part).collect();
    percent_encoding::percent_encode(&bytes, ENCODED).to_string()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn of_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use http::Request;
    use jiff::Timestamp;

    use super::Signed;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    /// `get-vanilla` of AWS's own test suite, with its published signature.
    fn vanilla() -> http::request::Parts {
        Request::get("/")
            .header("host", "example.amazonaws.com")
            .header("x-amz-date", "20150830T123600Z")
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders=host;x-amz-date, \
                 Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            )
            .body(())
            .unwrap()
            .into_parts()
            .0
    }

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[test]
    fn a_published_signature_is_good_for_its_secret_and_five_minutes() {
        let signed = Signed::of(&vanilla(), b"", at("2015-08-30T12:40:00Z")).unwrap();
        assert_eq!(
            (signed.key_id.as_str(), signed.service.as_str()),
            ("AKIDEXAMPLE", "service")
        );
        signed.verify(SECRET).unwrap();
        assert_eq!(
            signed.verify("other").unwrap_err().code,
            "InvalidSignatureException"
        );
        for (time, expected) in [
            (
                "2015-08-30T12:41:01Z",
                "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)",
            ),
            (
                "2015-08-30T12:30:59Z",
                "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T123059Z + 5 min.)",
            ),
        ] {
            assert_eq!(
                Signed::of(&vanilla(), b"", at(time)).unwrap_err().message,
                expected
            );
        }
    }

    #[test]
    fn what_is_changed_on_the_way_is_noticed() {
        let now = at("2015-08-30T12:36:00Z");
        let body = Signed::of(&vanilla(), b"{}", now).unwrap();
        assert_eq!(
            body.verify(SECRET).unwrap_err().code,
            "InvalidSignatureException"
        );
        let mut parts = vanilla();
        parts
            .headers
            .insert("x-amz-target", "AmazonSSM.SendCommand".parse().unwrap());
        let error = Signed::of(&parts, b"", now).unwrap_err();
        assert!(
            error
                .message
                .starts_with("'x-amz-target' must be a 'SignedHeader'"),
            "{error}"
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let now = at("2015-08-30T12:36:00Z");
        for (authorization, code, expected) in [
            (
                None,
                "MissingAuthenticationTokenException",
                "Missing Authentication Token",
            ),
            (
                Some("Basic abc"),
                "IncompleteSignatureException",
                "algorithm",
            ),
            (
                Some("AWS4-HMAC-SHA256 SignedHeaders=host, Signature=00"),
                "IncompleteSignatureException",
                "'Credential'",
            ),
            (
                Some("AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=00"),
                "IncompleteSignatureException",
                "slash-delimited",
            ),
            (
                Some(
                    "AWS4-HMAC-SHA256 Credential=a/20150830/r/s/aws3, SignedHeaders=host;x-amz-date, Signature=00",
                ),
                "InvalidSignatureException",
                "terminator",
            ),
            (
                Some(
                    "AWS4-HMAC-SHA256 Credential=a/20150831/r/s/aws4_request, SignedHeaders=host;x-amz-date, Signature=00",
                ),
                "InvalidSignatureException",
                "'20150831' != '20150830'",
            ),
        ] {
            let mut parts = vanilla();
            match authorization {
                Some(text) => parts.headers.insert("authorization", text.parse().unwrap()),
                None => parts.headers.remove("authorization"),
            };
            let error = Signed::of(&parts, b"", now).unwrap_err();
            assert_eq!(error.code, code);
            assert!(error.message.contains(expected), "{error}");
        }
    }
}
