//! `capstan plugin`: for those who write actions and collectors.

mod harness;

use anyhow::Result;
use clap::Subcommand;

use crate::exit::Exit;

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Run a step of a component in a scripted world: a request in JSON on standard input, a report in JSON on standard
    /// output. The SDKs' test libraries use it.
    #[command(hide = true)]
    Harness,
}

pub(crate) fn run(command: PluginCommand) -> Result<Exit> {
    match command {
        PluginCommand::Harness => harness::harness(),
    }
}
