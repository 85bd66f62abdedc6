//! The proxy of a step's programs: the only thing in their network, and it lets through what was granted, by name.

use std::borrow::Cow;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Weak};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use capstan_policy::{HostVerdict, Layer};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::counted::{Counted, Meter};
use crate::broker::{BrokerError, ConnectRequest};
use crate::random;
use crate::shared::StepShared;

/// A running proxy; it ends with this value.
#[derive(Debug)]
pub(crate) struct ChildProxy {
    port: u16,
    password: Option<Password>,
    accepting: JoinHandle<()>,
}

type Body = BoxBody<Bytes, io::Error>;

/// What tells the step's programs from others who can reach the proxy, where the network is not its own.
#[derive(Clone)]
struct Password(String);

const USER: &str = "capstan";

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password")
    }
}

impl Password {
    fn new() -> io::Result<Self> {
        Ok(Self(random::token()?))
    }

    /// Whether a header `Proxy-Authorization` holds it. Takes as long whatever is wrong with it.
    fn is_in(&self, header: Option<&HeaderValue>) -> bool {
        let credentials = header.and_then(|value| value.to_str().ok()?.split_once(' '));
        let Some((scheme, given)) = credentials else {
            return false;
        };
        let expected = STANDARD.encode(format!("{USER}:{}", self.0));
        let given = given.trim().as_bytes();
        let different = given
            .iter()
            .zip(expected.as_bytes())
            .fold(0, |different, (a, b)| different | (a ^ b));
        scheme.eq_ignore_ascii_case("basic") && given.len() == expected.len() && different == 0
    }
}

impl Drop for ChildProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl ChildProxy {
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// As the step's programs find it in their environment.
    pub(crate) fn url(&self) -> String {
        match &self.password {
            Some(Password(password)) => {
                format!("http://{USER}:{password}@127.0.0.1:{}", self.port)
            }
            None => format!("http://127.0.0.1:{}", self.port),
        }
    }

    /// Listens on loopback. The proxy belongs to the step and must not keep it alive, so it holds it weakly.
    pub(crate) async fn start(shared: &Arc<StepShared>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let step = Arc::downgrade(shared);
        let own_network = shared.sandbox.enforced().has(Layer::NetworkNamespace);
        let password = if own_network {
            None
        } else {
            Some(Password::new()?)
        };
        let demanded = password.clone();
        let accepting = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                let (step, demanded) = (Weak::clone(&step), demanded.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let (step, demanded) = (Weak::clone(&step), demanded.clone());
                        async move {
                            Ok::<_, Infallible>(answer(&step, demanded.as_ref(), request).await)
                        }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .preserve_header_case(true)
                        .serve_connection(TokioIo::new(stream), service)
                        .with_upgrades()
                        .await;
                });
            }
        });
        Ok(Self {
            port,
            password,
            accepting,
        })
    }
}

fn text(status: StatusCode, message: String) -> Response<Body> {
    let body = Full::new(Bytes::from(message + "\n"))
        .map_err(|never| match never {})
        .boxed();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

fn refused(shared: &StepShared, target: &str) -> Response<Body> {
    let hint = format!("grants: {{ hosts: [\"{target}\"] }}");
    shared.note_denial("hosts", target, &hint);
    text(
        StatusCode::FORBIDDEN,
        format!("capstan: {target} is not granted to this step; a policy grants it with\n{hint}"),
    )
}

fn failed(shared: &StepShared, error: BrokerError) -> Response<Body> {
    match error {
        BrokerError::Denied {
            capability,
            target,
            hint,
        } => {
            shared.note_denial(&capability, &target, &hint);
            text(
                StatusCode::FORBIDDEN,
                format!(
                    "capstan: {target} is not granted to this step; a policy grants it with\n{hint}"
                ),
            )
        }
        error => text(StatusCode::BAD_GATEWAY, format!("capstan: {error}")),
    }
}

async fn answer(
    step: &Weak<StepShared>,
    demanded: Option<&Password>,
    request: Request<Incoming>,
) -> Response<Body> {
    // Before anything is counted: strangers must not use up what is the step's.
    let given = request.headers().get(PROXY_AUTHORIZATION);
    if demanded.is_some_and(|password| !password.is_in(given)) {
        let mut response = text(
            StatusCode::PROXY_AUTHENTICATION_REQUIRED,
            "capstan: this proxy is for the programs of a step, which have its password in http_proxy"
                .into(),
        );
        response.headers_mut().insert(
            PROXY_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"capstan\""),
        );
        return response;
    }
    let Some(shared) = step.upgrade() else {
        return text(
            StatusCode::SERVICE_UNAVAILABLE,
            "capstan: the step has ended".into(),
        );
    };
    shared.count_http(1, 0);
    if shared.stop_reason().is_some() {
        return text(
            StatusCode::FORBIDDEN,
            "capstan: the step's limit of HTTP requests is used up".into(),
        );
    }
    if request.method() == Method::CONNECT {
        tunnel(&shared, request).await
    } else {
        forward(&shared, request).await
    }
}

/// The host and port of an authority, an IPv6 address without its brackets.
fn host_and_port(uri: &hyper::Uri, default: u16) -> Option<(String, u16)> {
    let host = uri
        .host()?
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_lowercase();
    Some((host, uri.port_u16().unwrap_or(default)))
}

/// A host as it stands in a URL.
fn bracketed(host: &str) -> Cow<'_, str> {
    if host.contains(':') {
        format!("[{host}]").into()
    } else {
        host.into()
    }
}

