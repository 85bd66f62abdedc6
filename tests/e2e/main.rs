//! The binary as its users meet it: real documents, real programs, real servers on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod actions;
mod agent;
mod boundaries;
mod crash;
mod downloads;
mod escapes;
mod hardening;
mod harness;
mod kept;
mod limits;
mod packages;
mod plugin_projects;
mod plugins;
mod scenarios;
mod sdk;
mod secrets;
mod support;
mod validate;
