//! `capstan server` and `capstan access-key`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use capstan_clock::SystemClock;
use capstan_runner::StateFolder;
use capstan_server::{Config, KeySource, NodeParameters, Place, Role, Server};
use clap::{Args, Subcommand, ValueEnum};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::agent::NodeArguments;
use super::key_service::KeyServiceArguments;
use super::local_node;
use crate::arguments::{Output, StateArguments};
use crate::exit::Exit;

/// Where the control plane keeps what it keeps.
#[derive(Debug, Args)]
pub(crate) struct PlaceArguments {
    #[command(flatten)]
    state: StateArguments,
    /// A PostgreSQL database, `postgres://…`; without it a SQLite database in the state folder.
    #[arg(long, value_name = "URL", env = "CAPSTAN_STORE")]
    store: Option<String>,
    /// The file of the master key, which seals what is secret in the database: 32 bytes in base64. Servers of one
    /// database need the same. It can also be given as such in CAPSTAN_MASTER_KEY. Default: a file that is made in
    /// the state folder.
    #[arg(long, value_name = "FILE")]
    master_key: Option<PathBuf>,
    #[command(flatten)]
    key_service: KeyServiceArguments,
}

impl PlaceArguments {
    fn state(&self) -> Result<StateFolder> {
        Ok(StateFolder::open(self.state.state.as_deref())?)
    }

    fn place(&self) -> Result<Place> {
        let state = self.state()?.root().join("server");
        let master_key = match (&self.master_key, std::env::var("CAPSTAN_MASTER_KEY")) {
            (Some(path), _) => KeySource::File(path.clone()),
            (None, Ok(text)) => KeySource::Text(text),
            (None, Err(_)) => KeySource::State,
        };
        Ok(Place {
            state,
            store: self.store.clone(),
            master_key,
            key_service: self.key_service.connect()?,
        })
    }
}

/// How the log is written.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What `capstan server` takes.
#[derive(Debug, Args)]
pub(crate) struct ServerArguments {
    #[command(flatten)]
    place: PlaceArguments,
    /// Where to listen.
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8400",
        env = "CAPSTAN_LISTEN"
    )]
    listen: SocketAddr,
    /// The certificate chain for TLS, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Do not make this machine a node of its own server.
    #[arg(long)]
    no_local_node: bool,
    #[command(flatten)]
    node: NodeArguments,
    /// The account's id in ARNs: 12 digits.
    #[arg(long, value_name = "ID", default_value = "000000000000", value_parser = account)]
    account_id: String,
    /// The region in ARNs. Requests may be signed for any.
    #[arg(long, value_name = "REGION", default_value = "us-east-1")]
    region: String,
    /// Parameters that nodes of a role (the IamRole of their activation) may read: a name, in which * stands for any
    /// characters. May be given several times; as soon as it is given at all, nodes read nothing else. Default: nodes
    /// read all parameters.
    #[arg(long, value_name = "ROLE=NAME", value_parser = node_parameters)]
    node_parameters: Vec<NodeParameters>,
    /// Days after which a node is asked to change the key that it is known by; 0 for never.
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    node_key_days: u16,
    /// How the log is written. RUST_LOG chooses what is in it.
    #[arg(long, value_enum, default_value_t)]
    log: LogFormat,
}

fn node_parameters(text: &str) -> Result<NodeParameters, String> {
    match text.split_once('=') {
        Some((role, pattern)) if !role.is_empty() && !pattern.is_empty() => Ok(NodeParameters {
            role: role.to_owned(),
            pattern: pattern.to_owned(),
        }),
        _ => Err("it is ROLE=NAME, such as web=/web/*".to_owned()),
    }
}

fn account(text: &str) -> Result<String, String> {
    if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err("an account's id has 12 digits".to_owned())
    }
}

/// Starts the log: what the environment says, else what an operator wants to know.
pub(crate) fn start_log(format: LogFormat) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // It can be started once, and this is the only place.
    let _ = match format {
        LogFormat::Text => log.with_ansi(false).try_init(),
        LogFormat::Json => log.json().try_init(),
    };
}

