//! Why there is no report.

use capstan_runner::RunnerError;
use capstan_runtime::RuntimeError;

/// What keeps a component from being run at all. What happens when it runs is a part of the report.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    /// The request makes no sense; what of it, and why.
    #[error("{0}")]
    Request(String),
    /// The component cannot be used.
    #[error(transparent)]
    Component(#[from] RunnerError),
    /// The engine or the compile cache.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The folder that holds the files of the world.
    #[error("{what}: {error}")]
    Io {
        /// What was being done, with the path.
        what: String,
        /// The answer of the operating system.
        #[source]
        error: std::io::Error,
    },
}

impl HarnessError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }
}
