//! `capstan parameter`.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use capstan_runner::{ParameterKind, ParameterStore, StateFolder};

use crate::arguments::ParameterCommand;
use crate::exit::Exit;

/// A value as it was given, or from where that says. The line end that editors and `echo` leave is no part of it.
fn value_of(text: String) -> Result<String> {
    let read = if text == "-" {
        std::io::read_to_string(std::io::stdin()).context("the value from standard input")?
    } else if let Some(path) = text.strip_prefix("file://") {
        std::fs::read_to_string(path).with_context(|| format!("the value in {path}"))?
    } else {
        return Ok(text);
    };
    Ok(read.strip_suffix('\n').map_or(read.clone(), str::to_owned))
}

pub(crate) fn parameter(state: Option<&Path>, command: ParameterCommand) -> Result<Exit> {
    let store = ParameterStore::new(StateFolder::open(state)?.parameters());
    match command {
        ParameterCommand::Put {
            name,
            value,
            kind,
            overwrite,
        } => {
            let Ok(kind) = serde_json::from_value::<ParameterKind>(kind.clone().into()) else {
                bail!(
                    "`{kind}` is no type of parameter; there are String, StringList and SecureString"
                );
            };
            let value = value_of(value)?;
            outln!(
                "{name}: version {}",
                store.put(&name, &value, kind, overwrite)?
            );
        }
        ParameterCommand::Label {
            name,
            labels,
            version,
        } => {
            let version = store.label(&name, version, &labels)?;
            outln!("{name}: version {version} is {}", labels.join(", "));
        }
        ParameterCommand::Get {
            name,
            with_decryption,
        } => match store.get(&name)? {
            Some(found) if found.kind == ParameterKind::SecureString && !with_decryption => {
                bail!("{name} is a SecureString; --with-decryption prints it");
            }
            Some(found) => outln!("{}", found.value),
            None => bail!("there is no parameter {name}"),
        },
        ParameterCommand::List => {
            for (name, found) in store.list()? {
                outln!(
                    "{name}\t{:?}\tversion {}\t{}\t{}",
                    found.kind,
                    found.version,
                    found.modified,
                    found.labels.join(",")
                );
            }
        }
        ParameterCommand::Delete { name } => {
            if !store.delete(&name)? {
                bail!("there is no parameter {name}");
            }
        }
    }
    Ok(Exit::Success)
}
