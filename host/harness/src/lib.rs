//! Runs a component in the real host against a scripted world: for the tests of those who write plugins.
//!
//! The runtime, the decision what a step may do, the checks and the metering are those of a node. Files, programs,
//! servers, parameters, secrets and the time come from the [`Request`]; all that the step did is in the [`Report`].
//! Nothing of the machine is read or changed, nothing is waited for, and nothing needs a privilege or a server.

mod broker;
mod content;
mod error;
mod files;
mod policy;
mod prepare;
mod report;
mod request;
mod run;
mod secrets;
mod told;
mod world;

pub use content::Content;
pub use error::HarnessError;
pub use report::{
    Denied, DocumentRun, FileReport, HttpRequest, LogLine, ProgramRun, Progress, Report, SecretUse,
    Suspension, Wait,
};
pub use request::{
    DocumentSpec, FileSpec, HttpSpec, ParameterSpec, ProgramSpec, Request, Signal, StepSpec, Time,
    WorldSpec,
};
pub use run::run;
