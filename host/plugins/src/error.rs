//! Why a plugin is not installed, signed or fetched.

use std::path::Path;

/// What can go wrong with plugins.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// Something that was named does not exist or does not make sense.
    #[error("{0}")]
    Invalid(String),
    /// It is not to be trusted, or nobody approved of it.
    #[error("{0}")]
    Refused(String),
    /// A file.
    #[error("{what}: {error}")]
    Io {
        /// What was being done, with the path.
        what: String,
        /// The answer of the operating system.
        #[source]
        error: std::io::Error,
    },
    /// A registry could not be reached or answered with something unexpected.
    #[error("{0}")]
    Registry(String),
    /// The file is no component, or its manifest is malformed.
    #[error("{what}: {error}")]
    Component {
        /// The file or reference.
        what: String,
        /// What is wrong with it.
        #[source]
        error: capstan_runtime::RuntimeError,
    },
}

impl PluginError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let what = path.display().to_string();
        move |error| Self::Io { what, error }
    }
}
