//! The subcommands.

mod inspect;
mod parameter;
mod policy;
mod run;
mod validate;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use capstan_policy::{Policy, Profile};
use capstan_runner::{ActionRegistry, RunRequest, Runner, StateFolder};
use clap::CommandFactory as _;

use crate::arguments::{Arguments, AuditCommand, Command, DocumentArguments};
use crate::exit::Exit;
use crate::{built_in, shorthand};

pub(crate) fn run(command: Command) -> Result<Exit> {
    match command {
        Command::Run(arguments) => run::run(arguments),
        Command::Plan(arguments) => policy::plan(&arguments),
        Command::Validate { files, output } => validate::validate(&files, output),
        Command::Doctor { output } => inspect::doctor(output),
        Command::Action(command) => inspect::action(command),
        Command::Document(command) => inspect::document(command),
        Command::Policy(command) => policy::policy(command),
        Command::Audit(AuditCommand::Verify { file }) => inspect::verify(file),
        Command::Parameter(command) => parameter::parameter(command),
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Arguments::command(),
                "capstan",
                &mut std::io::stdout(),
            );
            Ok(Exit::Success)
        }
        Command::Man => {
            clap_mangen::Man::new(Arguments::command()).render(&mut std::io::stdout())?;
            Ok(Exit::Success)
        }
    }
}

/// Where an operator's policy is by default.
const POLICY: &str = "/etc/capstan/policy.yaml";

/// The policy that is in force.
fn policy_of(arguments: &DocumentArguments) -> Result<Policy> {
    if let Some(profile) = &arguments.profile {
        return Ok(Policy::builtin(
            profile.parse::<Profile>().map_err(anyhow::Error::msg)?,
        ));
    }
    let path = arguments
        .policy
        .clone()
        .or_else(|| Some(PathBuf::from(POLICY)).filter(|path| path.is_file()));
    match path {
        Some(path) => {
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("the policy {}", path.display()))?;
            Ok(Policy::parse(&text, &path.display().to_string())?)
        }
        None => Ok(Policy::builtin(Profile::Confined)),
    }
}

fn runner(arguments: &DocumentArguments) -> Result<Arc<Runner>> {
    let state = StateFolder::open(arguments.state.as_deref())?;
    let mut actions = ActionRegistry::new(built_in::BUILT_IN);
    for path in &arguments.component {
        actions.add_file(path)?;
    }
    Ok(Arc::new(Runner::new(state, actions, policy_of(arguments)?)))
}

/// The document that was named: a file, or a name.
fn request(runner: &Runner, arguments: &DocumentArguments) -> Result<RunRequest> {
    let named = arguments
        .document
        .as_deref()
        .context("name a document: a file, or one of `capstan document list`")?;
    let path = Path::new(named);
    let (document, source) = if path.is_file() {
        let source =
            std::fs::read_to_string(path).with_context(|| format!("the document {named}"))?;
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
