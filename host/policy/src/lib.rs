//! Capability requests, grants and limits, and the decision what a step may do.
//!
//! Pure: no I/O and no clock. A [`Manifest`] is what a component asks for; a [`Policy`] is what the operator
//! allows; [`Policy::decide`] gives the [`Grant`] that both agree on, or says what is missing.

mod address;
mod arguments;
mod bind;
mod check;
mod decide;
mod file;
mod grant;
mod lattice;
mod limits;
mod pattern;
mod profile;
mod request;
mod schema;
mod secret;
mod template;
mod units;

pub use address::is_private_address;
pub use arguments::ArgumentMismatch;
pub use check::{GrantCheck, HostVerdict};
pub use decide::{Decision, Missing, StepDirectories, StepNeeds, Subject, explain};
pub use file::{
    BUILT_IN_NAMESPACE, BUILT_IN_PUBLISHER, Effect, Match, OutputBucket, Outputs, Policy,
    Publisher, Rule,
};
pub use grant::{AccessSet, Confinement, FileAccess, FileRule, Grant, HostRule, Layer, RunAs};
pub use lattice::{covers, meet, union};
pub use limits::Limits;
pub use pattern::{glob, is_normal_path, name_matches};
pub use profile::Profile;
pub use request::{
    CapabilityRequests, ChildrenRequest, FileRequest, HostRequest, MANIFEST_SECTION, Manifest,
    NameRequest, ProgramRequest, SecretRequest,
};
pub use secret::{Destination, SecretPlace, SecretRule, SecretUse};
