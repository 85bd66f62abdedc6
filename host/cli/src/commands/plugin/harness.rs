//! The host's side of the test harness for plugins.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use capstan_harness::{HarnessError, Report, Request};
use capstan_runner::StateFolder;
use serde_json::json;

use crate::exit::{self, Exit};

/// Reads a request and prints the report, or `{"error": …}`. How the step ended is the test's to judge.
pub(crate) fn harness() -> Result<Exit> {
    match report() {
        Ok(report) => {
            outln!("{}", serde_json::to_string(&report)?);
            Ok(Exit::Success)
        }
        Err(error) => {
            outln!("{}", json!({ "error": format!("{error:#}") }));
            Ok(match error.downcast_ref::<HarnessError>() {
                Some(HarnessError::Io { .. } | HarnessError::Runtime(_)) => Exit::Failure,
                _ => exit::of_error(&error),
            })
        }
    }
}

fn report() -> Result<Report> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .context("the request on standard input")?;
    let request = Request::parse(&text)?;
    let state = StateFolder::open(None)?;
    // What the step makes has the same permission bits whoever tests it.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    // One thread, so that every run takes the same course.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // The link stays good when the program is replaced by another build of it.
    let program = Path::new("/proc/self/exe");
    Ok(runtime.block_on(capstan_harness::run(request, program, state.cache()))?)
}
