//! What keeps the agent from its work.

use capstan_client::ClientError;

/// What keeps the agent from its work.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A call of the control plane failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The control plane does not know this node any more.
    #[error(
        "the control plane does not know the node {node} any more ({message}); `capstan agent register --force` with a new activation makes this machine a node again"
    )]
    Deregistered {
        /// The node.
        node: String,
        /// What the control plane said.
        message: String,
    },
    /// The node is another machine's, of which this one may be a copy.
    #[error(
        "this machine is not the one that was registered as {node} ({message}): it may be a copy of it, or its hardware was changed; `capstan agent register --force` with a new activation makes it a node of its own"
    )]
    NotThisMachine {
        /// The node.
        node: String,
        /// What the control plane said.
        message: String,
    },
    /// The machine cannot be registered, or is not.
    #[error("{0}")]
    Registration(String),
    /// Something that was read is damaged.
    #[error("{0}")]
    Damaged(String),
    /// A file.
    #[error("{what}: {source}")]
    Io {
        /// What was to be done with what.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl AgentError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// Whether an operator has to do something before it can go on: it is asked again, but seldom.
    pub(crate) fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::Deregistered { .. } | Self::NotThisMachine { .. }
        )
    }

    /// The control plane's code, if it was that which refused.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Client(error) => error.code(),
            _ => None,
        }
    }
}
