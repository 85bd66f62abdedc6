//! `capstan:host/http`: requests made and signed by the host.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use capstan_policy::SecretPlace;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{
    AUTHORIZATION, HOST, HeaderName, HeaderValue, LOCATION, USER_AGENT, WWW_AUTHENTICATE,
};
use hyper::{Method, StatusCode};
use tokio::time::Instant;
use url::Url;
use wasmtime::component::Resource;

use super::Answer;
use super::exchange::Target;
use super::secrets::has_placeholder;
use crate::bindings::capstan::host::http::{Authorization, Host, HostResponse, Request};
use crate::bindings::capstan::host::types::Error;
use crate::broker::SignRequest;
use crate::runtime::StepState;
use crate::shared::StepShared;

/// A response whose body is still to be read.
pub struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    url: String,
    body: Incoming,
    left: BytesMut,
    patience: Patience,
}

/// A request without a time-out of its own may be silent for this long.
const SILENCE: Duration = Duration::from_secs(600);

/// How long a request is waited for.
#[derive(Debug, Clone, Copy)]
enum Patience {
    /// To this time, with all of its response: the guest says so.
    Until(Instant),
    /// As long as something comes: a large file takes its time.
    WhileItMoves,
}

impl Patience {
    fn of(timeout_millis: Option<u64>, now: Instant) -> Self {
        // One that is beyond all time is none.
        timeout_millis
            .and_then(|millis| now.checked_add(Duration::from_millis(millis)))
            .map_or(Self::WhileItMoves, Self::Until)
    }

    /// When to give up waiting for what comes next.
    fn deadline(self, now: Instant) -> Instant {
        match self {
            Self::Until(time) => time,
            Self::WhileItMoves => now + SILENCE,
        }
    }
}
const MAX_REDIRECTS: u32 = 20;

/// Set by the host: a guest that could set them could send one thing and be checked for another.
const FORBIDDEN: &[&str] = &[
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "upgrade",
    "te",
    "trailer",
    "expect",
];

impl Host for StepState {
    async fn send(&mut self, request: Request) -> Answer<Resource<Response>> {
        let shared = std::sync::Arc::clone(&self.shared);
        let now = Instant::now();
        let patience = Patience::of(request.timeout_millis, now);
        let head = follow(&shared, request, patience);
        let answer = tokio::time::timeout_at(patience.deadline(now), head).await;
        Ok(match answer {
            Ok(Ok(response)) => Ok(self.table.push(response)?),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::TimedOut),
        })
    }

    async fn aws_endpoint(&mut self, service: String) -> wasmtime::Result<Option<String>> {
        Ok(self
            .shared
            .broker
            .aws_endpoint(self.shared.id, &service)
            .await
            .unwrap_or(None))
    }

    async fn aws_region(&mut self) -> wasmtime::Result<String> {
        Ok(self.shared.context.region.clone())
    }
}

