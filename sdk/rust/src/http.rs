//! HTTP requests, made and signed by the host.
//!
//! ```no_run
//! use std::time::Duration;
//! use capstan_sdk::{Failure, http};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct Health {
//!     status: String,
//! }
//!
//! fn is_healthy(url: &str) -> Result<bool, Failure> {
//!     let response = http::get(url)
//!         .header("accept", "application/json")
//!         .bearer("/acme/token")
//!         .timeout(Duration::from_secs(10))
//!         .send()?
//!         .success()?;
//!     Ok(response.json::<Health>()?.status == "ok")
//! }
//! ```

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::download::Part;
use crate::{Error, Failure};

pub use crate::__private::capstan::host::http::{
    Authorization, Request, Response, aws_endpoint, aws_region, send,
};

/// As much of a body as is taken into memory without being asked for another limit: 8 MiB.
const MOST: usize = 8 << 20;

/// A request that follows up to ten redirects.
#[must_use]
pub fn request(method: &str, url: &str) -> Request {
    Request {
        method: method.to_ascii_uppercase(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        authorization: Authorization::None,
        max_redirects: 10,
        timeout_millis: None,
    }
}

/// A GET request that follows up to ten redirects.
#[must_use]
pub fn get(url: &str) -> Request {
    request("GET", url)
}

/// The same with HEAD.
#[must_use]
pub fn head(url: &str) -> Request {
    request("HEAD", url)
}

/// The same with POST.
#[must_use]
pub fn post(url: &str) -> Request {
    request("POST", url)
}

/// The same with PUT.
#[must_use]
pub fn put(url: &str) -> Request {
    request("PUT", url)
}

/// The same with PATCH.
#[must_use]
pub fn patch(url: &str) -> Request {
    request("PATCH", url)
}

/// The same with DELETE.
#[must_use]
pub fn delete(url: &str) -> Request {
    request("DELETE", url)
}

/// A GET request for a part of what is there.
#[must_use]
pub fn get_part(url: &str, part: &Part) -> Request {
    let mut request = get(url);
    part.ask(&mut request);
    request
}

impl Request {
    /// Adds a header. The placeholder of a secret in its value is replaced by the host.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the body to JSON, and its content type.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn json(self, body: &impl Serialize) -> Result<Self, Failure> {
        let body = serde_json::to_vec(body)?;
        Ok(self.header("content-type", "application/json").body(body))
    }

    /// A bearer token: the value of a secret or secure parameter, by name.
    #[must_use]
    pub fn bearer(mut self, secret: impl Into<String>) -> Self {
        self.authorization = Authorization::Bearer(secret.into());
        self
    }

    /// A user name, and as password the value of a secret or secure parameter, by name.
    #[must_use]
    pub fn basic(mut self, user: impl Into<String>, secret: impl Into<String>) -> Self {
        self.authorization = Authorization::Basic((user.into(), secret.into()));
        self
    }

    /// Has the host sign the request for an AWS service, with the node's own credentials.
    #[must_use]
    pub fn aws_sigv4(mut self, service: impl Into<String>, region: impl Into<String>) -> Self {
        self.authorization = Authorization::AwsSigv4((service.into(), region.into()));
        self
    }

    /// How many redirects are followed. Ten, if nothing is said.
    #[must_use]
    pub fn redirects(mut self, most: u32) -> Self {
        self.max_redirects = most;
        self
    }

    /// Gives the whole request this long, with all of its response.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout_millis = Some(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// Sends it.
    ///
    /// # Errors
    /// When the host is not granted or the network fails. A status such as 404 is an answer, see
    /// [`Response::success`].
    pub fn send(&self) -> Result<Response, Error> {
        send(self)
    }
}

impl Response {
    /// A header, by its name in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let mut headers = self.headers().into_iter();
        headers
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Fails unless the status is one of 200 to 299.
    ///
    /// # Errors
    /// With the URL and the status.
    pub fn success(self) -> Result<Self, Failure> {
        match self.status() {
            200..=299 => Ok(self),
            status => Err(Failure::failed(format!(
                "{} answered with status {status}",
                self.url()
            ))),
        }
    }

    /// The whole body, up to 8 MiB; [`body`] takes another limit.
    ///
    /// # Errors
    /// When the connection breaks or the body is longer.
    pub fn bytes(&self) -> Result<Vec<u8>, Error> {
        body(self, MOST)
    }

    /// The whole body as text.
    ///
    /// # Errors
    /// The same, and when it is not UTF-8.
    pub fn text(&self) -> Result<String, Failure> {
        String::from_utf8(self.bytes()?)
            .map_err(|_| Failure::failed(format!("the answer of {} is not UTF-8", self.url())))
    }

    /// The whole body as JSON.
    ///
    /// # Errors
    /// The same, and when it is no JSON of that type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.bytes()?).map_err(|error| {
            Failure::failed(format!("the answer of {} as JSON: {error}", self.url()))
        })
    }
}

/// The rest of a body, up to a number of bytes.
///
/// # Errors
/// When the connection breaks or the body is longer.
pub fn body(response: &Response, most: usize) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    loop {
        let part = response.read(64 << 10)?;
        if part.is_empty() {
            return Ok(content);
        }
        content.extend(part);
        if content.len() > most {
            return Err(Error::LimitExceeded(format!(
                "{} answered with more than {most} bytes",
                response.url()
            )));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Authorization, post};
    use crate::json;

    #[test]
    fn a_request_is_put_together() {
        let request = post("https://example.com/x")
            .header("a", "b")
            .bearer("/token")
            .timeout(Duration::from_secs(2))
            .redirects(0)
            .json(&json!({ "c": 1 }))
            .unwrap();
        assert_eq!(request.method, "POST");
        assert_eq!(request.body, b"{\"c\":1}");
        assert_eq!(request.headers.len(), 2);
        assert_eq!(
            (request.timeout_millis, request.max_redirects),
            (Some(2000), 0)
        );
        assert!(matches!(request.authorization, Authorization::Bearer(name) if name == "/token"));
    }
}
