//! Objects of S3, and of servers that speak its protocol. The host signs, with the node's credentials, which the
//! component never sees; without credentials, or without leave to use them, requests go out unsigned, as public
//! buckets allow.

use std::cell::{Cell, RefCell};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use quick_xml::Reader;
use quick_xml::events::Event;

use crate::download::{self, Part};
use crate::http::{self, Authorization, Request, Response};
use crate::{Error, Failure};

/// What of a key stays as it is in a URL.
const KEY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');
/// The same in a query.
const QUERY: &AsciiSet = &KEY.add(b'/');
/// A listing holds a thousand keys at most.
const LISTING_BYTES: usize = 8 << 20;
/// The explanation of an error is shorter.
const ERROR_BYTES: usize = 64 << 10;

/// A place in S3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The bucket.
    pub bucket: String,
    /// The key, or the beginning of keys.
    pub key: String,
    /// The region that the URL names.
    pub region: Option<String>,
    /// The version of the object, where the URL names one.
    pub version: Option<String>,
    /// The URL of the bucket, without a slash at its end.
    base: String,
}

impl Location {
    /// From `https://BUCKET.s3.REGION.amazonaws.com/KEY`, `https://s3.REGION.amazonaws.com/BUCKET/KEY` or
    /// `s3://BUCKET/KEY`, each with `?versionId=VERSION` or without.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(url: &str) -> Result<Self, Failure> {
        let bad = || Failure::invalid(format!("{url} is no URL of an object in S3"));
        let whole = url;
        let (url, version) = match url.split_once("?versionId=") {
            Some((url, version)) => (url, Some(version)),
            None => (url, None),
        };
        let query = version.map_or_else(
            || url.starts_with("https://") && url.contains('?'),
            |version| version.is_empty() || version.contains(['&', '#', '?']),
        );
        if query {
            return Err(Failure::invalid(format!(
                "{whole}: nothing but `?versionId=VERSION` can follow the key of an object; a question mark in a key is written %3F"
            )));
        }
        let parts = if let Some(rest) = url.strip_prefix("s3://") {
            let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
            let base = format!("https://{bucket}.s3.amazonaws.com");
            (bucket, key, None, base)
        } else {
            let rest = url.strip_prefix("https://").ok_or_else(bad)?;
            let (host, path) = rest.split_once('/').ok_or_else(bad)?;
            if let Some(region) = region_of(host) {
                let (bucket, key) = path.split_once('/').ok_or_else(bad)?;
                (bucket, key, region, format!("https://{host}/{bucket}"))
            } else {
                let at = host
                    .find(".s3.")
                    .or_else(|| host.find(".s3-"))
                    .ok_or_else(bad)?;
                let region = region_of(&host[at + 1..]).ok_or_else(bad)?;
                (&host[..at], path, region, format!("https://{host}"))
            }
        };
        let (bucket, key, region, base) = parts;
        let key = percent_decode_str(key).decode_utf8().map_err(|_| bad())?;
        let version = version
            .map(|version| percent_decode_str(version).decode_utf8())
            .transpose()
            .map_err(|_| bad())?;
        if bucket.is_empty() {
            return Err(bad());
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            key: key.into_owned(),
            region,
            version: version.map(Into::into),
            base,
        })
    }
}

/// Whether a host is S3's, and of which region.
fn region_of(host: &str) -> Option<Option<String>> {
    let name = host
        .strip_suffix(".amazonaws.com")
        .or_else(|| host.strip_suffix(".amazonaws.com.cn"))?;
    if name == "s3" {
        return Some(None);
    }
    let rest = name
        .strip_prefix("s3.")
        .or_else(|| name.strip_prefix("s3-"))?;
    let region = rest.strip_prefix("dualstack.").unwrap_or(rest);
    (!region.is_empty()).then(|| Some(region.to_owned()))
}

/// A bucket.
#[derive(Debug)]
pub struct Bucket {
    name: String,
    base: RefCell<String>,
    region: RefCell<String>,
    version: Option<String>,
    /// The operator's own endpoint, which knows no other regions.
    fixed: bool,
    unsigned: Cell<Option<Unsigned>>,
}

/// Why requests are not signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unsigned {
    NotGranted,
    NoCredentials,
}

impl Bucket {
    /// The bucket of a location: at the operator's endpoint for S3 if one is set, else where the location's URL says.
    #[must_use]
    pub fn of(location: &Location) -> Self {
        let endpoint = http::aws_endpoint("s3");
        let base = match &endpoint {
            Some(endpoint) => format!("{}/{}", endpoint.trim_end_matches('/'), location.bucket),
            None => location.base.clone(),
        };
        let region = location
            .region
            .clone()
            .or_else(|| Some(http::aws_region()).filter(|region| !region.is_empty()))
            .unwrap_or_else(|| "us-east-1".to_owned());
        Self {
            name: location.bucket.clone(),
            base: RefCell::new(base),
            region: RefCell::new(region),
            version: location.version.clone(),
            fixed: endpoint.is_some(),
            unsigned: Cell::new(None),
        }
    }

