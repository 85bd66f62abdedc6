//! The machine that a server runs on, as its first node.

use std::io;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use capstan_agent::{Agent, AgentFolder, Identity, Registration, register};
use capstan_client::{Connect, Stream};
use capstan_runner::StateFolder;
use capstan_server::Server;
use serde_json::json;

use super::agent::NodeArguments;

/// The endpoint that the identity of such a node names: it is reached without a network.
const ENDPOINT: &str = "http://localhost";

/// Connections to the server of this process.
#[derive(Debug)]
struct InProcess(Arc<Server>);

#[async_trait]
impl Connect for InProcess {
    async fn connect(&self, _: &str, _: u16) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(capstan_server::connect(&self.0)))
    }
}

/// The agent of this machine, registered if it was not. None if the machine is a node of another server.
pub(super) async fn join(
    server: &Arc<Server>,
    state: StateFolder,
    arguments: &NodeArguments,
) -> Result<Option<Agent>> {
    let folder = AgentFolder::open(state.root())?;
    let connector: Arc<dyn Connect> = Arc::new(InProcess(server.clone()));
    let identity = match Identity::find(&folder)? {
        Some(identity) if identity.endpoint != ENDPOINT => {
            tracing::warn!(
                node = identity.node_id,
                server = identity.endpoint,
                "this machine is a node of another server and does not become one of this; --no-local-node says so"
            );
            return Ok(None);
        }
        Some(identity) if is_known(server, &identity.node_id).await? => Identity::load(&folder)?,
        // It was deregistered, or the database is a new one.
        known => first(server, &folder, connector.clone(), known.is_some()).await?,
    };
    tracing::info!(
        node = identity.node_id,
        "this machine is a node of its own server"
    );
    Ok(Some(arguments.agent(state, &folder, identity, connector)?))
}

async fn is_known(server: &Arc<Server>, node: &str) -> Result<bool> {
    let filters = json!({"Filters": [{"Key": "InstanceIds", "Values": [node]}]});
    let answer = server
        .call_own("DescribeInstanceInformation", filters)
        .await?;
    Ok(answer["InstanceInformationList"]
        .as_array()
        .is_some_and(|nodes| !nodes.is_empty()))
}

/// Registers this machine with an activation for it alone.
async fn first(
    server: &Arc<Server>,
    folder: &AgentFolder,
    connector: Arc<dyn Connect>,
    force: bool,
) -> Result<Identity> {
    let activation = server
        .call_own(
            "CreateActivation",
            json!({
                "IamRole": "CapstanNode",
                "DefaultInstanceName": rustix::system::uname().nodename().to_string_lossy(),
                "Description": "The machine of the server itself",
            }),
        )
        .await?;
    let part = |name: &str| {
        activation[name]
            .as_str()
            .map(str::to_owned)
            .with_context(|| format!("no {name}"))
    };
    let registration = Registration {
        connector,
        force,
        ..Registration::new(ENDPOINT, part("ActivationId")?, part("ActivationCode")?)
    };
    Ok(register(folder, &registration).await?)
}
