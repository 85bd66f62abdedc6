//! The running step: its output, its progress, its log, its cancellation.

use serde::Serialize;

use crate::__private::capstan::host::step;
use crate::__private::capstan::host::types::OutputStream;

pub use crate::__private::capstan::host::step::cancelled;
pub use crate::__private::capstan::host::types::Level;

/// Adds text to the step's standard output, as `print!` does.
pub fn print(text: &str) {
    step::write(OutputStream::Stdout, text.as_bytes());
}

/// Adds text to the step's standard error, as `eprint!` does.
pub fn print_error(text: &str) {
    step::write(OutputStream::Stderr, text.as_bytes());
}

/// Adds bytes to the step's standard output.
pub fn write(bytes: &[u8]) {
    step::write(OutputStream::Stdout, bytes);
}

/// Tells how far the step is. `total` is in the same unit as `done`.
pub fn progress(done: u64, total: Option<u64>, note: &str) {
    step::progress(done, total, note);
}

/// A message for the operator.
pub fn log(level: Level, message: &str) {
    step::log(level, message, None);
}

/// A message for the operator with fields for programs: anything that serde writes as an object.
///
/// ```no_run
/// use capstan_sdk::{json, step};
///
/// step::log_with(step::Level::Info, "rotated", &json!({ "files": 3 }));
/// ```
pub fn log_with(level: Level, message: &str, fields: &impl Serialize) {
    let fields = serde_json::to_string(fields).ok();
    step::log(level, message, fields.as_deref());
}
