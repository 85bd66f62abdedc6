//! Who this machine is to its control plane.

use std::path::PathBuf;

use capstan_client::NodeKey;
use serde::{Deserialize, Serialize};

use crate::error::AgentError;
use crate::fingerprint::Fingerprint;
use crate::folder::AgentFolder;
use crate::key::Key;

/// The file.
const FILE: &str = "identity.json";

/// Who this machine is to its control plane.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// `mi-…`.
    pub node_id: String,
    /// Where the control plane is.
    pub endpoint: String,
    /// The region that requests are signed for.
    pub region: String,
    /// Certificates (PEM) that are trusted besides those of the machine.
    pub ca: Option<PathBuf>,
    /// When the machine was registered.
    pub registered: String,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) key: Key,
    /// A key that the control plane may know already in the place of `key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next_key: Option<Key>,
}

impl Identity {
    /// The identity that is kept, if this machine is registered.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn find(folder: &AgentFolder) -> Result<Option<Self>, AgentError> {
        folder.read(FILE)
    }

    /// The identity that is kept. A machine that is not the one that was registered any more gets another
    /// fingerprint, with which the control plane refuses it.
    ///
    /// # Errors
    /// When this machine is not registered.
    pub fn load(folder: &AgentFolder) -> Result<Self, AgentError> {
        let mut identity = Self::find(folder)?.ok_or_else(|| {
            AgentError::Registration(
                "this machine is not registered: `capstan agent register` does it, with an activation that \
                 CreateActivation makes"
                    .to_owned(),
            )
        })?;
        let fingerprint = identity.fingerprint.check();
        if fingerprint != identity.fingerprint {
            tracing::warn!("this is another machine than the one that was registered");
            identity.fingerprint = fingerprint;
            identity.save(folder)?;
        }
        Ok(identity)
    }

    pub(crate) fn save(&self, folder: &AgentFolder) -> Result<(), AgentError> {
        folder.write(FILE, self)
    }

    /// The key, to sign with.
    pub(crate) fn signing(&self, key: &Key) -> Result<NodeKey, AgentError> {
        Ok(NodeKey::new(&self.node_id, &key.der()?)?)
    }
}
