//! The requests of the distribution protocol.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use rustls::crypto::ring;
use serde_json::Value;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};
use url::Url;

use super::Access;
use super::credentials::{Credentials, of_docker};
use super::reference::Reference;
use crate::error::PluginError;

/// Tokens and messages have no more than this.
const MAX_ANSWER: u64 = 1 << 20;
const CONNECT: Duration = Duration::from_secs(30);
/// For one request as a whole; a component has some ten megabytes.
const WHOLE: Duration = Duration::from_secs(600);

/// One repository of a registry.
pub(super) struct Client {
    agent: Agent,
    registry: Url,
    host: String,
    repository: String,
    plain: bool,
    credentials: Option<Credentials>,
    /// What the registry was given last.
    authorization: Mutex<Option<String>>,
}

/// A request, to be sent once or, after the registry asked who one is, twice.
struct Call<'a> {
    method: Method,
    url: Url,
    headers: Vec<(http::HeaderName, &'a str)>,
    body: Option<&'a [u8]>,
}

impl Client {
    pub(super) fn new(reference: &Reference, access: &Access) -> Result<Self, PluginError> {
        let plain = access.plain_http || reference.is_loopback();
        let scheme = if plain { "http" } else { "https" };
        let host = reference.host.clone();
        let registry = Url::parse(&format!("{scheme}://{host}/"))
            .map_err(|error| PluginError::Invalid(format!("{reference}: {error}")))?;
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(!plain)
            .user_agent(concat!("capstan/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(WHOLE));
        if reference.is_loopback() {
            // A proxy's loopback is another one.
            config = config.proxy(None);
        }
        if !plain {
            config = config.tls_config(tls()?);
        }
        let credentials = match &access.credentials {
            Some(credentials) => Some(credentials.clone()),
            None => of_docker(&host)?,
        };
        Ok(Self {
            agent: config.build().new_agent(),
            registry,
            host,
            repository: reference.repository.clone(),
            plain,
            credentials,
            authorization: Mutex::new(None),
        })
    }

    fn url(&self, rest: &str) -> Result<Url, PluginError> {
        self.registry
            .join(&format!("v2/{}/{rest}", self.repository))
            .map_err(|error| self.problem(error))
    }

    pub(super) fn problem(&self, why: impl std::fmt::Display) -> PluginError {
        PluginError::Registry(format!("the registry {}: {why}", self.host))
    }

    /// A manifest, and the digest that the registry says it has.
    pub(super) fn manifest(
        &self,
        name: &str,
        accept: &str,
        most: u64,
    ) -> Result<(Vec<u8>, Option<String>), PluginError> {
        let response = self.send(&Call {
            method: Method::GET,
            url: self.url(&format!("manifests/{name}"))?,
            headers: vec![(ACCEPT, accept)],
            body: None,
        })?;
        let digest = response
            .headers()
            .get("docker-content-digest")
            .and_then(|value| Some(value.to_str().ok()?.to_owned()));
        let response = self.expect(response, StatusCode::OK, || {
            format!("a plugin {}:{name}", self.repository)
        })?;
        Ok((self.read(response, most)?, digest))
    }

    /// A blob of so many bytes; whether it is the right one is for the caller to say.
    pub(super) fn blob(&self, digest: &str, size: u64) -> Result<Vec<u8>, PluginError> {
        let response = self.send(&Call {
            method: Method::GET,
            url: self.url(&format!("blobs/{digest}"))?,
            headers: Vec::new(),
            body: None,
        })?;
        let response = self.expect(response, StatusCode::OK, || {
            format!("the component {digest}")
        })?;
        self.read(response, size)
    }

    /// Puts a blob there, unless it is.
    pub(super) fn put_blob(&self, digest: &str, content: &[u8]) -> Result<(), PluginError> {
        let there = self.send(&Call {
            method: Method::HEAD,
            url: self.url(&format!("blobs/{digest}"))?,
            headers: Vec::new(),
            body: None,
        })?;
        if there.status() == StatusCode::OK {
            return Ok(());
        }
        let begun = self.send(&Call {
            method: Method::POST,
            url: self.url("blobs/uploads/")?,
            headers: Vec::new(),
            body: Some(&[]),
        })?;
        let place = begun
            .headers()
            .get(LOCATION)
            .and_then(|place| place.to_str().ok())
            .and_then(|place| self.registry.join(place).ok());
        self.expect(begun, StatusCode::ACCEPTED, || "an upload".to_owned())?;
        let mut url = place.ok_or_else(|| self.problem("it does not say where to upload to"))?;
        url.query_pairs_mut().append_pair("digest", digest);
        let put = self.send(&Call {
            method: Method::PUT,
            url,
            headers: vec![(CONTENT_TYPE, "application/octet-stream")],
            body: Some(content),
        })?;
        self.expect(put, StatusCode::CREATED, || format!("the blob {digest}"))?;
        Ok(())
    }

    pub(super) fn put_manifest(
        &self,
        name: &str,
        media_type: &str,
        content: &[u8],
    ) -> Result<(), PluginError> {
        let put = self.send(&Call {
            method: Method::PUT,
            url: self.url(&format!("manifests/{name}"))?,
            headers: vec![(CONTENT_TYPE, media_type)],
            body: Some(content),
        })?;
        self.expect(put, StatusCode::CREATED, || format!("the manifest {name}"))?;
        Ok(())
    }

    fn send(&self, call: &Call<'_>) -> Result<Response<Body>, PluginError> {
        let response = self.once(call)?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let authorization = self.introduce(response.headers(), call.method == Method::GET)?;
        *self.authorization() = Some(authorization);
        self.once(call)
    }

    fn authorization(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.authorization
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn once(&self, call: &Call<'_>) -> Result<Response<Body>, PluginError> {
        let mut request = Request::builder()
            .method(&call.method)
            .uri(call.url.as_str());
        for (name, value) in &call.headers {
            request = request.header(name, *value);
        }
        // Who sends uploads elsewhere has put what is needed into the URL.
        if call.url.origin() == self.registry.origin()
            && let Some(authorization) = &*self.authorization()
        {
            request = request.header(AUTHORIZATION, authorization);
        }
        let answer = match call.body {
            Some(body) => self
                .agent
                .run(request.body(body).map_err(|error| self.problem(error))?),
            None => self
                .agent
                .run(request.body(()).map_err(|error| self.problem(error))?),
        };
        answer.map_err(|error| match error {
            ureq::Error::RequireHttpsOnly(_) => self.problem(
                "it leads to an address without TLS, where anybody could change what is fetched",
            ),
            error => self.problem(error),
        })
    }

    /// What the registry wants to be told of who one is.
    fn introduce(&self, headers: &HeaderMap, reads: bool) -> Result<String, PluginError> {
        let challenges: Vec<_> = headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| http_auth::parse_challenges(value.to_str().ok()?).ok())
            .flatten()
            .collect();
        let of = |scheme: &str| {
            challenges
                .iter()
                .find(|one| one.scheme.eq_ignore_ascii_case(scheme))
        };
        if let Some(bearer) = of("Bearer") {
            let parameter = |name: &str| {
                let mut parameters = bearer.params.iter();
                let found = parameters.find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_unescaped())
            };
            let realm = parameter("realm").unwrap_or_default();
            let mut url = Url::parse(&realm).map_err(|_| {
                self.problem(format!(
                    "it sends to `{realm}` for a token, which is no URL"
                ))
            })?;
            let rights = if reads { "pull" } else { "pull,push" };
            let scope = parameter("scope")
                .unwrap_or_else(|| format!("repository:{}:{rights}", self.repository));
            if let Some(service) = parameter("service") {
                url.query_pairs_mut().append_pair("service", &service);
            }
            url.query_pairs_mut().append_pair("scope", &scope);
            return self.token(&url);
        }
        match (of("Basic"), &self.credentials) {
            (Some(_), Some(credentials)) => Ok(credentials.basic()),
            (Some(_), None) => Err(self.problem(format!(
                "it asks who you are; --username and $CAPSTAN_REGISTRY_PASSWORD, or `docker login {}`, tell it",
                self.host
            ))),
            (None, _) => Err(self.problem("it asks who you are in a way that Capstan does not know")),
        }
    }

    fn token(&self, url: &Url) -> Result<String, PluginError> {
        if url.scheme() != "https" && !self.plain {
            return Err(self.problem("it wants the password sent without TLS; it is not"));
        }
        let mut request = Request::builder().method(Method::GET).uri(url.as_str());
        if let Some(credentials) = &self.credentials {
            request = request.header(AUTHORIZATION, credentials.basic());
        }
        let request = request.body(()).map_err(|error| self.problem(error))?;
        let response = self
            .agent
            .run(request)
            .map_err(|error| self.problem(error))?;
        let response = self.expect(response, StatusCode::OK, || "a token".to_owned())?;
        let body = self.read(response, MAX_ANSWER)?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        ["token", "access_token"]
            .iter()
            .find_map(|key| answer[*key].as_str())
            .map(|token| format!("Bearer {token}"))
            .ok_or_else(|| self.problem("it gives no token"))
    }

    fn expect(
        &self,
        response: Response<Body>,
        status: StatusCode,
        what: impl Fn() -> String,
    ) -> Result<Response<Body>, PluginError> {
        let found = response.status();
        if found == status {
            return Ok(response);
        }
        let said = said(&self.read(response, MAX_ANSWER).unwrap_or_default());
        Err(self.problem(match found {
            StatusCode::NOT_FOUND => format!("it does not have {}{said}", what()),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                format!("it refuses {} to you{said}", what())
            }
            _ => format!("it answers {found} to a request for {}{said}", what()),
        }))
    }

