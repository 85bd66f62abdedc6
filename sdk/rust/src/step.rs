//! The running step: its output, its progress, its cancellation.

use crate::__private::capstan::host::step;
use crate::__private::capstan::host::types::OutputStream;

pub use crate::__private::capstan::host::step::cancelled;
pub use crate::__private::capstan::host::types::Level;

/// Adds text to the step's standard output.
pub fn print(text: &str) {
    step::write(OutputStream::Stdout, text.as_bytes());
}

/// Adds text to the step's standard error.
pub fn print_error(text: &str) {
    step::write(OutputStream::Stderr, text.as_bytes());
}

/// Tells how far the step is.
pub fn progress(done: u64, total: Option<u64>, note: &str) {
    step::progress(done, total, note);
}

/// A message for the operator.
pub fn log(level: Level, message: &str) {
    step::log(level, message, None);
}
