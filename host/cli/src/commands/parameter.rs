//! `capstan parameter`.

use anyhow::{Result, bail};
use capstan_runner::{ParameterKind, ParameterStore, StateFolder};

use crate::arguments::ParameterCommand;
use crate::exit::Exit;

pub(crate) fn parameter(command: ParameterCommand) -> Result<Exit> {
    let store = ParameterStore::new(StateFolder::open(None)?.parameters());
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
            outln!(
                "{name}: version {}",
                store.put(&name, &value, kind, overwrite)?
            );
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
                    "{name}\t{:?}\tversion {}\t{}",
                    found.kind,
                    found.version,
                    found.modified
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