    /// The body, of which there must be no more than so much.
    fn read(&self, response: Response<Body>, most: u64) -> Result<Vec<u8>, PluginError> {
        let too_much = || {
            PluginError::Refused(format!(
                "the registry {} sends more than the {most} bytes that there should be",
                self.host
            ))
        };
        // One more than there should be, so that it is seen.
        let body = response.into_body().into_with_config().limit(most + 1);
        match body.read_to_vec() {
            Ok(content) if content.len() as u64 > most => Err(too_much()),
            Ok(content) => Ok(content),
            Err(ureq::Error::BodyExceedsLimit(_)) => Err(too_much()),
            Err(error) => Err(self.problem(error)),
        }
    }
}

/// The first message of a registry's answer, to be put behind ours.
fn said(body: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let first = &answer["errors"][0];
    let words = ["code", "message"].map(|key| first[key].as_str().unwrap_or_default());
    let text: String = words
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect();
    match text.trim() {
        "" => String::new(),
        text => format!(" ({text})"),
    }
}

/// With the machine's own certificates, as everywhere else in Capstan.
fn tls() -> Result<TlsConfig, PluginError> {
    let found = rustls_native_certs::load_native_certs();
    let roots: Vec<Certificate<'static>> = found
        .certs
        .iter()
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .collect();
    if roots.is_empty() {
        return Err(PluginError::Registry(
            "this machine has no certificates to check servers with; install ca-certificates"
                .into(),
        ));
    }
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
        .build())
}
