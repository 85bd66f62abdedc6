//! `capstan plugin`.

mod approval;
mod install;
mod registry;
mod trust;

use std::path::Path;

use anyhow::Result;
use clap::Subcommand;

use crate::exit::Exit;

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Install a plugin, or another version of it.
    #[command(
        after_help = "Examples:\n  capstan plugin install rotate-logs.wasm\n  capstan plugin install .\n  capstan plugin install --yes oci://registry.example.com/ops/rotate-logs:1.2.0\n\nExit status: 0 it is installed, 1 a file or registry failed, 2 it is no plugin, 3 it is refused or nobody approved of it."
    )]
    Install(install::InstallArguments),
    /// List the installed plugins.
    List(install::ListArguments),
    /// Remove a plugin.
    Remove {
        /// One of the names that it serves.
        name: String,
    },
    /// Make a pair of keys to sign plugins with, in minisign's format.
    Keygen(trust::KeygenArguments),
    /// Sign a plugin.
    Sign(trust::SignArguments),
    /// Check the signature of a plugin.
    Verify(trust::VerifyArguments),
    /// Put a plugin into a registry.
    #[command(
        after_help = "Example: capstan plugin push rotate-logs.wasm oci://registry.example.com/ops/rotate-logs:1.2.0"
    )]
    Push(registry::PushArguments),
}

pub(crate) fn plugin(state: Option<&Path>, command: PluginCommand) -> Result<Exit> {
    match command {
        PluginCommand::Install(arguments) => install::install(state, &arguments),
        PluginCommand::List(arguments) => install::list(state, &arguments),
        PluginCommand::Remove { name } => install::remove(state, &name),
        PluginCommand::Keygen(arguments) => trust::keygen(&arguments),
        PluginCommand::Sign(arguments) => trust::sign(&arguments),
        PluginCommand::Verify(arguments) => trust::verify(&arguments),
        PluginCommand::Push(arguments) => registry::push(&arguments),
    }
}
