//! This machine.

use std::collections::BTreeMap;

use capstan_runtime::Platform;
use serde::Serialize;

/// What steps and policies learn of the machine.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeInfo {
    /// In the form of SSM's managed nodes, made from the machine's own id.
    pub id: String,
    /// The AWS region that the node counts itself to.
    pub region: String,
    /// Compared with `nodeTags` of a policy.
    pub tags: BTreeMap<String, String>,
    /// The operating system.
    pub platform: Platform,
}

impl NodeInfo {
    /// Looks.
    #[must_use]
    pub fn detect() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let machine = [read("/etc/machine-id"), read("/proc/sys/kernel/hostname")].concat();
        let digest = capstan_runtime::digest(machine.as_bytes());
        let release = read("/etc/os-release");
        let field = |name: &str| {
            release
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
                .map(|value| value.trim_matches(['"', '\'']).to_owned())
                .unwrap_or_default()
        };
        let region = ["AWS_REGION", "AWS_DEFAULT_REGION"]
            .iter()
            .find_map(|name| std::env::var(name).ok());
        Self {
            id: format!("mi-{}", &digest[..17]),
            region: region.unwrap_or_else(|| "us-east-1".to_owned()),
            tags: BTreeMap::new(),
            platform: Platform {
                kind: std::env::consts::OS.to_owned(),
                name: field("ID"),
                version: field("VERSION_ID"),
                architecture: std::env::consts::ARCH.to_owned(),
            },
        }
    }
}
