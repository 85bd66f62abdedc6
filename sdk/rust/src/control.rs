//! Documents, and running them within the step.

pub use crate::__private::capstan::host::control::{DocumentResult, get_document, run_document};