    /// The URL of an object.
    #[must_use]
    pub fn url(&self, key: &str) -> String {
        let url = format!("{}/{}", self.base.borrow(), utf8_percent_encode(key, KEY));
        match &self.version {
            Some(version) => format!("{url}?versionId={}", utf8_percent_encode(version, QUERY)),
            None => url,
        }
    }

    /// Asks for an object, or a part of it.
    ///
    /// # Errors
    /// When the request is not granted or the network fails. Statuses of the server are no errors here.
    pub fn get(&self, key: &str, part: &Part) -> Result<Response, Error> {
        self.send(|| http::get_part(&self.url(key), part))
    }

    /// What a response that is no success means, with the reason that the server gives in its body.
    #[must_use]
    pub fn explain(&self, response: &Response) -> String {
        // Without a body that can be read there is still the status.
        let body = http::body(response, ERROR_BYTES).unwrap_or_default();
        with_reason(
            explain(response.status(), &body),
            response.status(),
            self.unsigned.get(),
        )
    }

    /// The keys that begin with a text, in order.
    ///
    /// # Errors
    /// When the bucket does not exist, may not be listed, or answers with something else than a listing.
    pub fn list(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        let mut keys = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let response = self.send(|| {
                let mut url = format!(
                    "{}?list-type=2&prefix={}",
                    self.base.borrow(),
                    utf8_percent_encode(prefix, QUERY)
                );
                if let Some(token) = &token {
                    url = format!(
                        "{}?continuation-token={}&list-type=2&prefix={}",
                        self.base.borrow(),
                        utf8_percent_encode(token, QUERY),
                        utf8_percent_encode(prefix, QUERY)
                    );
                }
                http::get(&url)
            })?;
            if response.status() != 200 {
                return Err(Failure::failed(format!(
                    "listing the bucket {}: {}",
                    self.name,
                    self.explain(&response)
                )));
            }
            let body = http::body(&response, LISTING_BYTES)?;
            let (found, next) = parse_listing(&body).map_err(|error| {
                Failure::failed(format!(
                    "the listing of the bucket {} cannot be read: {error}",
                    self.name
                ))
            })?;
            keys.extend(found);
            token = next;
            if token.is_none() {
                return Ok(keys);
            }
        }
    }

    /// Downloads an object to a file; see [`crate::download::to_file`].
    ///
    /// # Errors
    /// As told there.
    pub fn download(
        &self,
        key: &str,
        path: &str,
        mode: u32,
        sha256: Option<&str>,
    ) -> Result<(), Failure> {
        let mut source = format!("s3://{}/{key}", self.name);
        if let Some(version) = &self.version {
            source = format!("{source}?versionId={version}");
        }
        let explain = |response: &Response| format!("{source}: {}", self.explain(response));
        let get = |part: &Part| self.get(key, part);
        download::to_file_or(&source, get, path, mode, sha256, explain)
    }

    /// Sends a request: signed as long as there is something to sign with, to the bucket's own region.
    fn send(&self, request: impl Fn() -> Request) -> Result<Response, Error> {
        let mut moved = false;
        loop {
            let mut attempt = request();
            // A signature is for one host, so redirects are followed here.
            attempt.max_redirects = 0;
            let signed = self.unsigned.get().is_none();
            if signed {
                attempt.authorization =
                    Authorization::AwsSigv4(("s3".to_owned(), self.region.borrow().clone()));
            }
            let response = match http::send(&attempt) {
                Err(Error::NotFound(_)) if signed => {
                    self.unsigned.set(Some(Unsigned::NoCredentials));
                    continue;
                }
                Err(Error::Denied(denial)) if signed && denial.capability == "signing" => {
                    self.unsigned.set(Some(Unsigned::NotGranted));
                    continue;
                }
                other => other?,
            };
            let home = response
                .headers()
                .into_iter()
                .find(|(name, _)| name == "x-amz-bucket-region")
                .map(|(_, region)| region);
            let status = response.status();
            if matches!(status, 301 | 307 | 400)
                && !moved
                && !self.fixed
                && let Some(home) = home
            {
                moved = true;
                self.base
                    .replace(format!("https://{}.s3.{home}.amazonaws.com", self.name));
                self.region.replace(home);
                continue;
            }
            return Ok(response);
        }
    }
}

/// A refusal may be for want of a signature.
fn with_reason(explanation: String, status: u16, unsigned: Option<Unsigned>) -> String {
    match unsigned {
        Some(Unsigned::NotGranted) if status == 403 => format!(
            "{explanation}; the request was not signed, since the policy does not grant it to this step: grants: {{ signing: [s3] }}"
        ),
        Some(Unsigned::NoCredentials) if status == 403 => format!(
            "{explanation}; the request was not signed, since this node has no AWS credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the shared credentials file)"
        ),
        _ => explanation,
    }
}

/// What a status of S3 means, with the code and message of its body.
fn explain(status: u16, body: &[u8]) -> String {
    let field = |name: &str| {
        texts(body, name)
            .ok()
            .and_then(|list| list.into_iter().next())
    };
    match (field("Code"), field("Message")) {
        (Some(code), Some(message)) => format!("S3 answered {status}, {code}: {message}"),
        (Some(code), None) => format!("S3 answered {status}, {code}"),
        _ => format!("S3 answered with status {status}"),
    }
}