pub(crate) fn server(arguments: &ServerArguments) -> Result<Exit> {
    start_log(arguments.log);
    raise_descriptors();
    let place = arguments.place.place()?;
    let tls = match (&arguments.tls_cert, &arguments.tls_key) {
        (Some(certificate), Some(key)) => Some(capstan_server::tls(certificate, key)?),
        _ => None,
    };
    let config = Config {
        account: arguments.account_id.clone(),
        region: arguments.region.clone(),
        node_parameters: arguments.node_parameters.clone(),
        node_key_days: arguments.node_key_days,
        ..Config::default()
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    if tls.is_none() && !arguments.listen.ip().is_loopback() {
        tracing::warn!(
            "requests and credentials of nodes cross the network in the clear: give --tls-cert and --tls-key"
        );
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let server = place.open(config, Arc::new(SystemClock)).await?;
        let listener = TcpListener::bind(arguments.listen)
            .await
            .with_context(|| format!("listening on {}", arguments.listen))?;
        let address = listener.local_addr()?;
        if server.access_keys().await?.is_empty() {
            tracing::info!("there is no access key yet: `capstan access-key create --name NAME --role admin` makes one");
        }
        outln!("listening on {scheme}://{address}");
        let agent = match arguments.no_local_node {
            true => None,
            false => local_node::join(&server, arguments.place.state()?, &arguments.node).await?,
        };
        let (stop, stopping) = oneshot::channel();
        let agent = agent.map(|agent| {
            tokio::spawn(agent.run(async {
                let _ = stopping.await;
            }))
        });
        // The node ends first: it has still something to tell the server.
        let stopped = async {
            stopped().await;
            let _ = stop.send(());
            if let Some(agent) = agent {
                match agent.await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::error!(%error, "the agent of this machine"),
                    Err(error) => tracing::error!(%error, "the agent of this machine broke off"),
                }
            }
        };
        capstan_server::run(server, listener, tls, stopped).await?;
        Ok(Exit::Success)
    })
}

/// Ready when the server is asked to end.
pub(super) async fn stopped() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping");
}

/// Each node holds a connection: as many descriptors as the system lets us have.
fn raise_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// What can be done with access keys.
#[derive(Debug, Subcommand)]
pub(crate) enum AccessKeyCommand {
    /// Make an access key. Its secret is shown this once.
    Create {
        /// Whom it is for.
        #[arg(long)]
        name: String,
        /// What it may do: read-only looks, operator also runs commands and changes documents and parameters, admin
        /// also lets nodes join and leave.
        #[arg(long, value_enum, default_value_t = RoleWord::Operator)]
        role: RoleWord,
        #[command(flatten)]
        place: PlaceArguments,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// List access keys.
    List {
        #[command(flatten)]
        place: PlaceArguments,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Revoke an access key: no request that it signs is answered any more.
    Revoke {
        /// Its id.
        id: String,
        #[command(flatten)]
        place: PlaceArguments,
    },
}

/// A role on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RoleWord {
    /// Look.
    ReadOnly,
    /// Run and change.
    Operator,
    /// Everything.
    Admin,
}

impl From<RoleWord> for Role {
    fn from(word: RoleWord) -> Self {
        match word {
            RoleWord::ReadOnly => Self::ReadOnly,
            RoleWord::Operator => Self::Operator,
            RoleWord::Admin => Self::Admin,
        }
    }
}

pub(crate) fn access_key(command: AccessKeyCommand) -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match command {
            AccessKeyCommand::Create {
                name,
                role,
                place,
                output,
            } => create(&open(&place).await?, &name, role.into(), output).await,
            AccessKeyCommand::List { place, output } => list(&open(&place).await?, output).await,
            AccessKeyCommand::Revoke { id, place } => {
                if !open(&place).await?.revoke_access_key(&id).await? {
                    bail!("there is no access key {id} to revoke; `capstan access-key list` shows those that there are");
                }
                outln!("revoked {id}");
                Ok(Exit::Success)
            }
        }
    })
}

async fn open(place: &PlaceArguments) -> Result<Arc<Server>> {
    Ok(place
        .place()?
        .open(Config::default(), Arc::new(SystemClock))
        .await?)
}

async fn create(server: &Arc<Server>, name: &str, role: Role, output: Output) -> Result<Exit> {
    let new = server.create_access_key(name, role).await?;
    match output {
        Output::Json => outln!("{}", serde_json::to_string_pretty(&new)?),
        Output::Text => {
            outln!("AWS_ACCESS_KEY_ID={}", new.key.id);
            outln!("AWS_SECRET_ACCESS_KEY={}", new.secret);
        }
    }
    Ok(Exit::Success)
}

async fn list(server: &Arc<Server>, output: Output) -> Result<Exit> {
    let keys = server.access_keys().await?;
    match output {
        Output::Json => outln!("{}", serde_json::to_string_pretty(&keys)?),
        Output::Text => {
            for key in keys {
                let state = if key.revoked.is_some() {
                    "revoked"
                } else {
                    "active"
                };
                outln!(
                    "{}  {:<9}  {state:<7}  {}",
                    key.id,
                    key.role.word(),
                    key.name
                );
            }
        }
    }
    Ok(Exit::Success)
}
