//! `capstan doctor`, `action`, `document` and `audit`: looking at things.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use capstan_runner::{ActionRegistry, DocumentStore, StateFolder, verify_receipts};
use capstan_sandbox::Enforcement;

use crate::arguments::{ActionCommand, DocumentCommand, Output};
use crate::built_in;
use crate::exit::Exit;

pub(crate) fn doctor(output: Output) -> Result<Exit> {
    let support = capstan_sandbox::probe();
    if output == Output::Json {
        println!("{}", serde_json::to_string_pretty(&support)?);
        return Ok(Exit::Success);
    }
    println!(
        "kernel {}, Landlock {}",
        support.kernel, support.landlock_abi
    );
    for layer in &support.layers {
        let name = serde_json::to_value(layer.layer)?;
        let name = name.as_str().unwrap_or_default();
        match &layer.enforcement {
            Enforcement::Full => println!("  {name:<18} yes"),
            Enforcement::Partial(why) => println!("  {name:<18} in part: {why}"),
            Enforcement::Missing(why) => println!("  {name:<18} no: {why}"),
        }
    }
    let state = StateFolder::open(None)?;
    println!("state {}", state.root().display());
    match capstan_runtime::CompileCache::open(state.cache()) {
        Ok(_) => println!("cache {}", state.cache().display()),
        Err(error) => println!("{error}"),
    }
    Ok(Exit::Success)
}

pub(crate) fn action(command: ActionCommand) -> Result<Exit> {
    let registry = ActionRegistry::new(built_in::BUILT_IN);
    match command {
        ActionCommand::List => {
            for action in registry.all() {
                let manifest = action.manifest()?;
                for name in &manifest.actions {
                    println!("{name:<28} {}", manifest.description);
                }
            }
        }
        ActionCommand::Inspect { action } => {
            let path = Path::new(&action);
            let found = if path.is_file() {
                println!(
                    "{}",
                    serde_json::to_string_pretty(&capstan_runtime::inspect(&std::fs::read(
                        path
                    )?)?)?
                );
                return Ok(Exit::Success);
            } else {
                registry.find(&action)?
            };
            match found {
                Some(found) => println!("{}", serde_json::to_string_pretty(found.info()?)?),
                None => bail!(
                    "there is no action {action}; `capstan action list` shows those there are"
                ),
            }
        }
    }
    Ok(Exit::Success)
}

pub(crate) fn document(command: DocumentCommand) -> Result<Exit> {
    let store = DocumentStore::new(StateFolder::open(None)?.documents());
    match command {
        DocumentCommand::List => store.list().iter().for_each(|name| println!("{name}")),
        DocumentCommand::Show { name } => print!("{}", store.get(&name)?),
    }
    Ok(Exit::Success)
}

pub(crate) fn verify(file: Option<PathBuf>) -> Result<Exit> {
    let path = match file {
        Some(file) => file,
        None => StateFolder::open(None)?.receipts(),
    };
    match verify_receipts(&path) {
        Ok(count) => {
            println!("{}: {count} receipts, the chain is whole", path.display());
            Ok(Exit::Success)
        }
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            Ok(Exit::Failure)
        }
    }
}
