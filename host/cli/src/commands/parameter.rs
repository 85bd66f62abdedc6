//! `capstan parameter`: its arguments, and what it does without a server.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use capstan_runner::{ParameterKind, ParameterStore, StateFolder, StoredVersion};
use clap::Subcommand;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::remote::{needs_endpoint, print};
use crate::arguments::Output;
use crate::exit::Exit;

/// What can be done with parameters.
#[derive(Debug, Subcommand)]
pub(crate) enum ParameterCommand {
    /// Put a parameter.
    Put {
        /// Its name.
        name: String,
        /// Its value; file://PATH takes it from a file, and `-` from standard input.
        #[arg(long, allow_hyphen_values = true)]
        value: String,
        /// String, StringList or SecureString [default: String, or on a server what the parameter is already].
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
        /// Replace one that is there.
        #[arg(long)]
        overwrite: bool,
    },
    /// Give a version of a parameter labels, which {{ssm:NAME:LABEL}} finds it by.
    Label {
        /// Its name.
        name: String,
        /// The labels; each is of one version at a time.
        #[arg(required = true)]
        labels: Vec<String>,
        /// The version [default: the latest].
        #[arg(long)]
        version: Option<u64>,
    },
    /// Print a parameter's value.
    Get {
        /// Its name, or name:version, or name:label.
        name: String,
        /// Print the value of a SecureString.
        #[arg(long)]
        with_decryption: bool,
    },
    /// List the parameters.
    List,
    /// List the versions of a parameter. Only with --endpoint.
    History {
        /// Its name.
        name: String,
        /// Print the values of a SecureString.
        #[arg(long)]
        with_decryption: bool,
    },
    /// Remove a parameter.
    Delete {
        /// Its name.
        name: String,
    },
}

/// A value as it was given, or from where that says. The line end that editors and `echo` leave is no part of it.
pub(super) fn value_of(text: String) -> Result<String> {
    let read = if text == "-" {
        std::io::read_to_string(std::io::stdin()).context("the value from standard input")?
    } else if let Some(path) = text.strip_prefix("file://") {
        std::fs::read_to_string(path).with_context(|| format!("the value in {path}"))?
    } else {
        return Ok(text);
    };
    Ok(read.strip_suffix('\n').map_or(read.clone(), str::to_owned))
}

pub(crate) fn parameter(
    state: Option<&Path>,
    command: ParameterCommand,
    output: Output,
) -> Result<Exit> {
    if matches!(command, ParameterCommand::History { .. }) {
        return Err(needs_endpoint("parameter history"));
    }
    let store = ParameterStore::new(StateFolder::open(state)?.parameters());
    match command {
        ParameterCommand::Put {
            name,
            value,
            kind,
            overwrite,
        } => {
            let kind = kind.unwrap_or_else(|| "String".to_owned());
            let Ok(kind) = serde_json::from_value::<ParameterKind>(kind.clone().into()) else {
                bail!(
                    "`{kind}` is no type of parameter; there are String, StringList and SecureString"
                );
            };
            let value = value_of(value)?;
            let version = store.put(&name, &value, kind, overwrite)?;
            print(output, &json!({ "Version": version }), |_| {
                outln!("{name}: version {version}");
            });
        }
        ParameterCommand::Label {
            name,
            labels,
            version,
        } => {
            let version = store.label(&name, version, &labels)?;
            let answer = json!({ "ParameterVersion": version, "InvalidLabels": [] });
            print(output, &answer, |_| {
                outln!("{name}: version {version} is {}", labels.join(", "));
            });
        }
        ParameterCommand::Get {
            name,
            with_decryption,
        } => match store.get(&name)? {
            Some(found) if found.kind == ParameterKind::SecureString && !with_decryption => {
                bail!("{name} is a SecureString; --with-decryption prints it");
            }
            Some(found) => {
                let mut answer = wire(&name, &found);
                answer["Value"] = found.value.clone().into();
                print(output, &json!({ "Parameter": answer }), |_| {
                    outln!("{}", found.value);
                });
            }
            None => bail!("there is no parameter {name}"),
        },
        ParameterCommand::List => {
            let all = store.list()?;
            let each: Value = all.iter().map(|(name, found)| wire(name, found)).collect();
            print(output, &json!({ "Parameters": each }), |_| {
                for (name, found) in &all {
                    outln!(
                        "{name}\t{:?}\tversion {}\t{}\t{}",
                        found.kind,
                        found.version,
                        found.modified,
                        found.labels.join(",")
                    );
                }
            });
        }
        ParameterCommand::History { .. } => {}
        ParameterCommand::Delete { name } => {
            if !store.delete(&name)? {
                bail!("there is no parameter {name}");
            }
            print(output, &json!({}), |_| ());
        }
    }
    Ok(Exit::Success)
}

/// In the form of the API, without the value.
fn wire(name: &str, found: &StoredVersion) -> Value {
    let modified = found.modified.parse::<Timestamp>().ok();
    json!({
        "Name": name,
        "Type": format!("{:?}", found.kind),
        "Version": found.version,
        "LastModifiedDate": modified.map(Timestamp::as_second),
        "Labels": found.labels,
    })
}