/// A connection that the supervisor makes, after its own check; the report names the host.
async fn connect(
    shared: &StepShared,
    scheme: &str,
    host: &str,
    port: u16,
) -> Result<TcpStream, BrokerError> {
    let request = ConnectRequest {
        scheme: scheme.into(),
        host: host.into(),
        port,
    };
    let connected = shared.broker.connect(shared.id, request).await?;
    let stream = tokio_stream(connected)?;
    shared
        .record()
        .hosts
        .insert(format!("{scheme}://{host}:{port}"));
    Ok(stream)
}

async fn tunnel(shared: &Arc<StepShared>, request: Request<Incoming>) -> Response<Body> {
    let Some((host, port)) = host_and_port(request.uri(), 443) else {
        return text(
            StatusCode::BAD_REQUEST,
            "capstan: CONNECT names a host and a port".into(),
        );
    };
    // What goes through a tunnel cannot be seen, so only a grant without methods and path lets it be.
    let check = &shared.children;
    let scheme = ["https", "tcp"]
        .into_iter()
        .find(|scheme| check.allows_host(scheme, &host, port, None, None) != HostVerdict::Refused);
    let Some(scheme) = scheme else {
        // Other ports are those of other protocols, more often than not.
        let scheme = if matches!(port, 443 | 8443) {
            "https"
        } else {
            "tcp"
        };
        return refused(shared, &format!("{scheme}://{}:{port}", bracketed(&host)));
    };
    let stream = match connect(shared, scheme, &host, port).await {
        Ok(stream) => stream,
        Err(error) => return failed(shared, error),
    };
    let meter = Meter::new(shared);
    tokio::spawn(async move {
        if let Ok(upgraded) = hyper::upgrade::on(request).await {
            let mut inside = Counted::new(TokioIo::new(upgraded), meter.clone());
            let mut outside = Counted::new(stream, meter);
            let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
        }
    });
    Response::new(
        Full::new(Bytes::new())
            .map_err(|never| match never {})
            .boxed(),
    )
}

/// A socket from the supervisor, in this process's event loop.
pub(crate) fn tokio_stream(connected: crate::broker::Connected) -> Result<TcpStream, BrokerError> {
    let stream = std::net::TcpStream::from(connected.socket);
    stream
        .set_nonblocking(true)
        .and_then(|()| TcpStream::from_std(stream))
        .map_err(|error| BrokerError::Io(error.to_string()))
}

/// Headers that are between two neighbours, not between the ends.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "proxy-connection",
    "keep-alive",
    "proxy-authorization",
    "proxy-authenticate",
    "te",
    "trailer",
    "upgrade",
];

async fn forward(shared: &Arc<StepShared>, mut request: Request<Incoming>) -> Response<Body> {
    let uri = request.uri().clone();
    let (Some("http"), Some((host, port))) = (uri.scheme_str(), host_and_port(&uri, 80)) else {
        return text(
            StatusCode::BAD_REQUEST,
            "capstan: this is a proxy; ask it for http:// URLs, or CONNECT".into(),
        );
    };
    let path = uri
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    let verdict = shared.children.allows_host(
        "http",
        &host,
        port,
        Some(request.method().as_str()),
        Some(&path),
    );
    if verdict == HostVerdict::Refused {
        let target = format!("http://{}:{port}{}", bracketed(&host), uri.path());
        return refused(shared, &target);
    }
    let stream = match connect(shared, "http", &host, port).await {
        Ok(stream) => stream,
        Err(error) => return failed(shared, error),
    };
    let (mut sender, connection) = match hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
    {
        Ok(pair) => pair,
        Err(error) => return text(StatusCode::BAD_GATEWAY, format!("capstan: {host}: {error}")),
    };
    tokio::spawn(connection);
    let Ok(origin_form) = path.parse() else {
        return text(
            StatusCode::BAD_REQUEST,
            "capstan: the path of the URL is malformed".into(),
        );
    };
    *request.uri_mut() = origin_form;
    let headers = request.headers_mut();
    for name in HOP_BY_HOP {
        headers.remove(HeaderName::from_static(name));
    }
    // The name that was checked is the name that the server is asked for.
    let authority = uri.authority().map(|authority| {
        authority
            .as_str()
            .rsplit('@')
            .next()
            .unwrap_or_default()
            .to_owned()
    });
    if let Some(value) = authority.and_then(|authority| authority.parse().ok()) {
        headers.insert(HOST, value);
    }
    let meter = Meter::new(shared);
    let request = request.map(|body| Counted::new(body, meter.clone()));
    match sender.send_request(request).await {
        Ok(mut response) => {
            for name in HOP_BY_HOP {
                response.headers_mut().remove(HeaderName::from_static(name));
            }
            response.map(|body| Counted::new(body, meter).boxed())
        }
        Err(error) => text(StatusCode::BAD_GATEWAY, format!("capstan: {host}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use hyper::header::HeaderValue;

    use super::Password;

    #[test]
    fn the_password_is_in_one_header_only() {
        let password = Password::new().unwrap();
        let other = Password::new().unwrap();
        let basic = |scheme: &str, text: String| format!("{scheme} {}", STANDARD.encode(text));
        let own = format!("capstan:{}", password.0);
        for (header, expected) in [
            (basic("Basic", own.clone()), true),
            (basic("basic", own.clone()), true),
            (basic("Bearer", own.clone()), false),
            (basic("Basic", format!("capstan:{}", other.0)), false),
            (basic("Basic", own[..own.len() - 1].into()), false),
            (basic("Basic", own.clone() + "0"), false),
            (basic("Basic", String::new()), false),
            ("Basic".into(), false),
            (String::new(), false),
        ] {
            let value = HeaderValue::from_str(&header).unwrap();
            assert_eq!(password.is_in(Some(&value)), expected, "{header}");
        }
        assert!(!password.is_in(None));
    }
}
