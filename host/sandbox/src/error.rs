//! What can go wrong.

use std::io;

use capstan_policy::Layer;

/// Why a process could not be started or confined.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A layer that the grant relies on is missing and the policy does not accept that.
    #[error(
        "the layer {} cannot be put in force ({why}); a policy accepts its absence with `mayLack: [{}]`",
        layer_name(*layer),
        layer_name(*layer)
    )]
    NotEnforceable {
        /// Which.
        layer: Layer,
        /// Why it is missing.
        why: String,
    },
    /// A system call failed.
    #[error("{what}: {error}")]
    System {
        /// What was being done.
        what: String,
        /// The kernel's answer.
        #[source]
        error: io::Error,
    },
    /// The program could not be started.
    #[error("{program}: {stage}: {error}")]
    Spawn {
        /// Its path.
        program: String,
        /// What failed: `execve`, `chdir`, …
        stage: &'static str,
        /// The kernel's answer.
        #[source]
        error: io::Error,
    },
    /// The grant names a user that does not exist.
    #[error("the user {0} of `runAs` does not exist on this machine")]
    UnknownUser(String),
    /// An argument, path or variable holds a NUL byte.
    #[error("{0} holds a NUL byte")]
    Nul(String),
}

impl SandboxError {
    pub(crate) fn system(what: impl Into<String>, error: impl Into<io::Error>) -> Self {
        Self::System {
            what: what.into(),
            error: error.into(),
        }
    }

    pub(crate) fn last(what: impl Into<String>) -> Self {
        Self::System {
            what: what.into(),
            error: io::Error::last_os_error(),
        }
    }
}

/// The layer's name as a policy writes it.
pub(crate) fn layer_name(layer: Layer) -> String {
    serde_json::to_value(layer)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}