/// Sends a request and follows its redirects, each of them checked like a first request.
async fn follow(
    shared: &StepShared,
    request: Request,
    patience: Patience,
) -> Result<Response, Error> {
    let mut url = Url::parse(&request.url)
        .map_err(|error| Error::Invalid(format!("{}: {error}", request.url)))?;
    let mut method = Method::from_bytes(request.method.as_bytes())
        .map_err(|_| Error::Invalid(format!("`{}` is no method", request.method)))?;
    let mut body = Bytes::from(request.body.clone());
    let mut authorization = request.authorization.clone();
    let mut headers = request.headers.clone();
    for _ in 0..=request.max_redirects.min(MAX_REDIRECTS) {
        let mut attempt = Attempt {
            target: Target::of(&url)?,
            url: &url,
            method: &method,
            headers: &headers,
            body: &body,
            authorization: &authorization,
            digest: None,
        };
        let mut response = once(shared, &attempt, patience).await?;
        if let (401, Authorization::Digest((user, name))) = (response.status, &authorization) {
            let place = SecretPlace::Header(attempt.target.destination());
            let user = shared.exchange_in_text(user.clone(), &place).await?;
            let password = shared.secret(name, &place).await?;
            attempt.digest = Some(answer_digest(
                &attempt,
                &response.headers,
                &user,
                &password,
            )?);
            response = once(shared, &attempt, patience).await?;
        }
        let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::OK);
        let location = response
            .headers
            .iter()
            .find(|(name, _)| name == LOCATION.as_str())
            .map(|(_, value)| value.clone());
        let (true, Some(location), true) =
            (is_redirect(status), location, request.max_redirects > 0)
        else {
            return Ok(response);
        };
        let next = url
            .join(&location)
            .map_err(|error| Error::Io(format!("{url} redirects to {location}: {error}")))?;
        if url.scheme() == "https" && next.scheme() != "https" {
            return Err(Error::Io(format!(
                "{url} redirects to {next}, which is not encrypted"
            )));
        }
        let mut keeps_body = true;
        if next.origin() != url.origin() {
            authorization = Authorization::None;
            headers.retain(|(name, _)| {
                !name.eq_ignore_ascii_case("authorization") && !name.eq_ignore_ascii_case("cookie")
            });
            headers.retain(|(_, value)| !has_placeholder(value.as_bytes()));
            keeps_body = false;
        }
        if status == StatusCode::SEE_OTHER
            || (matches!(status.as_u16(), 301 | 302) && method == Method::POST)
        {
            method = Method::GET;
            body = Bytes::new();
        }
        if !keeps_body && has_placeholder(&body) {
            return Err(Error::Io(format!(
                "{url} redirects to {next}, to which the secret in the body of the request is not sent on"
            )));
        }
        url = next;
    }
    Err(Error::Io(format!(
        "{} redirects more than {} times",
        request.url, request.max_redirects
    )))
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// One request of a chain.
struct Attempt<'a> {
    url: &'a Url,
    target: Target<'a>,
    method: &'a Method,
    headers: &'a [(String, String)],
    body: &'a Bytes,
    authorization: &'a Authorization,
    /// The answer to the server's challenge.
    digest: Option<String>,
}

/// RFC 7616, from the challenge in the response.
fn answer_digest(
    attempt: &Attempt<'_>,
    headers: &[(String, String)],
    user: &str,
    password: &str,
) -> Result<String, Error> {
    let challenges = headers
        .iter()
        .filter(|(name, _)| name == WWW_AUTHENTICATE.as_str());
    let mut last = "it sent no challenge".to_owned();
    for (_, challenge) in challenges {
        let answer =
            http_auth::PasswordClient::try_from(challenge.as_str()).and_then(|mut client| {
                client.respond(&http_auth::PasswordParams {
                    username: user,
                    password,
                    uri: &attempt.target.path_and_query(),
                    method: attempt.method.as_str(),
                    body: Some(attempt.body),
                })
            });
        match answer {
            Ok(answer) => return Ok(answer),
            Err(why) => last = why,
        }
    }
    Err(Error::Io(format!(
        "{} does not do Digest authentication: {last}",
        attempt.url
    )))
}

