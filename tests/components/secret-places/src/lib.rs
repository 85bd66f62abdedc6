//! Puts a secret into the place that its input names.

use capstan_sdk::process::{Command, Stdin};
use capstan_sdk::{
    Action, Context, Error, Failure, Outcome, Value, describe, http, input_text, secrets, step,
};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{ErrorCode, Fields, Method, OutgoingBody, OutgoingRequest, Scheme};

struct SecretPlaces;

/// Prints a hash of what it was given, so that the test can see that it was the value.
const HASH: &str = "sha256sum";

impl Action for SecretPlaces {
    fn start(_: &Context, inputs: Value) -> Result<Outcome, Failure> {
        let text = |key: &str| input_text(&inputs, key).unwrap_or_default();
        let secret = match input_text(&inputs, "made-up") {
            Some(made_up) => made_up,
            None => secrets::get(&text("secret"))?,
        };
        step::print(&format!("holding {secret}\n"));
        match text("place").as_str() {
            "header" => {
                let mut request = http::get(&text("url"));
                request
                    .headers
                    .push(("x-api-key".into(), format!("key {secret}")));
                sent(http::send(&request))
            }
            "body" => {
                let mut request = http::get(&text("url"));
                request.method = "POST".into();
                request.body = format!("{{\"token\":\"{secret}\"}}").into_bytes();
                sent(http::send(&request))
            }
            "wasi" => wasi(&text("url"), &secret),
            "environment" => {
                let script = format!("printf %s \"$TOKEN\" | {HASH}");
                run(Command::new("sh")
                    .arg("-c")
                    .arg(script)
                    .env("TOKEN", secret))
            }
            "stdin" => run(Command::new("sh")
                .arg("-c")
                .arg(HASH)
                .stdin(Stdin::Bytes(secret.into_bytes()))),
            "argument" => run(Command::new("sh").arg("-c").arg(format!("echo {secret}"))),
            _ => Ok(Outcome::success()),
        }
    }
}

fn run(command: Command) -> Result<Outcome, Failure> {
    let status = command.status()?;
    step::print(&format!("ended {status:?}\n"));
    Ok(Outcome::success())
}

fn sent(answer: Result<http::Response, Error>) -> Result<Outcome, Failure> {
    let response = answer?;
    let body = http::body(&response, 1 << 20)?;
    step::print(&format!(
        "answered {} {}\n",
        response.status(),
        String::from_utf8_lossy(&body)
    ));
    Ok(Outcome::success())
}

/// The same through `wasi:http`, as components do that know nothing of Capstan.
fn wasi(url: &str, secret: &str) -> Result<Outcome, Failure> {
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
    Ok(Outcome::success())
}

fn described(error: ErrorCode) -> Failure {
    Failure::from(match error {
        ErrorCode::HttpRequestDenied => Error::Other("wasi:http says denied".into()),
        ErrorCode::InternalError(Some(why)) => Error::Other(why),
        other => Error::Other(describe(&Error::Other(format!("{other:?}")))),
    })
}

capstan_sdk::action!(SecretPlaces, "../manifest.json");
