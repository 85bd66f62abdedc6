//! HTTP requests, made and signed by the host.

use crate::Error;
use crate::download::Part;

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

/// The same for a part of what is there.
#[must_use]
pub fn get_part(url: &str, part: &Part) -> Request {
    let mut request = get(url);
    part.ask(&mut request);
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
