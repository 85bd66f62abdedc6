//! Calls services of AWS's JSON 1.1 protocol: the control plane of Capstan, and AWS's own.
//!
//! Built for programs that are idle most of the time: connections are kept while the server keeps them, nothing runs
//! between calls, and the certificates of the machine are read only if an endpoint needs them. Network and clock come
//! from outside ([`Connect`], [`capstan_clock::Clock`]), so that what calls can be tested in a simulation.

mod client;
mod connect;
mod endpoint;
mod error;
mod object;
mod sign;
mod tls;

pub use client::{Client, Options};
pub use connect::{Connect, Stream, TcpConnector};
pub use endpoint::Endpoint;
pub use error::{ClientError, ServiceError};
pub use sign::{Credentials, NodeKey, Signer};
