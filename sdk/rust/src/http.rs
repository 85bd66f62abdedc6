//! HTTP requests, made and signed by the host.

use crate::Error;

pub use crate::__private::capstan::host::http::{
    Authorization, Request, Response, aws_endpoint, aws_region, send,
};

/// A GET request that follows up to ten redirects.
#[must_use]
pub fn get(url: &str) -> Request {
    Request {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        authorization: Authorization::None,
        max_redirects: 10,
        timeout_millis: None,
    }
}

/// The same from a byte on.
#[must_use]
pub fn get_from(url: &str, from: u64) -> Request {
    let mut request = get(url);
    if from > 0 {
        request
            .headers
            .push(("range".to_owned(), format!("bytes={from}-")));
    }
    request
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
