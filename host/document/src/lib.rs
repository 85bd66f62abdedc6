//! Command documents of schema 1.2, 2.0.x and 2.2: read, checked, and resolved to steps that can be run.
//!
//! Pure: no I/O and no clock. [`Document::parse`] reads and checks; [`Document::bind`] takes the caller's
//! parameters and puts them in; [`BoundDocument::resolve`] puts in what comes from Parameter Store.

mod built_in;
mod document;
mod inputs;
mod interpolation;
mod java_class;
mod java_pattern;
mod lint;
mod outline;
mod parameters;
mod pattern;
mod platforms;
mod precondition;
mod resolve;
mod runbook;
mod shell;
mod steps;

pub use built_in::built_in;
pub use capstan_syntax::{
    Diagnostic, Diagnostics, Position, Severity, nearest, parse_mapping, to_yaml,
};
pub use document::Document;
pub use inputs::ActionSchemas;
pub use outline::{Outline, parse_value};
pub use parameters::{Parameter, ParameterType};
pub use pattern::java_pattern_matches;
pub use precondition::{Platform, Precondition, PreconditionOutcome};
pub use resolve::{BoundDocument, ResolvedDocument, ResolvedStep, StoredParameter};
pub use runbook::Runbook;
pub use steps::{Flow, OnFailure, Step, action_folder, is_ssm_action, output_folders};
