//! Who calls.

mod access_keys;
mod session;
mod sigv4;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use capstan_store::{Store, StoreError};
use http::request::Parts;
use jiff::Timestamp;
use ring::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};

pub use access_keys::{AccessKey, NewAccessKey, Role};
pub(crate) use access_keys::{MIGRATION, generate, insert, list, revoke};
pub(crate) use session::Sessions;
pub(crate) use sigv4::hex;
use sigv4::{Signed, mismatch};

use crate::error::ApiError;
use crate::keys::{MasterKey, Sealer};
use crate::nodes;

/// Who calls the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// The holder of an access key.
    Key {
        /// The key's id.
        id: String,
        /// Whom it was made for.
        name: String,
        /// What it may do.
        role: Role,
    },
    /// A node, with the credentials that it got for an hour.
    Node(String),
    /// A node that signed with its own key.
    NodeKey(String),
    /// The server itself.
    Server,
    /// Somebody who did not sign.
    Nobody,
}

impl Caller {
    /// The ARN by which errors and records name them.
    #[must_use]
    pub fn arn(&self, account: &str) -> String {
        match self {
            Self::Key { name, .. } => format!("arn:aws:iam::{account}:user/{name}"),
            Self::Node(id) | Self::NodeKey(id) => {
                format!("arn:aws:sts::{account}:assumed-role/CapstanNode/{id}")
            }
            Self::Server => format!("arn:aws:iam::{account}:root"),
            Self::Nobody => "anonymous".to_owned(),
        }
    }
}

/// Verifies signatures.
#[derive(Debug)]
pub(crate) struct Authenticator {
    pub(crate) access_keys: Sealer,
    pub(crate) sessions: Sessions,
}

impl Authenticator {
    pub(crate) fn new(master: &MasterKey) -> Self {
        Self {
            access_keys: master.sealer("access keys"),
            sessions: Sessions::new(master),
        }
    }

    /// Who sent this request to `service`.
    pub(crate) async fn caller(
        &self,
        store: &Store,
        parts: &Parts,
        body: &[u8],
        service: &str,
        now: Timestamp,
    ) -> Result<Caller, ApiError> {
        let signed = Signed::of(parts, body, now)?;
        if signed.service != service {
            return Err(ApiError::new(
                "InvalidSignatureException",
                format!("Credential should be scoped to correct service: '{service}'."),
            ));
        }
        if signed.key_id.starts_with(session::PREFIX) {
            let (secret, node) =
                self.sessions
                    .open(&signed.key_id, signed.token.as_deref(), now.as_second())?;
            signed.verify(&secret)?;
            let id = node.clone();
            return match store.read(move |tx| nodes::is_registered(tx, &id)).await? {
                true => Ok(Caller::Node(node)),
                false => Err(gone(&node)),
            };
        }
        if nodes::is_id(&signed.key_id) {
            return self.node_key(store, &signed).await;
        }
        let id = signed.key_id.clone();
        let found = store
            .read::<_, StoreError>(move |tx| access_keys::find(tx, &id))
            .await?;
        let Some((key, sealed)) = found else {
            return Err(ApiError::new(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            ));
        };
        let secret = self
            .access_keys
            .open(&key.id, &sealed)
            .ok()
            .and_then(|secret| String::from_utf8(secret).ok());
        let Some(secret) = secret else {
            tracing::error!(
                key = key.id,
                "the secret of an access key cannot be opened: is this its master key?"
            );
            return Err(ApiError::internal());
        };
        signed.verify(&secret)?;
        Ok(Caller::Key {
            id: key.id,
            name: key.name,
            role: key.role,
        })
    }

    /// A node signs the string to sign with its RSA key (PSS, SHA-256, a salt of 32 bytes), as the SSM agent does.
    async fn node_key(&self, store: &Store, signed: &Signed) -> Result<Caller, ApiError> {
        let id = signed.key_id.clone();
        let key = store
            .read(move |tx| nodes::public_key(tx, &id))
            .await?
            .ok_or_else(|| gone(&signed.key_id))?;
        let (text, signature) = signed.by_node_key();
        let signature = BASE64_STANDARD.decode(signature).map_err(|_| mismatch())?;
        UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, &key)
            .verify(text.as_bytes(), &signature)
            .map_err(|_| mismatch())?;
        Ok(Caller::NodeKey(signed.key_id.clone()))
    }
}

/// The node was deregistered, or never was.
fn gone(node: &str) -> ApiError {
    ApiError::new(
        "UnrecognizedClientException",
        format!("The node {node} is not registered here: register it anew with an activation."),
    )
}
