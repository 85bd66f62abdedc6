//! `capstan plugin`: making, installing and publishing actions and collectors.

mod approval;
mod build;
mod carried;
mod dev;
mod harness;
mod install;
mod new;
mod project;
mod registry;
mod test;
mod tools;
mod trust;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};

use crate::exit::Exit;

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Make a project: an action or collector that works, with a test, a document and a policy.
    #[command(
        after_help = "Examples:\n  capstan plugin new rotate-logs --lang rust\n  capstan plugin new shop-config --lang python --collector --name acme:shopConfig"
    )]
    New(NewArguments),
    /// Build the component of a project.
    Build(ProjectArguments),
    /// Build the component of a project and run the project's tests.
    Test {
        #[command(flatten)]
        project: ProjectArguments,
        /// Handed on to cargo test, pytest or node --test.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Build and run the document of a project, and again at each change, until interrupted.
    Dev(DevArguments),
    /// Put the SDK that belongs to this program into a project again, into its folder .capstan.
    Sdk(ProjectArguments),
    /// Run a step of a component in a scripted world: a request in JSON on standard input, a report in JSON on standard
    /// output. The SDKs' test libraries use it.
    #[command(hide = true)]
    Harness,
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

/// The languages that there is an SDK for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// cargo, with the target wasm32-wasip2.
    Rust,
    /// Python 3.11 or newer.
    Python,
    /// Node 20 or newer; TypeScript too.
    #[value(alias = "js", alias = "typescript")]
    Javascript,
}

#[derive(Debug, Args)]
pub(crate) struct NewArguments {
    /// The project's name and folder: lower-case letters, digits and hyphens.
    name: String,
    /// The language.
    #[arg(long)]
    lang: Language,
    /// Make an inventory collector instead of an action.
    #[arg(long)]
    collector: bool,
    /// The name that documents use, with a namespace [default: local: and the project's name].
    #[arg(long = "name", value_name = "NAMESPACE:NAME")]
    action: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ProjectArguments {
    /// The project's folder.
    #[arg(default_value = ".")]
    project: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct DevArguments {
    #[command(flatten)]
    project: ProjectArguments,
    /// The document to run [default: document.yaml of the project].
    #[arg(long, value_name = "FILE")]
    document: Option<PathBuf>,
    /// The policy [default: policy.yaml of the project].
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Parameters of the document, as for `capstan run`.
    #[arg(long, short, value_name = "PARAMETERS")]
    parameters: Vec<String>,
}

pub(crate) fn plugin(state: Option<&Path>, command: PluginCommand) -> Result<Exit> {
    match command {
        PluginCommand::New(arguments) => new::new(&arguments),
        PluginCommand::Build(arguments) => {
            build::build(&project::Project::open(&arguments.project)?)?.print();
            Ok(Exit::Success)
        }
        PluginCommand::Test { project, arguments } => {
            test::test(&project::Project::open(&project.project)?, &arguments)
        }
        PluginCommand::Dev(arguments) => dev::dev(&arguments),
        PluginCommand::Sdk(arguments) => {
            let project = project::Project::open(&arguments.project)?;
            carried::put_sdk(&project.folder, project.language)?;
            outln!(
                "{}: the SDK of Capstan {}",
                project.folder.join(carried::FOLDER).display(),
                env!("CARGO_PKG_VERSION")
            );
            Ok(Exit::Success)
        }
        PluginCommand::Harness => harness::harness(),
        PluginCommand::Install(arguments) => install::install(state, &arguments),
        PluginCommand::List(arguments) => install::list(state, &arguments),
        PluginCommand::Remove { name } => install::remove(state, &name),
        PluginCommand::Keygen(arguments) => trust::keygen(&arguments),
        PluginCommand::Sign(arguments) => trust::sign(&arguments),
        PluginCommand::Verify(arguments) => trust::verify(&arguments),
        PluginCommand::Push(arguments) => registry::push(&arguments),
    }
}
