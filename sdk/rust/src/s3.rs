//! Objects of S3, and of servers that speak its protocol. The host signs, with the node's credentials, which the
//! component never sees; without credentials, or without leave to use them, requests go out unsigned, as public
//! buckets allow.

use std::cell::{Cell, RefCell};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use quick_xml::Reader;
use quick_xml::events::Event;

use crate::http::{self, Authorization, Request, Response};
use crate::{Error, Failure, download};

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

/// A place in S3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The bucket.
    pub bucket: String,
    /// The key, or the beginning of keys.
    pub key: String,
    /// The region that the URL names.
    pub region: Option<String>,
    /// The URL of the bucket, without a slash at its end.
    base: String,
}

impl Location {
    /// From `https://BUCKET.s3.REGION.amazonaws.com/KEY`, `https://s3.REGION.amazonaws.com/BUCKET/KEY` or
    /// `s3://BUCKET/KEY`.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(url: &str) -> Result<Self, Failure> {
        let bad = || Failure::invalid(format!("{url} is no URL of an object in S3"));
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
        if bucket.is_empty() {
            return Err(bad());
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            key: key.into_owned(),
            region,
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
    /// The operator's own endpoint, which knows no other regions.
    fixed: bool,
    signed: Cell<bool>,
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
            fixed: endpoint.is_some(),
            signed: Cell::new(true),
        }
    }

    /// The URL of an object.
    #[must_use]
    pub fn url(&self, key: &str) -> String {
        format!("{}/{}", self.base.borrow(), utf8_percent_encode(key, KEY))
    }

    /// Asks for an object, from a byte on.
    ///
    /// # Errors
    /// When the request is not granted or the network fails. Statuses of the server are no errors here.
    pub fn get(&self, key: &str, from: u64) -> Result<Response, Error> {
        self.send(|| http::get_from(&self.url(key), from))
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
            let status = response.status();
            let body = http::body(&response, LISTING_BYTES)?;
            if status != 200 {
                return Err(Failure::failed(format!(
                    "listing the bucket {}: {}",
                    self.name,
                    explain(status, &body)
                )));
            }
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
        let source = format!("s3://{}/{key}", self.name);
        download::to_file(&source, |from| self.get(key, from), path, mode, sha256)
    }

    /// Sends a request: signed as long as there is something to sign with, to the bucket's own region.
    fn send(&self, request: impl Fn() -> Request) -> Result<Response, Error> {
        let mut moved = false;
        loop {
            let mut attempt = request();
            // A signature is for one host, so redirects are followed here.
            attempt.max_redirects = 0;
            if self.signed.get() {
                attempt.authorization =
                    Authorization::AwsSigv4(("s3".to_owned(), self.region.borrow().clone()));
            }
            let response = match http::send(&attempt) {
                Err(Error::NotFound(_)) if self.signed.get() => {
                    self.signed.set(false);
                    continue;
                }
                Err(Error::Denied(denial))
                    if self.signed.get() && denial.capability == "signing" =>
                {
                    self.signed.set(false);
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

/// What a status of S3 means, with the code and message of its body.
#[must_use]
pub fn explain(status: u16, body: &[u8]) -> String {
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
    use super::{Location, explain, parse_listing};

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
