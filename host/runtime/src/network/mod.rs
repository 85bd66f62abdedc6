//! Connections: made by the supervisor after a check, used by the worker.

mod client;
mod connect;
mod counted;
mod proxy;
mod tls;

pub use client::{CONNECT_VARIABLE, ClientError, connect_through_proxy};
pub(crate) use connect::check_literal;
pub use connect::connect_checked;
pub(crate) use proxy::{ChildProxy, tokio_stream};
pub(crate) use tls::connector;
