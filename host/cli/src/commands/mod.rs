//! The subcommands.

mod agent;
mod document;
mod inspect;
mod key_service;
mod local_node;
mod parameter;
mod plugin;
mod policy;
mod remote;
mod run;
mod server;
mod validate;

pub(crate) use agent::AgentCommand;
pub(crate) use document::DocumentCommand;
pub(crate) use parameter::ParameterCommand;
pub(crate) use plugin::PluginCommand;
pub(crate) use remote::{CommandCommand, EndpointArguments, NodeCommand};
pub(crate) use server::{AccessKeyCommand, ServerArguments};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use capstan_document::{Diagnostic, Diagnostics, Position, Severity};
use capstan_policy::{Policy, Profile};
use capstan_runner::{ActionRegistry, RunRequest, Runner, StateFolder};
use clap::CommandFactory as _;

use crate::arguments::{Arguments, AuditCommand, Command, DocumentArguments, Output};
use crate::exit::{self, Exit};
use crate::{built_in, shorthand};

pub(crate) fn run(command: Command) -> Result<Exit> {
    match command {
        Command::Run(arguments) => {
            let output = arguments.document.output;
            failure_too(output, run::run(arguments))
        }
        Command::Server(arguments) => server::server(&arguments),
        Command::Agent(command) => agent::agent(command),
        Command::AccessKey(command) => server::access_key(command),
        Command::Plan(arguments) => failure_too(arguments.output, policy::plan(&arguments)),
        Command::Validate {
            files,
            component,
            state,
            output,
        } => validate::validate(
            &files,
            &actions(state.state.as_deref(), &component)?,
            output,
        ),
        Command::Doctor { state, output } => inspect::doctor(state.state.as_deref(), output),
        Command::Action { state, command } => {
            inspect::action(&actions(state.state.as_deref(), &[])?, command)
        }
        Command::Plugin { state, command } => plugin::plugin(state.state.as_deref(), command),
        Command::Commands { endpoint, command } => remote::command(&endpoint, command),
        Command::Node { endpoint, command } => remote::node(&endpoint, command),
        Command::Document {
            state,
            endpoint,
            command,
        } => {
            if endpoint.is_named() {
                remote::document(&endpoint, command)
            } else {
                document::document(state.state.as_deref(), command, endpoint.output())
            }
        }
        Command::Policy(command) => policy::policy(command),
        Command::Audit {
            state,
            command: AuditCommand::Verify { file },
        } => inspect::verify(state.state.as_deref(), file),
        Command::Parameter {
            state,
            endpoint,
            command,
        } => {
            if endpoint.is_named() {
                remote::parameter(&endpoint, command)
            } else {
                parameter::parameter(state.state.as_deref(), command, endpoint.output())
            }
        }
        Command::Connect { host, port } => {
            match capstan_runtime::network::connect_through_proxy(&host, port) {
                Ok(()) => Ok(Exit::Success),
                Err(error) => {
                    errln!("capstan: {error}");
                    Ok(Exit::Failure)
                }
            }
        }
        Command::Completions { shell } => {
            // Whole, and then printed: the generator would panic at a reader who has gone.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "capstan", &mut script);
            out!("{}", String::from_utf8_lossy(&script));
            Ok(Exit::Success)
        }
        Command::Man { command, dir } => man(&command, dir.as_deref()),
    }
}

/// Whoever reads JSON gets JSON, also of a run that there never was.
fn failure_too(output: Output, result: Result<Exit>) -> Result<Exit> {
    if let (Output::Json, Err(error)) = (output, &result) {
        let status = match exit::of_error(error) {
            Exit::Invalid => "InvalidInput",
            _ => "Failed",
        };
        let value = serde_json::json!({ "status": status, "message": format!("{error:#}") });
        outln!("{value:#}");
    }
    result
}

