//! Calls one operation of the API over many connections at once, and tells how many answers came in a second and how
//! long they took. The same client for any server that speaks the protocol.
//!
//! Usage: `cargo run --release -p capstan-client --example api-load -- URL get|put|send [CONNECTIONS [SECONDS [PREFIX]]]`
//! with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. `get` reads a parameter that it makes first, `put` writes
//! parameters (one for each connection, again and again), `send` sends commands to tags that no node has.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use capstan_client::{Client, Credentials, Options};
use serde_json::{Value, json};

type Fault = Box<dyn Error + Send + Sync>;

async fn call(client: &Client, operation: &str, input: &Value) -> Result<Value, Fault> {
    Ok(client.call("ssm", "AmazonSSM", operation, input).await?)
}

#[tokio::main]
async fn main() -> Result<(), Fault> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, what, ..] = &arguments[..] else {
        return Err("usage: api-load URL get|put|send [CONNECTIONS [SECONDS [PREFIX]]]".into());
    };
    let number =
        |at: usize, otherwise: u64| arguments.get(at).map_or(Ok(otherwise), |text| text.parse());
    let (connections, seconds) = (number(2, 16)?, number(3, 5)?);
    let prefix = arguments.get(4).map_or("load", String::as_str);
    let credentials = Credentials {
        access_key_id: std::env::var("AWS_ACCESS_KEY_ID")?,
        secret_access_key: std::env::var("AWS_SECRET_ACCESS_KEY")?,
        session_token: None,
    };
    let client = || -> Result<Client, Fault> {
        Ok(Client::new(url.parse()?, Options::default())?.with_credentials(credentials.clone()))
    };
    let parameter =
        |name: &str| json!({"Name": name, "Value": "a value", "Type": "String", "Overwrite": true});
    let input = |connection: u64| match what.as_str() {
        "get" => Ok(("GetParameter", json!({"Name": format!("/{prefix}/get")}))),
        "put" => Ok((
            "PutParameter",
            parameter(&format!("/{prefix}/put-{connection}")),
        )),
        "send" => Ok((
            "SendCommand",
            json!({
                "DocumentName": "AWS-RunShellScript",
                "Parameters": {"commands": ["true"]},
                "Targets": [{"Key": "tag:Nobody", "Values": [prefix]}],
            }),
        )),
        other => Err(format!("{other} is not get, put or send")),
    };
    call(
        &client()?,
        "PutParameter",
        &parameter(&format!("/{prefix}/get")),
    )
    .await?;
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut tasks = Vec::new();
    for connection in 0..connections {
        let client = Arc::new(client()?);
        let (operation, input) = input(connection)?;
        tasks.push(tokio::spawn(async move {
            let mut took = Vec::new();
            while Instant::now() < end {
                let started = Instant::now();
                call(&client, operation, &input).await?;
                took.push(started.elapsed());
            }
            Ok::<_, Fault>(took)
        }));
    }
    let mut took = Vec::new();
    for task in tasks {
        took.append(&mut task.await??);
    }
    took.sort();
    let at = |share: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index"
        )]
        let at = (took.len() as f64 * share) as usize;
        took.get(at.min(took.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    };
    println!(
        "{}",
        json!({
            "operation": input(0)?.0,
            "connections": connections,
            "perSecond": took.len() as u64 / seconds,
            "medianMicros": at(0.5).as_micros() as u64,
            "p99Micros": at(0.99).as_micros() as u64,
        })
    );
    Ok(())
}
