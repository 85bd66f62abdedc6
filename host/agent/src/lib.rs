//! The node daemon: registers a machine with a control plane, receives commands, runs them and reports.
//!
//! It speaks the protocol of the SSM agent's older channel: a long poll for messages, replies on its own. The machine
//! opens no port, and the server can ask for nothing that the node's own policy does not allow.
//!
//! What must not be lost or done twice is written to the disk before it is promised: a command before its message is
//! acknowledged, a final reply before the command is taken off. [`commands`] has the order. What happens within a
//! command is the runner's, behind the trait [`Executor`]; network and clock come from outside, so that agents can be
//! simulated.

mod api;
mod backoff;
mod commands;
mod daemon;
mod deliver;
mod error;
mod executor;
mod fingerprint;
mod folder;
mod heartbeat;
mod identity;
mod key;
mod message;
mod outputs;
mod parameters;
mod progress;
mod records;
mod registration;
mod reply;
mod report;
mod runner;
mod status;

pub use api::Api;
pub use daemon::{Agent, Options};
pub use error::AgentError;
pub use executor::{Control, Executor, Outcome, Report, Status, StepReport};
pub use folder::AgentFolder;
pub use heartbeat::NodeFacts;
pub use identity::Identity;
pub use message::Command;
pub use parameters::ApiParameters;
pub use progress::Progress;
pub use registration::{Registration, register};
pub use runner::{MakeRunner, RunnerExecutor};
pub use status::{Connection, StatusReport};
