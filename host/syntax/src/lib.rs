//! YAML and JSON in which every value knows where it stands, and the messages that point at it. Documents and
//! policies are read through this. Pure.

mod diagnostics;
mod json;
mod node;
mod parse;
mod write;

pub use diagnostics::{Diagnostic, Diagnostics, Position, Severity, nearest};
pub use node::{Entry, Node, Value};
pub use parse::{parse, parse_all, parse_mapping};
pub use write::to_yaml;
