//! The store through its public interface.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod both;
mod place;
mod sqlite;
