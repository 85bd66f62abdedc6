//! Connections.

use std::fmt::Debug;
use std::io;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Makes connections: over TCP, or over a simulated network.
#[async_trait]
pub trait Connect: Debug + Send + Sync {
    /// Connects to a host, which is a name or an address.
    ///
    /// # Errors
    /// When it cannot be reached.
    async fn connect(&self, host: &str, port: u16) -> io::Result<Box<dyn Stream>>;
}

/// Over TCP.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpConnector;

#[async_trait]
impl Connect for TcpConnector {
    async fn connect(&self, host: &str, port: u16) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect((host, port)).await?;
        // Requests are written as a whole; waiting for more of them would only delay the end.
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
}
