//! Runs command documents on a node: the order of steps, what their results mean, outputs, journal and receipts.
//!
//! This is the trusted side. It decides what each step may do, and has a worker process do it
//! ([`capstan_runtime::worker`]); what must not be forged (journal, receipts, output files) is written here.

mod actions;
mod broker;
mod cleaner;
mod control;
mod credentials;
mod data_lock;
mod documents;
mod error;
mod events;
pub mod flow;
mod journal;
mod nested;
mod node;
mod output;
mod parameters;
mod plan;
mod receipts;
mod result;
mod run;
mod run_as;
mod secrets;
mod session;
mod state;
mod step;
#[cfg(test)]
mod testing;

pub use actions::{Action, ActionRegistry, BuiltIn, compile};
pub use capstan_clock::{Clock, SystemClock};
pub use cleaner::Cleaner;
pub use control::{Observer, RunControl};
pub use credentials::{find as find_credentials, headers as sign, sign_with};
pub use documents::DocumentStore;
pub use error::RunnerError;
pub use node::NodeInfo;
pub use output::{copy_output, open_output};
pub use parameters::{ParameterKind, ParameterSource, ParameterStore, StoredVersion};
pub use plan::{Plan, PlannedStep, Will};
pub use receipts::{ReceiptError, verify_receipts};
pub use result::{RunResult, RunStatus, StepResult, StepStatus};
pub use run::{RunRequest, Runner};
pub use secrets::Secrets;
pub use state::StateFolder;
pub use step::inventory::settle as settle_inventory;
pub use step::{Judgement, Verdict, judge};
