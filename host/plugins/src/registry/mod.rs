//! Registries of OCI artifacts, as far as plugins need them.
//!
//! A plugin is one artifact in the layout that the CNCF's Wasm working group describes: a config of its own media type
//! and the component as the only layer. Six requests of the distribution protocol do for that; the clients that there
//! are bring some thirty crates for it, and read a manifest however large it is.

mod artifact;
mod client;
mod credentials;
mod reference;

pub use artifact::{Pushed, pull, push};
pub use credentials::Credentials;
pub use reference::Reference;

/// How a registry is talked to.
#[derive(Debug, Default)]
pub struct Access {
    /// Without TLS. Registries on this very machine are always talked to so.
    pub plain_http: bool,
    /// Instead of those in the configuration of docker.
    pub credentials: Option<Credentials>,
}
