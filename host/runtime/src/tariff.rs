//! What host calls cost in fuel.
//!
//! A guest pays about one unit for each instruction, some 10¹⁰ a second. Work that it moves to the host or to a
//! child process is charged at a like rate, so that moving work does not evade the budget.

/// Starting a child process.
pub const SPAWN: u64 = 5_000_000;
/// A millisecond of CPU time of a child.
pub const CHILD_CPU_MILLISECOND: u64 = 10_000_000;
/// An HTTP request or a proxied connection.
pub const HTTP_REQUEST: u64 = 2_000_000;
/// A call to `files`, beyond what any call costs.
pub const FILE_CALL: u64 = 1_000;
/// Every 64 bytes that a host call moves.
pub const BYTES_64: u64 = 1;
/// Any call of the host, also one of WASI.
pub const CALL: u64 = 500;
