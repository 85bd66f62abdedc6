//! The supervisor's side.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capstan_policy::{Confinement, Grant};
use capstan_sandbox::{
    Enforced, WorkerCommand, WorkerProcess, WorkerSpec, cleanup_worker, spawn_worker,
};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

use super::frame::{self, Frame};
use super::guest_side::channels;
use super::{BrokerCall, FromWorker, Reply, Setup, ToWorker, WORKER_COMMAND, sockets};
use crate::broker::{Broker, BrokerError};
use crate::step::{EventSink, OutputStream, StepEvent, StepReport, StepRequest};

/// How a worker is started.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// The program that knows the hidden subcommands: usually this very binary.
    pub program: PathBuf,
    /// The union of what the steps of the document may do.
    pub ceiling: Grant,
    /// Appears as `/tmp`.
    pub private_tmp: PathBuf,
    /// What the worker itself reads, besides the cache.
    pub readable: Vec<PathBuf>,
    /// What the worker itself writes.
    pub writable: Vec<PathBuf>,
    /// For what programs write beside single files that they may replace.
    pub overlays: PathBuf,
    /// Compiled components.
    pub cache: PathBuf,
}

/// Why a worker did not start, or did not finish a step.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// It could not be started.
    #[error("the worker process cannot be started: {0}")]
    Start(String),
    /// It has ended.
    #[error("the worker process has ended ({0})")]
    Gone(String),
}

/// A running worker. It ends with this value.
#[derive(Debug)]
pub struct WorkerHandle {
    process: WorkerProcess,
    enforced: Enforced,
    shared: Arc<Shared>,
}

struct Shared {
    send: mpsc::UnboundedSender<Vec<u8>>,
    steps: Mutex<HashMap<u64, Running>>,
    broker: Arc<dyn Broker>,
    sockets: OwnedFd,
}

