//! The control plane without a node and without the engine: quick to build, for work on the API.
//!
//! It understands as much of `capstan` as the tests of the API need: `server --state DIR --listen ADDRESS
//! [--store URL] [--no-local-node]` and `access-key create --state DIR [--store URL] --name NAME --role ROLE`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use capstan_clock::SystemClock;
use capstan_server::{Config, KeySource, Place, Role};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut options = HashMap::new();
    for pair in arguments.windows(2) {
        if let Some(name) = pair[0].strip_prefix("--") {
            options.insert(name, pair[1].as_str());
        }
    }
    let option = |name: &str| {
        options
            .get(name)
            .copied()
            .ok_or(format!("--{name} is missing"))
    };
    let place = Place {
        state: PathBuf::from(option("state")?),
        store: options.get("store").map(|url| (*url).to_owned()),
        master_key: KeySource::State,
        key_service: None,
    };
    let server = place.open(Config::default(), Arc::new(SystemClock)).await?;
    if arguments
        .first()
        .is_some_and(|command| command == "access-key")
    {
        let role =
            Role::of_word(option("role")?).ok_or("--role is read-only, operator or admin")?;
        let key = server.create_access_key(option("name")?, role).await?;
        println!("{}", serde_json::to_string(&key)?);
        return Ok(());
    }
    let listener = TcpListener::bind(option("listen")?).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let mut terminate = signal(SignalKind::terminate())?;
    capstan_server::run(server, listener, None, async move {
        terminate.recv().await;
    })
    .await?;
    Ok(())
}
