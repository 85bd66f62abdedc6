//! The worker's own side.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use capstan_policy::SecretPlace;
use capstan_sandbox::{Sandbox, enter_worker};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};

use super::frame::{self, Frame};
use super::{BrokerCall, FromWorker, Reply, Setup, ToWorker, sockets};
use crate::broker::{
    Broker, BrokerError, ConnectRequest, Connected, DocumentRequest, DocumentResult,
    ParameterValue, SignRequest,
};
use crate::cache::CompileCache;
use crate::runtime::Runtime;
use crate::step::{OutputStream, StepEvent, StepRequest};

/// Descriptors that a worker inherits.
const MESSAGES: i32 = 3;
const SOCKETS: i32 = 4;

/// The whole life of a worker process: confine itself, then run steps until the supervisor closes the socket. To
/// be called at the very start of the program, while it has one thread.
#[must_use]
pub fn worker_main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is the supervisor's; this is for whoever debugs a worker that does not start.
            let _ = io::Write::write_all(
                &mut io::stderr(),
                format!("capstan worker: {error}\n").as_bytes(),
            );
            ExitCode::FAILURE
        }
    }
}

/// A descriptor that this process inherited.
fn inherited(number: i32) -> io::Result<OwnedFd> {
    use std::os::fd::FromRawFd as _;
    // SAFETY: a worker is started with these two descriptors and takes each of them once, here.
    #[expect(
        unsafe_code,
        reason = "there is no other way to take an inherited descriptor"
    )]
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC)?;
    Ok(descriptor)
}

fn read_setup(stream: &mut StdUnixStream) -> io::Result<Setup> {
    use std::io::Read as _;
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    let [a, b, c, d, _] = head;
    let mut body = vec![0; (u32::from_le_bytes([a, b, c, d]) as usize).min(frame::MAX_FRAME)];
    stream.read_exact(&mut body)?;
    frame::decode(&body)
}

fn run() -> io::Result<()> {
    let mut stream = StdUnixStream::from(inherited(MESSAGES)?);
    let channel = inherited(SOCKETS)?;
    let setup = read_setup(&mut stream)?;
    let entered = enter_worker(&setup.confinement).map_err(|error| error.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async move {
        stream.set_nonblocking(true)?;
        let stream = UnixStream::from_std(stream)?;
        serve(stream, channel, entered, &setup).await
    })
}

struct Worker {
    runtime: Runtime,
    broker: Arc<RemoteBroker>,
    send: mpsc::UnboundedSender<Vec<u8>>,
    cancels: Mutex<HashMap<u64, watch::Sender<bool>>>,
}

