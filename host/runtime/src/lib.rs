//! Runs one step of a document: an action's component, under a grant, metered, with a report of what it did.
//!
//! [`Runtime::run_step`] does the work, in the worker process of a document. What a step needs from outside of
//! its worker (connections, parameters, secrets, other documents) comes through a [`Broker`], which is the
//! supervising process on the other side of a socket ([`worker`]), or anything else in tests.

mod acceptable;
mod bindings;
mod broker;
mod cache;
mod capability;
mod component;
mod describe;
mod disk;
mod engine;
mod error;
mod fuel;
mod limiter;
pub mod network;
mod output;
mod random;
mod runtime;
mod shared;
mod step;
pub mod tariff;
pub mod worker;
mod world;

pub use acceptable::check_acceptable;
pub use broker::{
    Broker, BrokerError, ConnectRequest, Connected, DocumentRequest, DocumentResult,
    ParameterValue, SignRequest,
};
pub use cache::CompileCache;
pub use capability::is_own_parameter;
pub use component::{ComponentInfo, compile, digest, inspect};
pub use describe::{describe, with_manifest};
pub use error::RuntimeError;
pub use runtime::Runtime;
pub use step::{
    Call, ChildRecord, Denial, Event, EventSink, FailureKind, LogLevel, OutputStream, Platform,
    Status, StepContext, StepEvent, StepOutcome, StepReport, StepRequest, StopReason, Usage, Wake,
};
pub use world::{
    NoAnswer, World, WorldClock, WorldCommand, WorldEnd, WorldExit, WorldRequest, WorldResponse,
};
