//! Puts a secret into the place that its input names.

use capstan_sdk::process::Command;
use capstan_sdk::{Error, Failure, action, describe, http, secrets, step};
use serde::Deserialize;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{ErrorCode, Fields, Method, OutgoingBody, OutgoingRequest, Scheme};

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Inputs {
    secret: String,
    made_up: Option<String>,
    place: String,
    url: String,
}

/// Prints a hash of what it was given, so that the test can see that it was the value.
const HASH: &str = "sha256sum";

#[action(manifest = "../manifest.json")]
fn put(inputs: Inputs) -> Result<(), Failure> {
    let secret = match inputs.made_up {
        Some(made_up) => made_up,
        None => secrets::get(&inputs.secret)?,
    };
    let url = inputs.url.as_str();
    step::print(&format!("holding {secret}\n"));
    match inputs.place.as_str() {
        "header" => sent(
            http::get(url)
                .header("x-api-key", format!("key {secret}"))
                .send(),
        ),
        "body" => sent(
            http::post(url)
                .body(format!("{{\"token\":\"{secret}\"}}"))
                .send(),
        ),
        "wasi" => wasi(url, &secret),
        "environment" => {
            let script = format!("printf %s \"$TOKEN\" | {HASH}");
            run(Command::new("sh")
                .arg("-c")
                .arg(script)
                .env("TOKEN", secret))
        }
        "stdin" => run(Command::new("sh").arg("-c").arg(HASH).stdin(secret)),
        "argument" => run(Command::new("sh").arg("-c").arg(format!("echo {secret}"))),
        _ => Ok(()),
    }
}

fn run(command: Command) -> Result<(), Failure> {
    let status = command.status()?;
    step::print(&format!("ended {status:?}\n"));
    Ok(())
}

fn sent(answer: Result<http::Response, Error>) -> Result<(), Failure> {
    let response = answer?;
    let (status, text) = (response.status(), response.text()?);
    step::print(&format!("answered {status} {text}\n"));
    Ok(())
}

/// The same through `wasi:http`, as components do that know nothing of Capstan.
fn wasi(url: &str, secret: &str) -> Result<(), Failure> {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let failed = |what: &str| Failure::failed(format!("{what} is refused"));
    let content = b"sent by wasi";
    let headers = Fields::from_list(&[
        ("x-api-key".to_owned(), format!("key {secret}").into_bytes()),
        (
            "content-length".to_owned(),
            content.len().to_string().into_bytes(),
        ),
    ])
    .map_err(|_| failed("a header"))?;
    let request = OutgoingRequest::new(headers);
    let _ = request.set_method(&Method::Post);
    let scheme = if scheme == "http" {
        Scheme::Http
    } else {
        Scheme::Https
    };
    let _ = request.set_scheme(Some(&scheme));
    let _ = request.set_authority(Some(authority));
    request
        .set_path_with_query(Some(&format!("/{path}")))
        .map_err(|()| failed("the path"))?;
    let body = request.body().map_err(|()| failed("a body"))?;
    let answer = outgoing_handler::handle(request, None).map_err(described)?;
    {
        let stream = body.write().map_err(|()| failed("writing"))?;
        stream
            .blocking_write_and_flush(content)
            .map_err(|error| Failure::failed(error.to_string()))?;
    }
    OutgoingBody::finish(body, None).map_err(described)?;
    answer.subscribe().block();
    let response = answer
        .get()
        .ok_or_else(|| failed("the answer"))?
        .map_err(|()| failed("the answer"))?
        .map_err(described)?;
    let status = response.status();
    let incoming = response.consume().map_err(|()| failed("reading"))?;
    let stream = incoming.stream().map_err(|()| failed("reading"))?;
    let mut text = Vec::new();
    while let Ok(part) = stream.blocking_read(4096) {
        text.extend(part);
    }
    step::print(&format!(
        "answered {status} {}\n",
        String::from_utf8_lossy(&text)
    ));
    Ok(())
}

fn described(error: ErrorCode) -> Failure {
    Failure::from(match error {
        ErrorCode::HttpRequestDenied => Error::Other("wasi:http says denied".into()),
        ErrorCode::InternalError(Some(why)) => Error::Other(why),
        other => Error::Other(describe(&Error::Other(format!("{other:?}")))),
    })
}
