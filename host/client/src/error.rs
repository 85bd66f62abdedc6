//! Why a call failed.

use http::{HeaderMap, HeaderName};
use serde_json::Value;

/// Where some services put the code of an error.
const X_AMZN_ERRORTYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
/// Where S3 says that a bucket is elsewhere.
const X_AMZ_BUCKET_REGION: HeaderName = HeaderName::from_static("x-amz-bucket-region");

/// What a service answered in the place of a result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ServiceError {
    /// The name of the error's shape, such as `InvalidActivation`.
    pub code: String,
    /// What is wrong, in the service's words.
    pub message: String,
    /// The status of the HTTP response.
    pub status: u16,
    /// The region of the bucket, when S3 says that it is not the one that was asked for.
    pub region: Option<String>,
    /// The whole body, for further members.
    pub body: Box<Value>,
}

impl ServiceError {
    /// From the body of a response that is no success.
    pub(crate) fn of(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let header = |name: &HeaderName| Some(headers.get(name)?.to_str().ok()?.to_owned());
        let value: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let text = |names: &[&str]| {
            names
                .iter()
                .find_map(|name| value.get(name).and_then(Value::as_str))
                .map(str::to_owned)
        };
        // `namespace#Code`, and in headers `Code:http://…`.
        let code = text(&["__type", "code"])
            .or_else(|| header(&X_AMZN_ERRORTYPE))
            .or_else(|| element(body, "Code"))
            .map(|code| {
                let code = code.rsplit('#').next().unwrap_or_default();
                code.split(':').next().unwrap_or_default().to_owned()
            });
        let message = text(&["message", "Message"])
            .or_else(|| element(body, "Message"))
            .unwrap_or_else(|| {
                if value.is_null() {
                    let start: String = String::from_utf8_lossy(body).chars().take(200).collect();
                    format!("HTTP status {status} {start}")
                        .trim_end()
                        .to_owned()
                } else {
                    String::new()
                }
            });
        Self {
            code: code.unwrap_or_else(|| "UnknownError".to_owned()),
            message,
            status,
            region: header(&X_AMZ_BUCKET_REGION).or_else(|| element(body, "Region")),
            body: Box::new(value),
        }
    }
}

/// The text of an element in an error of S3, which are XML: `<Error><Code>…</Code><Message>…</Message>`.
fn element(body: &[u8], name: &str) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, error) = text.split_once("<Error>")?;
    let (_, rest) = error.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once('<')?;
    Some(text.chars().take(1000).collect())
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The service refused it.
    #[error(transparent)]
    Service(Box<ServiceError>),
    /// There is no connection, or it broke. Whether the service did what it was asked is not known.
    #[error("{endpoint}: {reason}")]
    Connection {
        /// Where to.
        endpoint: String,
        /// Why. It is a part of the message, so that it is no source, which would be told once more.
        reason: std::io::Error,
    },
    /// No answer came in time. Whether the service did what it was asked is not known.
    #[error("{endpoint}: no answer to {operation} within {seconds} s")]
    Timeout {
        /// Where to.
        endpoint: String,
        /// The operation.
        operation: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// What came is no answer of such a service.
    #[error("{endpoint}: {why}")]
    Response {
        /// From where.
        endpoint: String,
        /// What is wrong with it.
        why: String,
    },
    /// The endpoint.
    #[error("{0}")]
    Endpoint(String),
    /// Certificates.
    #[error("{0}")]
    Tls(String),
    /// A request cannot be signed.
    #[error("the request cannot be signed: {0}")]
    Sign(String),
}

impl From<ServiceError> for ClientError {
    fn from(error: ServiceError) -> Self {
        Self::Service(Box::new(error))
    }
}

impl ClientError {
    /// The service's code, if it was the service that refused.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Service(error) => Some(&error.code),
            _ => None,
        }
    }

    /// Whether the same call may go well later: the service cannot be reached, has a fault, or has too much to do.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::Timeout { .. } | Self::Response { .. } => true,
            Self::Service(error) => {
                error.status >= 500
                    || error.status == 429
                    || matches!(
                        error.code.as_str(),
                        "ThrottlingException" | "TooManyRequestsException" | "RequestLimitExceeded"
                    )
            }
            Self::Endpoint(_) | Self::Tls(_) | Self::Sign(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::{ServiceError, X_AMZN_ERRORTYPE};

    #[test]
    fn errors_are_read_in_every_form_that_services_have() {
        for (status, header, body, code, message) in [
            (
                400,
                None,
                r#"{"__type":"InvalidActivation","message":"no"}"#,
                "InvalidActivation",
                "no",
            ),
            (
                400,
                None,
                r#"{"__type":"com.amazon#X","Message":"no"}"#,
                "X",
                "no",
            ),
            (400, Some("X:http://internal/"), "{}", "X", ""),
            (
                502,
                None,
                "<html>bad gateway",
                "UnknownError",
                "HTTP status 502 <html>bad gateway",
            ),
            (503, None, "", "UnknownError", "HTTP status 503"),
            (
                404,
                None,
                "<?xml version=\"1.0\"?><Error><Code>NoSuchBucket</Code><Message>none</Message></Error>",
                "NoSuchBucket",
                "none",
            ),
        ] {
            let headers = header.map(|code| (X_AMZN_ERRORTYPE, HeaderValue::from_static(code)));
            let error = ServiceError::of(status, &headers.into_iter().collect(), body.as_bytes());
            assert_eq!(
                (error.code.as_str(), error.message.as_str()),
                (code, message)
            );
        }
    }
}
