//! Bodies and streams of a step's programs, counted as they pass.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::shared::StepShared;

/// What ends with the step, or with its limit.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    step: Weak<StepShared>,
}

/// Why nothing passes any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the step has ended, or its limit of HTTP traffic is used up")]
struct Over;

impl Meter {
    pub(crate) fn new(step: &Arc<StepShared>) -> Self {
        Self {
            step: Arc::downgrade(step),
        }
    }

    fn count(&self, bytes: usize) -> io::Result<()> {
        let within = self
            .step
            .upgrade()
            .is_some_and(|step| step.count_http(0, bytes as u64));
        if within {
            Ok(())
        } else {
            Err(io::Error::other(Over))
        }
    }
}

/// A body or stream, and who counts what is read from it.
#[derive(Debug)]
pub(crate) struct Counted<T> {
    inner: T,
    meter: Meter,
}

impl<T> Counted<T> {
    pub(crate) fn new(inner: T, meter: Meter) -> Self {
        Self { inner, meter }
    }
}

impl<B> Body for Counted<B>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        polled.map(|frame| {
            let frame = frame?.map_err(io::Error::other);
            Some(frame.and_then(|frame| {
                let length = frame.data_ref().map_or(0, Bytes::len);
                self.meter.count(length).map(|()| frame)
            }))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.inner).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => Poll::Ready(self.meter.count(buffer.filled().len() - before)),
            other => other,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
