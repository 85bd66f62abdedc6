//! Why a document does not run at all.

use capstan_document::Diagnostics;
use capstan_plugins::PluginError;

/// What keeps a document from being run. What happens within steps is a part of the result instead.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The document or its parameters.
    #[error("{0}")]
    Document(#[from] Diagnostics),
    /// Something that was named does not exist or does not make sense.
    #[error("{0}")]
    Invalid(String),
    /// Something is not to be trusted.
    #[error("{0}")]
    Refused(String),
    /// The state folder or another file.
    #[error("{what}: {error}")]
    Io {
        /// What was being done, with the path.
        what: String,
        /// The answer of the operating system.
        #[source]
        error: std::io::Error,
    },
    /// A component or the engine.
    #[error(transparent)]
    Runtime(#[from] capstan_runtime::RuntimeError),
    /// The worker process.
    #[error(transparent)]
    Worker(#[from] capstan_runtime::worker::WorkerError),
}

impl From<PluginError> for RunnerError {
    fn from(error: PluginError) -> Self {
        match error {
            PluginError::Refused(why) => Self::Refused(why),
            PluginError::Io { what, error } => Self::Io { what, error },
            other => Self::Invalid(other.to_string()),
        }
    }
}

impl RunnerError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }
}
