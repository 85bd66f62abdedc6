//! The host side of `capstan:host`, one module for each interface, all of the same shape: the generated trait for
//! [`StepState`](crate::runtime::StepState), and what it needs. Each call asks the grant first, and what is
//! refused is refused with a value.

#![allow(
    unreachable_pub,
    reason = "the generated bindings name the resources of these modules"
)]

mod control;
mod exchange;
pub(crate) mod files;
pub(crate) mod http;
mod parameters;
pub(crate) mod process;
mod scripted;
pub(crate) mod secrets;
mod step;
pub(crate) mod wasi_http;

pub use parameters::is_own_parameter;

use crate::bindings::capstan::host::types;
use crate::runtime::StepState;

impl types::Host for StepState {}

impl crate::bindings::capstan::action::types::Host for StepState {}

/// How host functions answer: the outer error is a trap, the inner one a value.
pub(crate) type Answer<T> = wasmtime::Result<Result<T, types::Error>>;

pub(crate) fn io(error: &std::io::Error, what: &str) -> types::Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => types::Error::NotFound(what.to_owned()),
        _ => types::Error::Io(format!("{what}: {error}")),
    }
}

/// An owned descriptor in the event loop.
#[expect(
    deprecated,
    reason = "a descriptor that is owned is not closed while it is registered"
)]
pub(crate) fn owned_async(
    descriptor: std::os::fd::OwnedFd,
) -> std::io::Result<tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>> {
    tokio::io::unix::AsyncFd::new(descriptor)
}
