//! How a machine becomes a node.

use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;

use capstan_client::{Client, Connect, Endpoint, Options, TcpConnector};
use capstan_clock::{Clock, SystemClock};
use serde_json::json;

use crate::api::SSM;
use crate::error::AgentError;
use crate::fingerprint::Fingerprint;
use crate::folder::{AgentFolder, DONE, PENDING, REPLIES};
use crate::identity::Identity;
use crate::key::Key;

/// What a machine is registered with.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Where the control plane is: `https://HOST:PORT`.
    pub endpoint: String,
    /// The activation's id.
    pub activation_id: String,
    /// The activation's code.
    pub activation_code: String,
    /// The region that requests are signed for.
    pub region: String,
    /// Certificates (PEM) that are trusted besides those of the machine.
    pub ca: Option<PathBuf>,
    /// Replaces a registration that there is.
    pub force: bool,
    /// The network.
    pub connector: Arc<dyn Connect>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Registration {
    /// On this machine's network, and with its clock.
    #[must_use]
    pub fn new(
        endpoint: impl Into<String>,
        activation_id: impl Into<String>,
        activation_code: impl Into<String>,
    ) -> Self {
        Self {
            endpoint: endpoint.into(),
            activation_id: activation_id.into(),
            activation_code: activation_code.into(),
            region: "us-east-1".to_owned(),
            ca: None,
            force: false,
            connector: Arc::new(TcpConnector),
            clock: Arc::new(SystemClock),
        }
    }
}

/// Registers this machine. What a registration before it left is forgotten: its commands are another node's.
///
/// # Errors
/// When the machine is registered already, an agent runs, or the control plane refuses.
pub async fn register(
    folder: &AgentFolder,
    registration: &Registration,
) -> Result<Identity, AgentError> {
    if let (Some(identity), false) = (Identity::find(folder)?, registration.force) {
        return Err(AgentError::Registration(format!(
            "this machine is the node {} of {} already; --force registers it anew",
            identity.node_id, identity.endpoint
        )));
    }
    let Some(_lock) = folder.lock()? else {
        return Err(AgentError::Registration(
            "an agent runs on this machine: stop it first (systemctl stop capstan-agent)"
                .to_owned(),
        ));
    };
    let endpoint = Endpoint::from_str(&registration.endpoint)?;
    // The agent may be started elsewhere than it is registered.
    let ca = registration
        .ca
        .as_ref()
        .map(|path| std::fs::canonicalize(path).map_err(AgentError::io(path.display().to_string())))
        .transpose()?;
    let client = Client::new(
        endpoint.clone(),
        Options {
            region: registration.region.clone(),
            ca: ca.clone(),
            connector: Arc::clone(&registration.connector),
            clock: Arc::clone(&registration.clock),
            ..Options::default()
        },
    )?;
    let key = Key::generate().await?;
    let fingerprint = Fingerprint::new();
    let input = json!({
        "ActivationId": registration.activation_id.trim(),
        "ActivationCode": registration.activation_code.trim(),
        "PublicKey": key.public()?,
        "PublicKeyType": "Rsa",
        "Fingerprint": fingerprint.id,
    });
    let answer = client
        .call_unsigned(SSM.0, SSM.1, "RegisterManagedInstance", &input)
        .await
        .map_err(|error| match error.code() {
            Some("InvalidActivation" | "InvalidActivationId") => {
                AgentError::Registration(format!(
                    "{endpoint} does not accept the activation: {error}\nIt may have expired, be used up, or be \
                     mistyped. An operator makes a new one: aws ssm create-activation --iam-role NAME --endpoint-url \
                     {endpoint}"
                ))
            }
            _ => error.into(),
        })?;
    let node_id = answer["InstanceId"]
        .as_str()
        .ok_or_else(|| AgentError::Damaged(format!("{endpoint} answered without a node's id")))?;
    for name in [PENDING, REPLIES, DONE] {
        for file in folder.list(name)? {
            folder.remove(&format!("{name}/{file}.json"))?;
        }
    }
    folder.remove("status.json")?;
    let identity = Identity {
        node_id: node_id.to_owned(),
        endpoint: endpoint.to_string(),
        region: registration.region.clone(),
        ca,
        registered: registration.clock.now().to_string(),
        fingerprint,
        key,
        next_key: None,
    };
    identity.save(folder)?;
    Ok(identity)
}
