//! What can go wrong outside of a step.

use std::path::PathBuf;

/// Why a component cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The engine could not be set up.
    #[error("the WebAssembly engine cannot be set up: {0}")]
    Engine(String),
    /// The file is no component that this host can run.
    #[error("{0}")]
    Component(String),
    /// The manifest is missing or malformed.
    #[error("the component's manifest: {0}")]
    Manifest(String),
    /// The compile cache cannot be used.
    #[error("the compile cache {path}: {why}", path = path.display())]
    Cache {
        /// Its folder.
        path: PathBuf,
        /// What is wrong and what to do.
        why: String,
    },
}

impl RuntimeError {
    pub(crate) fn engine(error: wasmtime::Error) -> Self {
        Self::Engine(format!("{error:#}"))
    }
}
