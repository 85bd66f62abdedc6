//! The proxy of a step's programs: the only thing in their network, and it lets through what was granted, by name.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use capstan_policy::HostVerdict;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::header::{HOST, HeaderName};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::broker::{BrokerError, ConnectRequest};
use crate::shared::StepShared;

/// A running proxy; it ends with this value.
#[derive(Debug)]
pub(crate) struct ChildProxy {
    port: u16,
    accepting: JoinHandle<()>,
}

type Body = BoxBody<Bytes, hyper::Error>;

impl Drop for ChildProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl ChildProxy {
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Listens on loopback. The proxy belongs to the step and must not keep it alive, so it holds it weakly.
    pub(crate) async fn start(shared: &Arc<StepShared>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let step = Arc::downgrade(shared);
        let accepting = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                let step = Weak::clone(&step);
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let step = Weak::clone(&step);
                        async move { Ok::<_, Infallible>(answer(&step, request).await) }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .preserve_header_case(true)
                        .serve_connection(TokioIo::new(stream), service)
                        .with_upgrades()
                        .await;
                });
            }
        });
        Ok(Self { port, accepting })
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

async fn answer(step: &Weak<StepShared>, request: Request<Incoming>) -> Response<Body> {
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
        let shown = if host.contains(':') {
            format!("[{host}]")
        } else {
            host
        };
        return refused(shared, &format!("https://{shown}:{port}"));
    };
    let connect = ConnectRequest {
        scheme: scheme.into(),
        host: host.clone(),
        port,
    };
    let stream = match shared
        .broker
        .connect(shared.id, connect)
        .await
        .and_then(tokio_stream)
    {
        Ok(stream) => stream,
        Err(error) => return failed(shared, error),
    };
    shared
        .record()
        .hosts
        .insert(format!("{scheme}://{host}:{port}"));
    let step = Arc::downgrade(shared);
    tokio::spawn(async move {
        if let Ok(upgraded) = hyper::upgrade::on(request).await {
            let mut inside = TokioIo::new(upgraded);
            let mut outside = stream;
            if let Ok((sent, received)) =
                tokio::io::copy_bidirectional(&mut inside, &mut outside).await
                && let Some(shared) = step.upgrade()
            {
                shared.count_http(0, sent + received);
            }
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
        let shown = if host.contains(':') {
            format!("[{host}]")
        } else {
            host
        };
        return refused(shared, &format!("http://{shown}:{port}{}", uri.path()));
    }
    let connect = ConnectRequest {
        scheme: "http".into(),
        host: host.clone(),
        port,
    };
    let stream = match shared
        .broker
        .connect(shared.id, connect)
        .await
        .and_then(tokio_stream)
    {
        Ok(stream) => stream,
        Err(error) => return failed(shared, error),
    };
    shared
        .record()
        .hosts
        .insert(format!("http://{host}:{port}"));
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
    match sender.send_request(request).await {
        Ok(mut response) => {
            for name in HOP_BY_HOP {
                response.headers_mut().remove(HeaderName::from_static(name));
            }
            let bytes = response.body().size_hint().exact().unwrap_or(0);
            shared.count_http(0, bytes);
            response.map(|body| body.boxed())
        }
        Err(error) => text(StatusCode::BAD_GATEWAY, format!("capstan: {host}: {error}")),
    }
}