/// A document's text, or what keeps it from being read.
fn read(file: &Path) -> Result<String, Diagnostic> {
    let problem = |message: String, position| Diagnostic {
        severity: Severity::Error,
        code: "unreadable",
        message,
        position,
        help: None,
    };
    let bytes = std::fs::read(file)
        .map_err(|error| problem(format!("it cannot be read: {error}"), None))?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..good]).into_owned();
        let line = before.rsplit('\n').next().unwrap_or_default();
        let position = Position {
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
        };
        problem(
            format!("byte {:#04x} is not UTF-8", error.as_bytes()[good]),
            Some(position),
        )
    })
}

/// The manual page of a subcommand, or all of them as files.
fn man(path: &[String], folder: Option<&Path>) -> Result<Exit> {
    let mut command = Arguments::command();
    if let Some(folder) = folder {
        clap_mangen::generate_to(command, folder)
            .with_context(|| format!("the manual pages in {}", folder.display()))?;
        return Ok(Exit::Success);
    }
    command.build();
    for name in path.iter().flat_map(|text| text.split_whitespace()) {
        command = match command.find_subcommand(name) {
            Some(found) => found.clone(),
            None => anyhow::bail!("there is no subcommand {name}"),
        };
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    out!("{}", String::from_utf8_lossy(&page));
    Ok(Exit::Success)
}

/// Where an operator's policy is by default.
const POLICY: &str = "/etc/capstan/policy.yaml";

/// The policy that is in force.
fn policy_in_force(path: Option<&Path>, profile: Option<&str>) -> Result<Policy> {
    if let Some(profile) = profile {
        return Ok(Policy::builtin(
            profile.parse::<Profile>().map_err(anyhow::Error::msg)?,
        ));
    }
    let usual = Some(Path::new(POLICY)).filter(|path| path.is_file());
    match path.or(usual) {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("the policy {}", path.display()))?;
            Ok(Policy::parse(&text, &path.display().to_string())?)
        }
        None => Ok(Policy::builtin(Profile::Confined)),
    }
}

/// The built-in actions, those of these components, and those that are installed.
fn actions(state: Option<&Path>, components: &[PathBuf]) -> Result<ActionRegistry> {
    let mut actions = ActionRegistry::new(built_in::BUILT_IN);
    if let Some(state) = StateFolder::existing(state)? {
        actions.add_installed(&state.plugins())?;
    }
    for path in components {
        actions.add_file(path)?;
    }
    Ok(actions)
}

fn runner(arguments: &DocumentArguments) -> Result<Arc<Runner>> {
    let state = StateFolder::open(arguments.state.as_deref())?;
    let actions = actions(Some(state.root()), &arguments.component)?;
    let policy = policy_in_force(arguments.policy.as_deref(), arguments.profile.as_deref())?;
    Ok(Arc::new(Runner::new(state, actions, policy)))
}

/// The document that was named: a file, or a name.
fn request(runner: &Runner, arguments: &DocumentArguments) -> Result<RunRequest> {
    let named = arguments
        .document
        .as_deref()
        .context("name a document: a file, or one of `capstan document list`")?;
    let path = Path::new(named);
    // Pipes are read once, and have no name of their own: standard input, and what a shell puts for <(…).
    let is_pipe = named == "-" || (path.exists() && !path.is_file() && !path.is_dir());
    let (document, source) = if is_pipe {
        let source = if named == "-" {
            std::io::read_to_string(std::io::stdin())
        } else {
            std::fs::read_to_string(path)
        };
        let source = source.with_context(|| format!("the document {named}"))?;
        ("stdin".to_owned(), source)
    } else if path.is_file() {
        let source = read(path).map_err(|problem| Diagnostics::new(named, vec![problem]))?;
        (
            path.file_stem().map_or_else(
                || named.to_owned(),
                |stem| stem.to_string_lossy().into_owned(),
            ),
            source,
        )
    } else if named.contains(['/', '.']) && !named.starts_with("arn:") {
        anyhow::bail!("there is no file {named}");
    } else {
        (named.to_owned(), runner.documents.get(named)?)
    };
    Ok(RunRequest {
        document,
        source,
        origin: named.to_owned(),
        arguments: shorthand::parameters(&arguments.parameters)?,
        run_id: None,
    })
}
