//! The API over HTTP: connections, bodies, health, metrics, and an orderly end.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::error::ApiError;
use crate::server::{Answer, Server};

/// How long a client may take for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long requests that run when the server ends are waited for.
const GRACE: Duration = Duration::from_secs(20);
/// How long the store may take to say that it is there: less than those who watch a server wait.
const READY_TIME: Duration = Duration::from_secs(2);
/// Bytes that a connection within the process holds in each direction.
const PIPE: usize = 64 << 10;
/// How long to wait when no connection can be accepted, as when there are no descriptors left.
const BREATH: Duration = Duration::from_millis(100);

/// Where connections come from: a socket, or a simulated network.
pub trait Listener: Send {
    /// A connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// The next connection.
    ///
    /// # Errors
    /// When it failed; the next may not.
    fn accept(&mut self) -> impl Future<Output = io::Result<Self::Io>> + Send;
}

impl Listener for TcpListener {
    type Io = tokio::net::TcpStream;

    async fn accept(&mut self) -> io::Result<Self::Io> {
        let (stream, _) = Self::accept(self).await?;
        // Answers are small, and waited for.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Serves until `stop` is ready; then no connection is accepted any more, polls are answered, and requests that run
/// are waited for.
pub async fn serve(
    server: Arc<Server>,
    mut listener: impl Listener,
    tls: Option<TlsAcceptor>,
    stop: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let stream = tokio::select! {
            // The same order each time: a simulation that begins alike goes alike.
            biased;
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(BREATH).await;
                    continue;
                }
            },
        };
        let (server, watcher) = (server.clone(), graceful.watcher());
        match tls.clone() {
            None => {
                tokio::spawn(connection(server, stream, Some(watcher)));
            }
            Some(tls) => {
                tokio::spawn(async move {
                    match tokio::time::timeout(HEAD_TIMEOUT, tls.accept(stream)).await {
                        Ok(Ok(stream)) => connection(server, stream, Some(watcher)).await,
                        Ok(Err(error)) => tracing::debug!(%error, "no TLS"),
                        Err(_) => tracing::debug!("no TLS in time"),
                    }
                });
            }
        }
    }
    drop(listener);
    server.stop();
    if tokio::time::timeout(GRACE, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("connections were still busy after {} s", GRACE.as_secs());
    }
}

/// A connection from within the process, for a client that needs no network. It is served as one from outside, until
/// its client drops it.
#[must_use]
pub fn connect(server: &Arc<Server>) -> tokio::io::DuplexStream {
    let (near, far) = tokio::io::duplex(PIPE);
    let server = server.clone();
    tokio::spawn(connection(server, far, None));
    near
}

async fn connection<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    server: Arc<Server>,
    stream: T,
    watcher: Option<Watcher>,
) {
    server.metrics.connections.inc();
    let service = service_fn({
        let server = server.clone();
        move |request| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(respond(&server, request).await) }
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let served = match watcher {
        Some(watcher) => watcher.watch(connection).await,
        None => connection.await,
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection broke");
    }
    server.metrics.connections.dec();
}

async fn respond(server: &Arc<Server>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::POST, _) => call(server, request).await,
        (_, path) if server.has_path(path) => call(server, request).await,
        (&Method::GET, "/livez") => plain(StatusCode::OK, "ok\n"),
        (&Method::GET, "/readyz") => ready(server).await,
        (&Method::GET, "/metrics") => {
            let mut response = plain(StatusCode::OK, server.metrics.text());
            let kind = header::HeaderValue::from_static(
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            );
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        // Signed, so that it is a client of AWS's, which reads errors in AWS's form.
        _ if request.headers().contains_key(header::AUTHORIZATION) => call(server, request).await,
        (_, path) => plain(
            StatusCode::NOT_FOUND,
            format!(
                "there is nothing at {path}: the API is POST /, and there are /livez, /readyz and /metrics\n"
            ),
        ),
    }
}

async fn ready(server: &Server) -> Response<Full<Bytes>> {
    if server.is_stopping() {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    match tokio::time::timeout(READY_TIME, server.store.check()).await {
        Ok(Ok(())) => plain(StatusCode::OK, "ready\n"),
        Err(_) => plain(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the store: no answer within {} s\n", READY_TIME.as_secs()),
        ),
        Ok(Err(error)) => plain(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the store: {error}\n"),
        ),
    }
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

async fn call(server: &Arc<Server>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let id = uuid::Uuid::new_v4().to_string();
    let (parts, body) = request.into_parts();
    let answer = match read(body, server.config.max_body).await {
        Ok(body) => {
            use tracing::Instrument as _;
            let span = tracing::info_span!("request", id);
            server.answer(&parts, &body).instrument(span).await
        }
        Err(error) => Answer {
            status: error.status,
            body: error.body().to_string().into(),
            code: Some(error.code.into_owned()),
        },
    };
    tracing::debug!(
        id,
        target = parts
            .headers
            .get("x-amz-target")
            .and_then(|target| target.to_str().ok()),
        status = answer.status,
        code = answer.code.as_deref(),
        "answered"
    );
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/x-amz-json-1.1"),
    );
    if let Ok(id) = id.parse() {
        headers.insert("x-amzn-requestid", id);
    }
    // Where clients of operations told by their path look for the error's code.
    if let Some(code) = answer.code.and_then(|code| code.parse().ok()) {
        headers.insert("x-amzn-errortype", code);
    }
    response
}

async fn read(body: Incoming, limit: usize) -> Result<Bytes, ApiError> {
    let too_large = || {
        ApiError::new(
            "RequestEntityTooLarge",
            format!("The request's body is larger than {limit} bytes."),
        )
        .with_status(413)
    };
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) => Err(ApiError::new(
            "SerializationException",
            format!("the body broke off: {error}"),
        )),
    }
}