async fn once(
    shared: &StepShared,
    attempt: &Attempt<'_>,
    patience: Patience,
) -> Result<Response, Error> {
    let target = &attempt.target;
    target.check(shared, attempt.method)?;
    shared.count_http(1, attempt.body.len() as u64);
    let request = build(shared, attempt).await?;
    let mut sender = target.open(shared, attempt.method).await?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| Error::Io(format!("{}: {error}", attempt.url)))?;
    let (parts, body) = response.into_parts();
    Ok(Response {
        status: parts.status.as_u16(),
        headers: parts
            .headers
            .iter()
            .map(|(name, value)| {
                (
                    name.as_str().to_owned(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .collect(),
        url: attempt.url.to_string(),
        body,
        left: BytesMut::new(),
        patience,
    })
}

async fn build(
    shared: &StepShared,
    attempt: &Attempt<'_>,
) -> Result<hyper::Request<Full<Bytes>>, Error> {
    let Attempt {
        url,
        target,
        method,
        headers,
        body,
        authorization,
        digest,
    } = attempt;
    let destination = target.destination();
    let body = match shared
        .exchange_secrets(body, &SecretPlace::Body(destination.clone()))
        .await?
    {
        Cow::Borrowed(_) => Bytes::clone(body),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    let place = SecretPlace::Header(destination);
    let mut request = hyper::Request::new(Full::new(body.clone()));
    *request.method_mut() = Method::clone(method);
    *request.uri_mut() = target
        .path_and_query()
        .parse()
        .map_err(|error| Error::Invalid(format!("{url}: {error}")))?;
    let map = request.headers_mut();
    for (name, value) in *headers {
        let lower = name.to_ascii_lowercase();
        if FORBIDDEN.contains(&lower.as_str()) || lower.starts_with("proxy-") {
            return Err(Error::Invalid(format!(
                "the header {name} is the host's to set"
            )));
        }
        let name = HeaderName::from_bytes(lower.as_bytes())
            .map_err(|_| Error::Invalid(format!("`{name}` is no header")))?;
        let value = shared.exchange_in_text(value.clone(), &place).await?;
        let value = HeaderValue::from_str(&value)
            .map_err(|_| Error::Invalid(format!("the header {name} holds what no header can")))?;
        map.append(name, value);
    }
    let authority = target.authority();
    let header = |text: &str| {
        HeaderValue::from_str(text)
            .map_err(|_| Error::Invalid("a header holds what no header can".into()))
    };
    map.insert(HOST, header(&authority)?);
    map.entry(USER_AGENT)
        .or_insert(HeaderValue::from_static(concat!(
            "capstan/",
            env!("CARGO_PKG_VERSION")
        )));
    match authorization {
        Authorization::None => {}
        Authorization::Basic((user, name)) => {
            let user = shared.exchange_in_text(user.clone(), &place).await?;
            let password = shared.secret(name, &place).await?;
            let value = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
            map.insert(AUTHORIZATION, header(&value)?);
        }
        Authorization::Bearer(name) => {
            let token = shared.secret(name, &place).await?;
            map.insert(AUTHORIZATION, header(&format!("Bearer {token}"))?);
        }
        // The first request goes without: it brings the challenge.
        Authorization::Digest(_) => {
            if let Some(answer) = digest {
                map.insert(AUTHORIZATION, header(answer)?);
            }
        }
        Authorization::AwsSigv4((service, region)) => {
            if !shared.component.allows_signing(service) {
                return Err(shared.deny(
                    "signing",
                    service,
                    format!("grants: {{ signing: [{service}] }}"),
                ));
            }
            let request = SignRequest {
                service: service.clone(),
                region: region.clone(),
                method: method.to_string(),
                url: url.to_string(),
                headers: vec![("host".into(), authority)],
                body_sha256: crate::component::digest(&body),
            };
            for (name, value) in shared
                .broker
                .sign(shared.id, request)
                .await
                .map_err(|error| shared.broker_error(error))?
            {
                let name = HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes())
                    .map_err(|_| Error::Io("the signature has a malformed header".into()))?;
                map.insert(name, header(&value)?);
            }
        }
    }
    Ok(request)
}

impl HostResponse for StepState {
    async fn status(&mut self, this: Resource<Response>) -> wasmtime::Result<u16> {
        Ok(self.table.get(&this)?.status)
    }

    async fn headers(
        &mut self,
        this: Resource<Response>,
    ) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(self.table.get(&this)?.headers.clone())
    }

    async fn url(&mut self, this: Resource<Response>) -> wasmtime::Result<String> {
        Ok(self.table.get(&this)?.url.clone())
    }

    async fn read(&mut self, this: Resource<Response>, max: u32) -> Answer<Vec<u8>> {
        let shared = std::sync::Arc::clone(&self.shared);
        let response = self.table.get_mut(&this)?;
        while response.left.is_empty() {
            let deadline = response.patience.deadline(Instant::now());
            match tokio::time::timeout_at(deadline, response.body.frame()).await {
                Err(_) => return Ok(Err(Error::TimedOut)),
                Ok(None) => break,
                Ok(Some(Err(error))) => {
                    return Ok(Err(Error::Io(format!("{}: {error}", response.url))));
                }
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        shared.count_http(0, data.len() as u64);
                        response.left.extend_from_slice(&data);
                    }
                }
            }
        }
        let count = response.left.len().min(max as usize);
        let data = response.left.split_to(count).to_vec();
        shared.charge_bytes(data.len());
        Ok(Ok(data))
    }

    async fn drop(&mut self, this: Resource<Response>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Patience, SILENCE};

    #[test]
    fn a_body_that_moves_is_waited_for_unless_the_guest_says_until_when() {
        let start = Instant::now();
        let later = start + Duration::from_secs(3600);
        let own = Patience::of(None, start);
        assert_eq!(own.deadline(start), start + SILENCE);
        assert_eq!(own.deadline(later), later + SILENCE);
        let given = Patience::of(Some(5000), start);
        assert_eq!(given.deadline(start), start + Duration::from_secs(5));
        assert_eq!(given.deadline(later), start + Duration::from_secs(5));
    }
}
