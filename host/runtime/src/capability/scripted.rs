//! What a scripted world answers, once everything is checked: see [`World`](crate::world::World).

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use url::Url;

use crate::bindings::capstan::host::types::Error;
use crate::world::{NoAnswer, World, WorldRequest, WorldResponse};

/// Bytes on their way between the two sides of a connection.
const BUFFER: usize = 64 << 10;

/// The words of `capstan:host` for what does not answer.
pub(crate) fn failure(what: &str, why: NoAnswer) -> Error {
    match why {
        // Neither an absence nor a failure that the action would know how to go on from.
        NoAnswer::Unscripted(why) => Error::Other(why),
        NoAnswer::Absent => Error::NotFound(what.to_owned()),
        NoAnswer::Fails(why) => Error::Io(format!("{what}: {why}")),
        NoAnswer::TimesOut => Error::TimedOut,
    }
}

/// A connection within this process to a server that answers one request and then ends.
pub(crate) fn connect(
    world: &Arc<dyn World>,
    method: &str,
    url: &Url,
) -> Result<DuplexStream, Error> {
    let response = world
        .respond(method, url.as_str())
        .map_err(|why| failure(url.as_str(), why))?;
    let (client, server) = tokio::io::duplex(BUFFER);
    tokio::spawn(serve(server, Arc::clone(world), url.to_string(), response));
    Ok(client)
}

async fn serve(stream: DuplexStream, world: Arc<dyn World>, url: String, response: WorldResponse) {
    let service = service_fn(|request: Request<Incoming>| {
        let (world, url, response) = (Arc::clone(&world), url.clone(), answer(&response));
        async move {
            let (parts, body) = request.into_parts();
            let headers = parts.headers.iter().map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            });
            world.sent(WorldRequest {
                method: parts.method.to_string(),
                url,
                headers: headers.collect(),
                // One that breaks off is the guest's own doing, and there is nothing more to tell of it.
                body: body
                    .collect()
                    .await
                    .map_or_else(|_| Vec::new(), |body| body.to_bytes().to_vec()),
            });
            Ok::<_, Infallible>(response)
        }
    });
    // An end before its time is the other side's.
    let _ = http1::Builder::new()
        .auto_date_header(false)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn answer(response: &WorldResponse) -> Response<Full<Bytes>> {
    let mut builder = Response::builder().status(response.status);
    for (name, value) in &response.headers {
        builder = builder.header(name, value);
    }
    builder
        .body(Full::new(Bytes::from(response.body.clone())))
        .unwrap_or_else(|error| {
            let text = format!("the script's answer is no response: {error}");
            Response::new(Full::new(Bytes::from(text)))
        })
}
