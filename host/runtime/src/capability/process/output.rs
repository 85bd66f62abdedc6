//! What goes into a program and what comes out of it.

use std::collections::VecDeque;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use capstan_sandbox::Stdio;
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use crate::bindings::capstan::host::process::OutputTarget;
use crate::bindings::capstan::host::types::{Error, OutputStream as WitStream};
use crate::shared::StepShared;
use crate::step::OutputStream;

/// Captured output that the guest has not read yet; beyond it the child waits.
const QUEUE_BYTES: u32 = 1 << 20;
const READ_BYTES: usize = 32 << 10;

/// What was captured and not read yet.
pub(super) struct Queue {
    pub(super) chunks: Mutex<VecDeque<(WitStream, Vec<u8>)>>,
    /// How many streams there are that more can come of.
    pub(super) open: Mutex<usize>,
    pub(super) changed: Notify,
    pub(super) room: Semaphore,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            chunks: Mutex::new(VecDeque::new()),
            open: Mutex::new(0),
            changed: Notify::new(),
            room: Semaphore::new(QUEUE_BYTES as usize),
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes as a descriptor to read from: an anonymous file, so that nobody has to write while the child reads.
pub(super) fn feed(bytes: &[u8]) -> Result<Stdio, Error> {
    let failed = |error: std::io::Error| Error::Io(format!("standard input: {error}"));
    let file = rustix::fs::memfd_create("stdin", rustix::fs::MemfdFlags::CLOEXEC)
        .map_err(|error| failed(error.into()))?;
    let mut file = std::fs::File::from(file);
    file.write_all(bytes).map_err(failed)?;
    std::io::Seek::rewind(&mut file).map_err(failed)?;
    Ok(Stdio::Descriptor(OwnedFd::from(file)))
}

/// A pipe for one stream of the child, and the task that reads it.
pub(super) fn output(
    shared: &Arc<StepShared>,
    queue: &Arc<Queue>,
    target: OutputTarget,
    stream: OutputStream,
    readers: &mut Vec<JoinHandle<()>>,
) -> Result<Stdio, Error> {
    let (to_step, to_guest) = match target {
        OutputTarget::Step => (true, false),
        OutputTarget::Capture => (false, true),
        OutputTarget::Both => (true, true),
        OutputTarget::Discard => return Ok(Stdio::Null),
    };
    let failed = |error: std::io::Error| Error::Io(format!("a pipe: {error}"));
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
    let receiver = Receiver::from_owned_fd(read).map_err(failed)?;
    if to_guest {
        *lock(&queue.open) += 1;
    }
    let (shared, queue) = (Arc::clone(shared), Arc::clone(queue));
    readers.push(tokio::spawn(pump(
        receiver, shared, queue, stream, to_step, to_guest,
    )));
    Ok(Stdio::Descriptor(write))
}

async fn pump(
    mut receiver: Receiver,
    shared: Arc<StepShared>,
    queue: Arc<Queue>,
    stream: OutputStream,
    to_step: bool,
    to_guest: bool,
) {
    let mut buffer = Vec::with_capacity(READ_BYTES);
    while let Ok(count @ 1..) = receiver.read_buf(&mut buffer).await {
        if to_step {
            shared.output(stream, &buffer);
        }
        if to_guest {
            if let Ok(permit) = queue
                .room
                .acquire_many(u32::try_from(count).unwrap_or(QUEUE_BYTES))
                .await
            {
                permit.forget();
            }
            let source = match stream {
                OutputStream::Stdout => WitStream::Stdout,
                OutputStream::Stderr => WitStream::Stderr,
            };
            lock(&queue.chunks).push_back((source, buffer.clone()));
            queue.changed.notify_one();
        }
        buffer.clear();
    }
    if to_guest {
        *lock(&queue.open) -= 1;
        queue.changed.notify_one();
    }
}
