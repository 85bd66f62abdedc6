//! Where a service is.

use std::fmt;
use std::str::FromStr;

use url::Url;

use crate::error::ClientError;

/// The address of a service: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether it is reached over TLS.
    pub is_secure: bool,
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// As the `Host` header has it: without the port that the scheme has anyway.
    pub authority: String,
}

impl FromStr for Endpoint {
    type Err = ClientError;

    fn from_str(text: &str) -> Result<Self, ClientError> {
        let wrong = |why: &str| {
            ClientError::Endpoint(format!(
                "`{text}` is no endpoint: {why}; an endpoint is like https://capstan.example.com:8443"
            ))
        };
        let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
        let is_secure = match url.scheme() {
            "https" => true,
            "http" => false,
            other => return Err(wrong(&format!("{other} is not https or http"))),
        };
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("nothing may follow the host and the port"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("it may hold no user or password"));
        }
        let (host, port) = match (url.host(), url.port_or_known_default()) {
            (Some(url::Host::Ipv6(address)), Some(port)) => (address.to_string(), port),
            (Some(host), Some(port)) => (host.to_string(), port),
            _ => return Err(wrong("it names no host")),
        };
        let name = url.host_str().unwrap_or_default();
        let authority = match url.port() {
            Some(port) => format!("{name}:{port}"),
            None => name.to_owned(),
        };
        Ok(Self {
            is_secure,
            host,
            port,
            authority,
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::Endpoint;

    #[test]
    fn an_endpoint_is_a_scheme_a_host_and_a_port() {
        for (text, host, port, authority) in [
            ("http://127.0.0.1:8080", "127.0.0.1", 8080, "127.0.0.1:8080"),
            ("https://a.example/", "a.example", 443, "a.example"),
            ("https://a.example:443", "a.example", 443, "a.example"),
            ("http://[::1]:81", "::1", 81, "[::1]:81"),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(
                (
                    endpoint.host.as_str(),
                    endpoint.port,
                    endpoint.authority.as_str()
                ),
                (host, port, authority)
            );
            assert_eq!(endpoint.is_secure, text.starts_with("https"));
        }
        for text in [
            "",
            "a.example",
            "ftp://a",
            "http://a/path",
            "http://u@a",
            "http://a?x",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}