struct Running {
    events: EventSink,
    done: oneshot::Sender<StepReport>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl WorkerHandle {
    /// Starts a worker and waits until it has confined itself.
    ///
    /// # Errors
    /// When the process cannot be started or cannot confine itself.
    pub async fn start(
        options: WorkerOptions,
        broker: Arc<dyn Broker>,
    ) -> Result<Self, WorkerError> {
        let failed = |error: &dyn std::fmt::Display| WorkerError::Start(error.to_string());
        let [(messages, their_messages), (sockets, their_sockets)] =
            channels().map_err(|error| failed(&error))?;
        let command = WorkerCommand {
            program: options.program,
            args: vec![OsString::from(WORKER_COMMAND)],
            env: Vec::new(),
            inherit: vec![their_messages, their_sockets],
            namespaces: options.ceiling.confinement == Confinement::Confined,
        };
        let process = spawn_worker(&command).map_err(|error| failed(&error))?;
        drop(command);
        let mut readable = options.readable;
        readable.push(options.cache.clone());
        let setup = Setup {
            confinement: WorkerSpec {
                ceiling: options.ceiling,
                private_tmp: options.private_tmp,
                overlays: options.overlays,
                readable,
                writable: options.writable,
                namespaces: process.namespaces.clone(),
                cgroup: process.cgroup.clone(),
            },
            cache: options.cache,
        };
        let stream = StdUnixStream::from(messages);
        stream
            .set_nonblocking(true)
            .map_err(|error| failed(&error))?;
        let stream = UnixStream::from_std(stream).map_err(|error| failed(&error))?;
        let (mut reader, writer) = stream.into_split();
        let (send, outgoing) = mpsc::unbounded_channel();
        tokio::spawn(frame::write_all(writer, outgoing));
        let _ = send.send(frame::json(&setup).map_err(|error| failed(&error))?);
        let enforced = match frame::read(&mut reader).await {
            Ok(Some(Frame::Json(bytes))) => match frame::decode(&bytes) {
                Ok(FromWorker::Ready(Ok(enforced))) => enforced,
                Ok(FromWorker::Ready(Err(why))) => return Err(WorkerError::Start(why)),
                _ => return Err(WorkerError::Start("it said something unexpected".into())),
            },
            _ => {
                return Err(WorkerError::Start(format!(
                    "it ended at once ({})",
                    process.wait()
                )));
            }
        };
        let shared = Arc::new(Shared {
            send,
            steps: Mutex::new(HashMap::new()),
            broker,
            sockets,
        });
        let listening = Arc::clone(&shared);
        tokio::spawn(async move {
            // Whatever ends the conversation, the steps that still wait learn it by their closed channels.
            while let Ok(Some(message)) = frame::read(&mut reader).await {
                if listening.take(message).is_err() {
                    break;
                }
            }
            lock(&listening.steps).clear();
        });
        Ok(Self {
            process,
            enforced,
            shared,
        })
    }

    /// Runs one attempt of a step.
    ///
    /// # Errors
    /// When the worker dies.
    pub async fn run_step(
        &self,
        request: StepRequest,
        events: EventSink,
    ) -> Result<StepReport, WorkerError> {
        let (done, report) = oneshot::channel();
        lock(&self.shared.steps).insert(request.id, Running { events, done });
        let bytes = frame::json(&ToWorker::Run(Box::new(request)))
            .map_err(|error| WorkerError::Gone(error.to_string()))?;
        let _ = self.shared.send.send(bytes);
        match report.await {
            Ok(report) => Ok(report),
            Err(_) => {
                self.process.kill();
                Err(WorkerError::Gone(self.process.wait()))
            }
        }
    }

    /// Asks a step to stop: its programs end at once, its action soon after.
    pub fn cancel(&self, step: u64) {
        if let Ok(bytes) = frame::json(&ToWorker::Cancel(step)) {
            let _ = self.shared.send.send(bytes);
        }
    }

    /// Ends the worker with all that it started.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// The layers in force.
    #[must_use]
    pub fn enforced(&self) -> &Enforced {
        &self.enforced
    }
}

impl Drop for WorkerHandle {
    fn drop(&mut self) {
        self.process.kill();
        let _ = self.process.wait();
        cleanup_worker();
    }
}

impl Shared {
    /// Takes a message; an error ends the conversation.
    fn take(self: &Arc<Self>, message: Frame) -> std::io::Result<()> {
        let message = match message {
            Frame::Output(step, stream, data) => {
                let stream = if stream == 0 {
                    OutputStream::Stdout
                } else {
                    OutputStream::Stderr
                };
                let events = lock(&self.steps)
                    .get(&step)
                    .map(|running| Arc::clone(&running.events));
                if let Some(events) = events {
                    events(StepEvent::Output { stream, data });
                }
                return Ok(());
            }
            Frame::Json(bytes) => frame::decode(&bytes)?,
        };
        match message {
            FromWorker::Ready(_) => {}
            FromWorker::Event { step, event } => {
                let events = lock(&self.steps)
                    .get(&step)
                    .map(|running| Arc::clone(&running.events));
                if let Some(events) = events {
                    events(event);
                }
            }
            FromWorker::Done { step, report } => {
                if let Some(running) = lock(&self.steps).remove(&step) {
                    let _ = running.done.send(*report);
                }
            }
            FromWorker::Call {
                call,
                step,
                request,
            } => {
                let shared = Arc::clone(self);
                // A call for a step that does not run is answered by nobody.
                if lock(&self.steps).contains_key(&step) {
                    tokio::spawn(async move { shared.serve(call, step, request).await });
                }
            }
        }
        Ok(())
    }

    async fn serve(&self, call: u64, step: u64, request: BrokerCall) {
        let broker = &self.broker;
        let reply = match request {
            BrokerCall::Connect(request) => match broker.connect(step, request).await {
                Ok(connected) => sockets::send(&self.sockets, call, &connected.socket)
                    .map(|()| Reply::Connected(connected.peer))
                    .map_err(|error| BrokerError::Io(error.to_string())),
                Err(error) => Err(error),
            },
            BrokerCall::Parameter(name) => {
                broker.parameter(step, &name).await.map(Reply::Parameter)
            }
            BrokerCall::FindSecret(name) => {
                broker.find_secret(step, &name).await.map(|()| Reply::Found)
            }
            BrokerCall::Secret(name, place) => {
                broker.secret(step, &name, &place).await.map(Reply::Text)
            }
            BrokerCall::Sign(request) => broker.sign(step, request).await.map(Reply::Headers),
            BrokerCall::Document(name) => broker.document(step, &name).await.map(Reply::Text),
            BrokerCall::RunDocument(request) => broker
                .run_document(step, request)
                .await
                .map(Reply::Document),
            BrokerCall::AwsEndpoint(service) => broker
                .aws_endpoint(step, &service)
                .await
                .map(Reply::Endpoint),
        };
        if let Ok(bytes) = frame::json(&ToWorker::Reply { call, reply }) {
            let _ = self.send.send(bytes);
        }
    }
}