async fn serve(
    stream: UnixStream,
    channel: OwnedFd,
    entered: Result<Sandbox, String>,
    setup: &Setup,
) -> io::Result<()> {
    let (mut reader, writer) = stream.into_split();
    let (send, messages) = mpsc::unbounded_channel();
    let writing = tokio::spawn(frame::write_all(writer, messages));
    let ready = |result: Result<capstan_sandbox::Enforced, String>| -> io::Result<()> {
        let _ = send.send(frame::json(&FromWorker::Ready(result))?);
        Ok(())
    };
    let started = entered.and_then(|sandbox| {
        let sandbox = Arc::new(sandbox);
        let cache = CompileCache::open(&setup.cache).map_err(|error| error.to_string())?;
        Ok((
            Runtime::new(cache, Arc::clone(&sandbox)).map_err(|error| error.to_string())?,
            sandbox,
        ))
    });
    let runtime = match started {
        Ok((runtime, sandbox)) => {
            ready(Ok(sandbox.enforced().clone()))?;
            runtime
        }
        Err(why) => {
            ready(Err(why))?;
            drop(send);
            return writing.await.map_err(io::Error::other)?;
        }
    };
    let broker = Arc::new(RemoteBroker {
        send: send.clone(),
        next: AtomicU64::new(1),
        calls: Mutex::new(HashMap::new()),
        arrived: Mutex::new(HashMap::new()),
        channel: crate::capability::owned_async(channel)?,
    });
    let worker = Arc::new(Worker {
        runtime,
        broker,
        send,
        cancels: Mutex::new(HashMap::new()),
    });
    while let Some(message) = frame::read(&mut reader).await? {
        let Frame::Json(bytes) = message else {
            continue;
        };
        match frame::decode(&bytes)? {
            ToWorker::Run(request) => {
                let worker = Arc::clone(&worker);
                tokio::spawn(async move { run_step(&worker, *request).await });
            }
            ToWorker::Cancel(step) => {
                if let Some(cancel) = lock(&worker.cancels).get(&step) {
                    let _ = cancel.send(true);
                }
            }
            ToWorker::Reply { call, reply } => {
                if let Some(waiting) = lock(&worker.broker.calls).remove(&call) {
                    let _ = waiting.send(reply);
                }
            }
        }
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn run_step(worker: &Arc<Worker>, request: StepRequest) {
    let step = request.id;
    let (cancel, cancelled) = watch::channel(false);
    lock(&worker.cancels).insert(step, cancel);
    let send = worker.send.clone();
    let events = Arc::new(move |event: StepEvent| {
        let bytes = match &event {
            StepEvent::Output { stream, data } => {
                frame::output(step, u8::from(*stream == OutputStream::Stderr), data)
            }
            _ => frame::json(&FromWorker::Event { step, event }),
        };
        if let Ok(bytes) = bytes {
            let _ = send.send(bytes);
        }
    });
    let broker = Arc::clone(&worker.broker) as Arc<dyn Broker>;
    let report = worker
        .runtime
        .run_step(request, broker, events, cancelled)
        .await;
    lock(&worker.cancels).remove(&step);
    if let Ok(bytes) = frame::json(&FromWorker::Done {
        step,
        report: Box::new(report),
    }) {
        let _ = worker.send.send(bytes);
    }
}

/// The supervisor's broker, from here.
struct RemoteBroker {
    send: mpsc::UnboundedSender<Vec<u8>>,
    next: AtomicU64,
    calls: Mutex<HashMap<u64, oneshot::Sender<Result<Reply, BrokerError>>>>,
    arrived: Mutex<HashMap<u64, OwnedFd>>,
    channel: AsyncFd<OwnedFd>,
}

impl RemoteBroker {
    async fn call(&self, step: u64, request: BrokerCall) -> Result<(u64, Reply), BrokerError> {
        let call = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        lock(&self.calls).insert(call, answer);
        let bytes = frame::json(&FromWorker::Call {
            call,
            step,
            request,
        })
        .map_err(|error| BrokerError::Invalid(error.to_string()))?;
        self.send.send(bytes).map_err(|_| BrokerError::Gone)?;
        let reply = answered.await.map_err(|_| BrokerError::Gone)??;
        Ok((call, reply))
    }

    /// The socket of a call whose answer has come: the supervisor sends it before the answer.
    async fn socket(&self, call: u64) -> io::Result<OwnedFd> {
        loop {
            if let Some(socket) = lock(&self.arrived).remove(&call) {
                return Ok(socket);
            }
            let mut ready = self.channel.readable().await?;
            if let Ok(received) = ready.try_io(|channel| sockets::receive(channel.get_ref())) {
                let (number, socket) = received?;
                lock(&self.arrived).insert(number, socket);
            }
        }
    }
}

/// An answer of another kind than was asked for.
fn confused() -> BrokerError {
    BrokerError::Io("the supervisor's answer does not fit the question".into())
}

#[async_trait]
impl Broker for RemoteBroker {
    async fn connect(&self, step: u64, request: ConnectRequest) -> Result<Connected, BrokerError> {
        let (call, reply) = self.call(step, BrokerCall::Connect(request)).await?;
        let Reply::Connected(peer) = reply else {
            return Err(confused());
        };
        let socket = self
            .socket(call)
            .await
            .map_err(|error| BrokerError::Io(error.to_string()))?;
        Ok(Connected { socket, peer })
    }

    async fn parameter(&self, step: u64, name: &str) -> Result<ParameterValue, BrokerError> {
        match self
            .call(step, BrokerCall::Parameter(name.to_owned()))
            .await?
            .1
        {
            Reply::Parameter(value) => Ok(value),
            _ => Err(confused()),
        }
    }

    async fn find_secret(&self, step: u64, name: &str) -> Result<(), BrokerError> {
        let call = BrokerCall::FindSecret(name.to_owned());
        match self.call(step, call).await?.1 {
            Reply::Found => Ok(()),
            _ => Err(confused()),
        }
    }

    async fn secret(
        &self,
        step: u64,
        name: &str,
        place: &SecretPlace,
    ) -> Result<String, BrokerError> {
        let call = BrokerCall::Secret(name.to_owned(), place.clone());
        match self.call(step, call).await?.1 {
            Reply::Text(value) => Ok(value),
            _ => Err(confused()),
        }
    }

    async fn sign(
        &self,
        step: u64,
        request: SignRequest,
    ) -> Result<Vec<(String, String)>, BrokerError> {
        match self.call(step, BrokerCall::Sign(request)).await?.1 {
            Reply::Headers(headers) => Ok(headers),
            _ => Err(confused()),
        }
    }

    async fn document(&self, step: u64, name: &str) -> Result<String, BrokerError> {
        match self
            .call(step, BrokerCall::Document(name.to_owned()))
            .await?
            .1
        {
            Reply::Text(text) => Ok(text),
            _ => Err(confused()),
        }
    }

    async fn run_document(
        &self,
        step: u64,
        request: DocumentRequest,
    ) -> Result<DocumentResult, BrokerError> {
        match self.call(step, BrokerCall::RunDocument(request)).await?.1 {
            Reply::Document(result) => Ok(result),
            _ => Err(confused()),
        }
    }

    async fn aws_endpoint(&self, step: u64, service: &str) -> Result<Option<String>, BrokerError> {
        match self
            .call(step, BrokerCall::AwsEndpoint(service.to_owned()))
            .await?
            .1
        {
            Reply::Endpoint(endpoint) => Ok(endpoint),
            _ => Err(confused()),
        }
    }
}

/// The two socket pairs of a worker: the supervisor's ends and the worker's.
pub(crate) fn channels() -> io::Result<[(OwnedFd, OwnedFd); 2]> {
    let messages = socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let sockets = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    Ok([messages, sockets])
}