fn parse_listing(body: &[u8]) -> Result<(Vec<String>, Option<String>), quick_xml::Error> {
    let keys = texts(body, "Key")?;
    let next = texts(body, "NextContinuationToken")?.into_iter().next();
    Ok((keys, next))
}

/// The texts of all elements of a name.
fn texts(body: &[u8], name: &str) -> Result<Vec<String>, quick_xml::Error> {
    let text = String::from_utf8_lossy(body);
    let mut reader = Reader::from_str(&text);
    let mut found = Vec::new();
    let mut inside: Option<String> = None;
    loop {
        match reader.read_event()? {
            Event::Start(start) => {
                inside = (start.local_name().as_ref() == name).then(String::new);
            }
            Event::Text(text) => {
                if let Some(inside) = &mut inside {
                    inside.push_str(&text);
                }
            }
            Event::GeneralRef(reference) => {
                if let Some(inside) = &mut inside {
                    let character = reference.resolve_char_ref()?.or(match reference.as_ref() {
                        "amp" => Some('&'),
                        "lt" => Some('<'),
                        "gt" => Some('>'),
                        "quot" => Some('"'),
                        "apos" => Some('\''),
                        _ => None,
                    });
                    inside.extend(character);
                }
            }
            Event::End(_) => found.extend(inside.take()),
            Event::Eof => return Ok(found),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Location, Unsigned, explain, parse_listing, with_reason};

    #[test]
    fn a_version_follows_the_key() {
        for (url, expected) in [
            (
                "https://b.s3.amazonaws.com/k?versionId=a%2Bb",
                Some(("k", Some("a+b"))),
            ),
            ("s3://b/k?versionId=v", Some(("k", Some("v")))),
            ("https://b.s3.amazonaws.com/k%3F", Some(("k?", None))),
            ("https://b.s3.amazonaws.com/k?X-Amz-Expires=1", None),
            ("https://b.s3.amazonaws.com/k?versionId=", None),
            ("https://b.s3.amazonaws.com/k?versionId=v&x=y", None),
        ] {
            let found = Location::parse(url).ok();
            let found = found
                .as_ref()
                .map(|one| (one.key.as_str(), one.version.as_deref()));
            assert_eq!(found, expected, "{url}");
        }
    }

    #[test]
    fn a_refusal_says_when_nothing_was_signed() {
        let text = |status, unsigned| with_reason("no".to_owned(), status, unsigned);
        assert!(text(403, Some(Unsigned::NotGranted)).contains("signing: [s3]"));
        assert!(text(403, Some(Unsigned::NoCredentials)).contains("has no AWS credentials"));
        assert_eq!(text(404, Some(Unsigned::NotGranted)), "no");
        assert_eq!(text(403, None), "no");
    }

    #[test]
    fn urls_name_a_bucket_and_a_key() {
        for (url, expected) in [
            (
                "https://b.s3.amazonaws.com/releases/1/app.tar.gz",
                Some(("b", "releases/1/app.tar.gz", None)),
            ),
            (
                "https://b.c.s3.eu-central-1.amazonaws.com/k%20l",
                Some(("b.c", "k l", Some("eu-central-1"))),
            ),
            (
                "https://b.s3-eu-west-1.amazonaws.com/k",
                Some(("b", "k", Some("eu-west-1"))),
            ),
            (
                "https://s3.eu-west-1.amazonaws.com/b/k/l",
                Some(("b", "k/l", Some("eu-west-1"))),
            ),
            ("s3://b/k/l", Some(("b", "k/l", None))),
            ("https://s3.amazonaws.com/b", None),
            ("https://example.com/b/k", None),
            ("https://b.s3.evil.com/k", None),
            ("http://b.s3.amazonaws.com/k", None),
        ] {
            let found = Location::parse(url).ok();
            let found = found
                .as_ref()
                .map(|one| (one.bucket.as_str(), one.key.as_str(), one.region.as_deref()));
            assert_eq!(found, expected, "{url}");
        }
    }

    #[test]
    fn listings_and_errors_are_read() {
        let body = b"<?xml version=\"1.0\"?><ListBucketResult xmlns=\"x\"><Name>b</Name>\
            <Contents><Key>a/b &amp; c</Key><Size>1</Size></Contents><Contents><Key>a/d</Key></Contents>\
            <NextContinuationToken>t</NextContinuationToken></ListBucketResult>";
        let (keys, next) = parse_listing(body).unwrap_or_default();
        assert_eq!(keys, ["a/b & c", "a/d"]);
        assert_eq!(next.as_deref(), Some("t"));
        let error = b"<Error><Code>NoSuchKey</Code><Message>It is not there.</Message></Error>";
        assert_eq!(
            explain(404, error),
            "S3 answered 404, NoSuchKey: It is not there."
        );
        assert_eq!(explain(500, b"oops"), "S3 answered with status 500");
    }
}
