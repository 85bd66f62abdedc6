//! Connections: made by the supervisor after a check, used by the worker.

mod connect;
mod counted;
mod proxy;
mod tls;

pub use connect::connect_checked;
pub(crate) use proxy::{ChildProxy, tokio_stream};
pub(crate) use tls::connector;
