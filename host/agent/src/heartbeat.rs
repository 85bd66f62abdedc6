//! Telling the control plane that the node is there, and what it is.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use capstan_runner::NodeInfo;
use serde_json::{Value, json};

use crate::api::Api;
use crate::backoff::{Backoff, pause};
use crate::status::StatusKeeper;

/// What the control plane is told of the machine.
#[derive(Debug, Clone, Default)]
pub struct NodeFacts {
    /// `Linux`, `Windows` or `MacOS`.
    pub platform_type: String,
    /// The distribution.
    pub platform_name: String,
    /// Its version.
    pub platform_version: String,
    /// The address that other machines see, if there is one.
    pub ip_address: String,
    /// The machine's name.
    pub computer_name: String,
}

impl NodeFacts {
    /// Of this machine.
    #[must_use]
    pub fn detect() -> Self {
        let platform = NodeInfo::detect().platform;
        let platform_type = match platform.kind.as_str() {
            "macos" => "MacOS",
            "windows" => "Windows",
            _ => "Linux",
        };
        Self {
            platform_type: platform_type.to_owned(),
            platform_name: platform.name,
            platform_version: platform.version,
            ip_address: address().unwrap_or_default(),
            computer_name: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
        }
    }

    fn input(&self, node: &str) -> Value {
        let mut input = json!({
            "InstanceId": node,
            "AgentName": "capstan",
            "AgentStatus": "Active",
            "AgentVersion": env!("CARGO_PKG_VERSION"),
            "PlatformType": self.platform_type,
            "SSMConnectionChannel": "ec2messages",
        });
        for (name, value) in [
            ("PlatformName", &self.platform_name),
            ("PlatformVersion", &self.platform_version),
            ("IPAddress", &self.ip_address),
            ("ComputerName", &self.computer_name),
        ] {
            if !value.is_empty() {
                input[name] = value.as_str().into();
            }
        }
        input
    }
}

/// The machine's own end of the way to elsewhere. Nothing is sent: 192.0.2.0/24 is for examples.
fn address() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip().to_string())
}

/// Where facts come from, anew for each heartbeat.
pub(crate) type Facts = Arc<dyn Fn() -> NodeFacts + Send + Sync>;

/// Tells at once and then every so often.
pub(crate) async fn run(
    api: &Api,
    facts: &Facts,
    status: &StatusKeeper,
    every: Duration,
    seldom: (Duration, Duration),
) {
    let mut backoff = Backoff::default();
    loop {
        match api.heartbeat(&facts().input(api.node_id())).await {
            Ok(()) => {
                backoff.reset();
                status.online();
                status.beat();
                pause(&*api.clock, every).await;
            }
            Err(error) if error.is_lasting() => {
                pause(&*api.clock, api.chance.between(seldom.0, seldom.1)).await;
            }
            Err(error) => {
                tracing::debug!(%error, "the heartbeat did not get through");
                pause(&*api.clock, backoff.next(&api.chance)).await;
            }
        }
    }
}
