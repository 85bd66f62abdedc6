//! Plugins of a node: where they come from, whose they are, and which are installed.
//!
//! A plugin is one component. It is believed as far as its digest stands in the lock of [`PluginStore`], which an
//! operator put there through [`Installation`] after seeing what it asks for; and it has a publisher as far as a key of
//! the policy verifies its [`Signature`].

mod error;
mod folder;
mod installation;
pub mod registry;
mod requests;
mod secret_key;
mod signature;
mod store;
mod trust;

pub use error::PluginError;
pub use folder::{Fetched, MAX_COMPONENT, component_in, read_file, signature_file};
pub use installation::{Installation, Options, Standing};
pub use requests::{Change, Request, changes, requests};
pub use signature::{
    NewKeys, PublicKey, SIGNATURE_SUFFIX, SecretKeyFile, Signature, generate, sign,
};
pub use store::{Installed, OpenComponent, PluginStore, SignedBy, Source, StoreLock};
pub use trust::{Publisher, publisher};
