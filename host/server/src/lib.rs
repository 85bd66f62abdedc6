//! The control plane: AWS Systems Manager's API over a store, and the dispatch of commands to nodes.
//!
//! A request is verified ([`auth`]), checked against the service's model ([`model`]), and given to the handler that
//! the one table ([`table`]) has for its operation. Each part of the API is a module of handlers with the tables that
//! they keep in the store.

mod api;
mod auth;
mod background;
mod commands;
mod delivery;
mod documents;
mod error;
mod groups;
mod http;
mod keys;
mod master_key;
mod metrics;
pub mod model;
mod nodes;
mod paging;
mod parameters;
mod server;
mod sql;
mod start;
mod table;
mod tags;
mod wire;

pub use auth::{AccessKey, Caller, NewAccessKey, Role};
pub use error::{ApiError, ServerError};
pub use http::{Listener, connect, serve};
pub use keys::MasterKey;
pub use master_key::{KeyService, KeyServiceError, KeySource};
pub use parameters::NodeParameters;
pub use server::{Answer, Config, Server, migrations};
pub use start::{Place, run, tls};
