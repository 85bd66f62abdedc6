//! What a step needs from outside of its worker.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use async_trait::async_trait;
use capstan_policy::SecretPlace;
use serde::{Deserialize, Serialize};

/// Serves the worker. Every call is checked again, against the grants the supervisor itself computed, so that a
/// worker that was taken over gains nothing by asking.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Resolves a name and connects to one of its addresses, as far as the step's grant allows.
    async fn connect(&self, step: u64, request: ConnectRequest) -> Result<Connected, BrokerError>;
    /// A plain parameter by name, `name:version` or `name:label`.
    async fn parameter(&self, step: u64, name: &str) -> Result<ParameterValue, BrokerError>;
    /// Whether there is such a secret or secure parameter, and the step may use it somewhere.
    async fn find_secret(&self, step: u64, name: &str) -> Result<(), BrokerError>;
    /// The value of a secret or secure parameter, to be put into a place.
    async fn secret(
        &self,
        step: u64,
        name: &str,
        place: &SecretPlace,
    ) -> Result<String, BrokerError>;
    /// The headers that sign a request (AWS Signature Version 4).
    async fn sign(
        &self,
        step: u64,
        request: SignRequest,
    ) -> Result<Vec<(String, String)>, BrokerError>;
    /// The text of a stored document.
    async fn document(&self, step: u64, name: &str) -> Result<String, BrokerError>;
    /// Runs a nested document to its end.
    async fn run_document(
        &self,
        step: u64,
        request: DocumentRequest,
    ) -> Result<DocumentResult, BrokerError>;
    /// The endpoint that the operator set for an AWS service.
    async fn aws_endpoint(&self, step: u64, service: &str) -> Result<Option<String>, BrokerError>;
}

/// Where to connect to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConnectRequest {
    /// `http`, `https` or `tcp`.
    pub scheme: String,
    /// A name or an address.
    pub host: String,
    /// TCP.
    pub port: u16,
}

/// A connected TCP socket.
#[derive(Debug)]
pub struct Connected {
    /// Non-blocking.
    pub socket: OwnedFd,
    /// Whom it reached.
    pub peer: SocketAddr,
}

/// A plain parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParameterValue {
    /// `String`.
    Text(String),
    /// `StringList`.
    List(Vec<String>),
}

/// A request to sign.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SignRequest {
    /// `s3`.
    pub service: String,
    /// `eu-central-1`.
    pub region: String,
    /// Upper case.
    pub method: String,
    /// Absolute.
    pub url: String,
    /// What is sent besides.
    pub headers: Vec<(String, String)>,
    /// SHA-256 of the body, lower-case hexadecimal.
    pub body_sha256: String,
}

/// A nested document.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DocumentRequest {
    /// For people and for the policy.
    pub name: String,
    /// YAML or JSON.
    pub content: String,
    /// A mapping, in YAML or JSON.
    pub parameters: String,
}

/// How a nested document ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DocumentResult {
    /// SSM's status word.
    pub status: String,
    /// The first code that is not 0.
    pub exit_code: i32,
}

/// Why the supervisor did not serve a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum BrokerError {
    /// Not in the grant.
    #[error("{capability}: {target} is not granted: {hint}")]
    Denied {
        /// The kind of capability.
        capability: String,
        /// What was asked for.
        target: String,
        /// What to grant.
        hint: String,
    },
    /// It does not exist.
    #[error("{0} does not exist")]
    NotFound(String),
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The network or the machine failed.
    #[error("{0}")]
    Io(String),
    /// It took too long.
    #[error("timed out")]
    TimedOut,
    /// The supervisor is gone.
    #[error("the supervisor has gone away")]
    Gone,
}
