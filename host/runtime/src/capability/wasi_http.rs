//! `wasi:http`: the same requests, for components that were written for WASI. What is asked for in its words is
//! checked, connected and counted like what comes through `capstan:host/http`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use capstan_policy::SecretPlace;
use http_body_util::BodyExt as _;
use http_body_util::channel::{Channel, Sender};
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response, Uri};
use tokio::time::timeout;
use url::Url;
use wasmtime_wasi_http::{
    Error as HttpError, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks,
    WasiHttpView,
};

use super::exchange::Target;
use crate::bindings::capstan::host::types::Error;
use crate::runtime::StepState;
use crate::shared::StepShared;

/// For each phase of a request that names no time-out of its own, as wasmtime has it.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

/// What `wasi:http` needs of an instance.
pub(crate) struct HttpState {
    ctx: WasiHttpCtx,
    hooks: Hooks,
}

impl HttpState {
    pub(crate) fn new(shared: &Arc<StepShared>) -> Self {
        Self {
            ctx: WasiHttpCtx::new(),
            hooks: Hooks {
                shared: Arc::clone(shared),
            },
        }
    }
}

impl WasiHttpView for StepState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.http.hooks,
            table: &mut self.table,
            ctx: &mut self.http.ctx,
        }
    }
}

struct Hooks {
    shared: Arc<StepShared>,
}

type Answer = (
    Response<WasiBody>,
    Box<dyn Future<Output = Result<(), HttpError>> + Send>,
);

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), HttpError>> + Send>,
    ) -> Box<dyn Future<Output = Result<Answer, HttpError>> + Send> {
        let shared = Arc::clone(&self.shared);
        Box::new(async move { send(&shared, request, options.unwrap_or_default()).await })
    }
}

async fn send(
    shared: &Arc<StepShared>,
    request: Request<WasiBody>,
    options: RequestOptions,
) -> Result<Answer, HttpError> {
    // Taken apart and put together again: what is checked is what is sent.
    let url =
        Url::parse(&request.uri().to_string()).map_err(|_| HttpError::HttpRequestUriInvalid)?;
    let target = Target::of(&url).map_err(translate)?;
    target.check(shared, request.method()).map_err(translate)?;
    shared.count_http(1, 0);
    let (mut parts, body) = request.into_parts();
    parts.uri = target
        .path_and_query()
        .parse::<Uri>()
        .map_err(|_| HttpError::HttpRequestUriInvalid)?;
    let place = SecretPlace::Header(target.destination());
    for value in parts.headers.values_mut() {
        let exchanged = shared.exchange_secrets(value.as_bytes(), &place).await;
        if let std::borrow::Cow::Owned(bytes) = exchanged.map_err(translate)? {
            *value = HeaderValue::from_bytes(&bytes).map_err(|_| {
                HttpError::InternalError(Some("a secret holds what no header can".into()))
            })?;
        }
    }
    let authority =
        HeaderValue::from_str(&target.authority()).map_err(|_| HttpError::HttpRequestUriInvalid)?;
    parts.headers.insert(HOST, authority);
    let counting = Arc::clone(shared);
    let body = body.map_frame(move |frame| {
        let length = frame.data_ref().map_or(0, Bytes::len);
        counting.count_http(0, length as u64);
        frame
    });

    let connecting = target.open(shared, &parts.method);
    let mut sender = timeout(
        options.connect_timeout.unwrap_or(DEFAULT_TIMEOUT),
        connecting,
    )
    .await
    .map_err(|_| HttpError::ConnectionTimeout)?
    .map_err(translate)?;
    let sending = sender.send_request(Request::from_parts(parts, body));
    let response = timeout(
        options.first_byte_timeout.unwrap_or(DEFAULT_TIMEOUT),
        sending,
    )
    .await
    .map_err(|_| HttpError::ConnectionReadTimeout)??;
    let between = options.between_bytes_timeout.unwrap_or(DEFAULT_TIMEOUT);
    let (parts, incoming) = response.into_parts();
    let (sender, body) = Channel::new(1);
    let pumping = pump(incoming, sender, between, Arc::clone(shared));
    Ok((
        Response::from_parts(parts, body.boxed_unsync()),
        Box::new(async move {
            pumping.await;
            Ok(())
        }),
    ))
}

/// Passes a response's body on, counted, and broken off when nothing comes for too long.
async fn pump(
    mut incoming: Incoming,
    mut to: Sender<Bytes, HttpError>,
    between: Duration,
    shared: Arc<StepShared>,
) {
    loop {
        match timeout(between, incoming.frame()).await {
            Err(_) => return to.abort(HttpError::ConnectionReadTimeout),
            Ok(None) => return,
            Ok(Some(Err(error))) => return to.abort(error.into()),
            Ok(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                shared.count_http(0, length as u64);
                if to.send(frame).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// The words of `wasi:http` for a failure.
fn translate(error: Error) -> HttpError {
    match error {
        Error::Denied(_) => HttpError::HttpRequestDenied,
        Error::TimedOut => HttpError::ConnectionTimeout,
        Error::NotFound(_) => HttpError::DestinationNotFound,
        Error::Cancelled => HttpError::ConnectionTerminated,
        Error::Invalid(why) | Error::Io(why) | Error::Other(why) | Error::LimitExceeded(why) => {
            HttpError::InternalError(Some(why))
        }
    }
}
