//! The worker process of a document, and how its supervisor talks to it.
//!
//! They share a Unix socket. The supervisor sends the steps to run; the worker sends what happens and, at the
//! end, the report, and asks for what it has no access to itself (the calls of [`Broker`](crate::Broker)).
//! Connected sockets come over a second Unix socket, each with the number of the call that asked for it.
//!
//! The supervisor takes everything from the worker as if an enemy had sent it: sizes are bounded, unknown numbers
//! are dropped, and what may be done is decided on the supervisor's side.

mod compiler;
mod frame;
mod guest_side;
mod host_side;
mod sockets;

use std::path::PathBuf;

use capstan_policy::SecretPlace;
use capstan_sandbox::WorkerSpec;
use serde::{Deserialize, Serialize};

use crate::broker::{
    BrokerError, ConnectRequest, DocumentRequest, DocumentResult, ParameterValue, SignRequest,
};
use crate::step::{StepEvent, StepReport, StepRequest};

pub use compiler::{compile_main, ensure_compiled};
pub use guest_side::worker_main;
pub use host_side::{WorkerError, WorkerHandle, WorkerOptions};

/// The hidden subcommand of a worker.
pub const WORKER_COMMAND: &str = "__worker";
/// The hidden subcommand of the compiler.
pub const COMPILER_COMMAND: &str = "__compile";

/// The first message: how the worker sets itself up.
#[derive(Debug, Serialize, Deserialize)]
struct Setup {
    confinement: WorkerSpec,
    cache: PathBuf,
}

/// From the supervisor.
#[derive(Debug, Serialize, Deserialize)]
enum ToWorker {
    Run(Box<StepRequest>),
    Cancel(u64),
    Reply {
        call: u64,
        reply: Result<Reply, BrokerError>,
    },
}

/// From the worker.
#[derive(Debug, Serialize, Deserialize)]
enum FromWorker {
    Ready(Result<capstan_sandbox::Enforced, String>),
    Event {
        step: u64,
        event: StepEvent,
    },
    Done {
        step: u64,
        report: Box<StepReport>,
    },
    Call {
        call: u64,
        step: u64,
        request: BrokerCall,
    },
}

/// The calls of the broker.
#[derive(Debug, Serialize, Deserialize)]
enum BrokerCall {
    Connect(ConnectRequest),
    Parameter(String),
    FindSecret(String),
    Secret(String, SecretPlace),
    Sign(SignRequest),
    Document(String),
    RunDocument(DocumentRequest),
    AwsEndpoint(String),
}

/// Their answers.
#[derive(Debug, Serialize, Deserialize)]
enum Reply {
    /// The socket itself comes over the other channel.
    Connected(std::net::SocketAddr),
    Parameter(ParameterValue),
    Found,
    Text(String),
    Headers(Vec<(String, String)>),
    Document(DocumentResult),
    Endpoint(Option<String>),
}
