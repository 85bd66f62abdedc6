//! Puts files where an object store such as S3 keeps them.

use std::fs::File;
use std::io::Read as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body::{Body, Frame, SizeHint};

use crate::client::Client;
use crate::error::ClientError;

/// Bytes of a file that are in memory at once.
const PIECE: usize = 64 * 1024;

/// A file as the body of a request. Pieces are small, and read where they are sent: what was just written is in memory.
struct FileBody {
    file: File,
    left: u64,
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let size = usize::try_from(self.left).map_or(PIECE, |left| left.min(PIECE));
        let mut piece = vec![0; size];
        Poll::Ready(Some(match self.file.read(&mut piece) {
            Ok(0) => Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                piece.truncate(read);
                self.left -= read as u64;
                Ok(Frame::data(piece.into()))
            }
            Err(error) => Err(error),
        }))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

impl Client {
    /// Puts the next `length` bytes of a file at a path (percent-encoded, from the slash on), with headers that sign the
    /// request, over a connection of its own.
    ///
    /// # Errors
    /// What the service refuses, and what keeps it from being asked.
    pub async fn put_file(
        &self,
        path: &str,
        headers: &[(String, String)],
        file: File,
        length: u64,
        timeout: Duration,
    ) -> Result<(), ClientError> {
        let mut request = Request::put(path)
            .header(header::HOST, &self.endpoint().authority)
            .header(header::CONTENT_LENGTH, length);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request
            .body(FileBody { file, left: length })
            .map_err(|error| ClientError::Sign(error.to_string()))?;
        let exchange = async {
            let mut sender = self.connect().await?;
            let response = sender
                .send_request(request)
                .await
                .map_err(|error| self.broken(error))?;
            self.refusal(response).await
        };
        match tokio::time::timeout(timeout, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::Timeout {
                endpoint: self.endpoint().to_string(),
                operation: "PUT".to_owned(),
                seconds: timeout.as_secs(),
            }),
        }
    }
}
