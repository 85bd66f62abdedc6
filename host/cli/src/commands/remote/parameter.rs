//! `capstan parameter` with a server.

use anyhow::{Error, Result, bail};
use capstan_client::ClientError;
use serde_json::{Value, json};

use super::client::{Remote, items};
use super::table::{Table, text, time};
use crate::arguments::Output;
use crate::commands::parameter::{ParameterCommand, value_of};
use crate::exit::Exit;

pub(super) async fn run(remote: &Remote, command: ParameterCommand) -> Result<Exit> {
    match command {
        ParameterCommand::Put {
            name,
            value,
            kind,
            overwrite,
        } => put(remote, &name, value, kind, overwrite).await?,
        ParameterCommand::Label {
            name,
            labels,
            version,
        } => return label(remote, &name, &labels, version).await,
        ParameterCommand::Get {
            name,
            with_decryption,
        } => get(remote, &name, with_decryption).await?,
        ParameterCommand::List => list(remote).await?,
        ParameterCommand::History {
            name,
            with_decryption,
        } => history(remote, &name, with_decryption).await?,
        ParameterCommand::Delete { name } => {
            let answer = remote
                .call("DeleteParameter", &json!({ "Name": name }))
                .await
                .map_err(|error| told(error, &name))?;
            remote.print(&answer, |_| ());
        }
    }
    Ok(Exit::Success)
}

/// The service says nothing more than that there is none.
fn told(mut error: Error, name: &str) -> Error {
    if let Some(ClientError::Service(refused)) = error.downcast_mut::<ClientError>()
        && refused.code == "ParameterNotFound"
    {
        refused.message = format!("there is no parameter {name}");
    }
    error
}

fn is_missing(error: &Error) -> bool {
    let error = error.downcast_ref::<ClientError>();
    error.and_then(ClientError::code) == Some("ParameterNotFound")
}

async fn put(
    remote: &Remote,
    name: &str,
    value: String,
    kind: Option<String>,
    overwrite: bool,
) -> Result<()> {
    // What is replaced keeps its type, and the service wants one for what is new.
    let is_there = overwrite
        && kind.is_none()
        && match remote.call("GetParameter", &json!({ "Name": name })).await {
            Ok(_) => true,
            Err(error) if is_missing(&error) => false,
            Err(error) => return Err(error),
        };
    let mut input = json!({ "Name": name, "Value": value_of(value)?, "Overwrite": overwrite });
    if !is_there {
        input["Type"] = kind.unwrap_or_else(|| "String".to_owned()).into();
    }
    let answer = remote.call("PutParameter", &input).await?;
    remote.print(&answer, |answer| {
        outln!("{name}: version {}", text(answer, "Version"));
    });
    Ok(())
}

async fn label(
    remote: &Remote,
    name: &str,
    labels: &[String],
    version: Option<u64>,
) -> Result<Exit> {
    let mut input = json!({ "Name": name, "Labels": labels });
    if let Some(version) = version {
        input["ParameterVersion"] = version.into();
    }
    let answer = remote
        .call("LabelParameterVersion", &input)
        .await
        .map_err(|error| told(error, name))?;
    let refused: Vec<String> = items(&answer, "InvalidLabels")
        .iter()
        .filter_map(|label| Some(label.as_str()?.to_owned()))
        .collect();
    remote.print(&answer, |answer| {
        let given: Vec<&str> = labels
            .iter()
            .filter(|label| !refused.contains(label))
            .map(String::as_str)
            .collect();
        if !given.is_empty() {
            outln!(
                "{name}: version {} is {}",
                text(answer, "ParameterVersion"),
                given.join(", ")
            );
        }
    });
    if refused.is_empty() {
        return Ok(Exit::Success);
    }
    bail!("these are no labels: {}", refused.join(", "))
}

async fn get(remote: &Remote, name: &str, with_decryption: bool) -> Result<()> {
    let input = json!({ "Name": name, "WithDecryption": with_decryption });
    let answer = remote
        .call("GetParameter", &input)
        .await
        .map_err(|error| told(error, name))?;
    let parameter = &answer["Parameter"];
    if remote.output == Output::Text && is_secret(parameter) && !with_decryption {
        bail!("{name} is a SecureString; --with-decryption prints it");
    }
    remote.print(&answer, |_| outln!("{}", text(parameter, "Value")));
    Ok(())
}

fn is_secret(parameter: &Value) -> bool {
    parameter["Type"] == "SecureString"
}

async fn list(remote: &Remote) -> Result<()> {
    let answer = remote
        .pages(
            "DescribeParameters",
            json!({ "MaxResults": 50 }),
            "Parameters",
            None,
        )
        .await?;
    remote.print(&answer, |answer| {
        let mut table = Table::new(&["PARAMETER", "TYPE", "VERSION", "MODIFIED", "DESCRIPTION"]);
        for parameter in items(answer, "Parameters") {
            table.row([
                text(parameter, "Name"),
                text(parameter, "Type"),
                text(parameter, "Version"),
                time(parameter, "LastModifiedDate"),
                text(parameter, "Description"),
            ]);
        }
        table.print();
    });
    Ok(())
}

async fn history(remote: &Remote, name: &str, with_decryption: bool) -> Result<()> {
    let input = json!({ "Name": name, "WithDecryption": with_decryption, "MaxResults": 50 });
    let answer = remote
        .pages("GetParameterHistory", input, "Parameters", None)
        .await
        .map_err(|error| told(error, name))?;
    remote.print(&answer, |answer| {
        let mut table = Table::new(&["VERSION", "TYPE", "MODIFIED", "BY", "LABELS", "VALUE"]);
        for parameter in items(answer, "Parameters") {
            let by = text(parameter, "LastModifiedUser");
            table.row([
                text(parameter, "Version"),
                text(parameter, "Type"),
                time(parameter, "LastModifiedDate"),
                by.rsplit('/').next().unwrap_or_default().to_owned(),
                text(parameter, "Labels"),
                match is_secret(parameter) && !with_decryption {
                    true => "(--with-decryption prints it)".to_owned(),
                    false => text(parameter, "Value"),
                },
            ]);
        }
        table.print();
    });
    Ok(())
}
