//! `capstan plugin test`.

use std::process::Command;

use anyhow::{Context as _, Result};

use super::project::Project;
use super::{Language, build, tools};
use crate::exit::Exit;

/// Builds the component, and runs the tests with this program and the component at hand.
pub(super) fn test(project: &Project, arguments: &[String]) -> Result<Exit> {
    build::build(project)?.print();
    let (mut command, help) = match project.language {
        Language::Rust => {
            let mut command = Command::new("cargo");
            command.arg("test").args(arguments);
            (command, tools::CARGO)
        }
        Language::Python => {
            let mut command = Command::new(tools::python(project)?);
            command.args(["-m", "pytest"]).args(arguments);
            (command, "")
        }
        Language::Javascript => {
            let mut command = Command::new("node");
            command.arg("--test").args(arguments);
            (command, tools::NODE)
        }
    };
    let own = std::env::current_exe().context("this program")?;
    command
        .current_dir(&project.folder)
        .env("CAPSTAN", own)
        .env("CAPSTAN_COMPONENT", &project.output);
    Ok(match tools::start(&mut command, help)? {
        true => Exit::Success,
        false => Exit::Failure,
    })
}
