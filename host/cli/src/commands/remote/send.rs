//! `capstan command send`.

use std::path::Path;

use anyhow::{Result, bail};
use clap::{ArgGroup, Args};
use serde_json::{Map, Value, json};

use super::client::Remote;
use super::table::text;
use super::watch;
use crate::arguments::Output;
use crate::exit::Exit;
use crate::shorthand;

/// What `capstan command send` takes.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("where").required(true).args(["target", "node"])))]
pub(crate) struct SendArguments {
    /// The name or ARN of a document on the server.
    document: String,
    /// Nodes that have a tag with one of these values, as tag:KEY=VALUE[,VALUE…]; also tag-key=KEY and
    /// resource-groups:Name=GROUP. Given several times, nodes must meet all.
    #[arg(long, value_name = "tag:KEY=VALUE", value_parser = target)]
    target: Vec<Target>,
    /// A node. May be given several times.
    #[arg(long, value_name = "ID")]
    node: Vec<String>,
    /// Parameters: the aws CLI's shorthand, JSON, or file://PATH. May be given several times.
    #[arg(long, short, value_name = "PARAMETERS")]
    parameters: Vec<String>,
    /// What is said of the command.
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Seconds in which a node has to begin.
    #[arg(long, value_name = "SECONDS")]
    timeout_seconds: Option<u32>,
    /// Nodes that run it at once: a number, or a share such as 10%.
    #[arg(long, value_name = "NUMBER")]
    max_concurrency: Option<String>,
    /// Errors after which no more nodes are sent it: a number, or a share such as 10%.
    #[arg(long, value_name = "NUMBER")]
    max_errors: Option<String>,
    /// The document's version: a number, $DEFAULT or $LATEST.
    #[arg(long, value_name = "VERSION")]
    document_version: Option<String>,
    /// Watch the command until it ends, and end as it did.
    #[arg(long)]
    watch: bool,
}

/// Which nodes.
#[derive(Debug, Clone)]
struct Target {
    key: String,
    values: Vec<String>,
}

fn target(text: &str) -> Result<Target, String> {
    let wrong = || "a target is tag:KEY=VALUE[,VALUE…]".to_owned();
    let (key, values) = text.split_once('=').ok_or_else(wrong)?;
    if key.is_empty() || values.is_empty() {
        return Err(wrong());
    }
    Ok(Target {
        key: key.to_owned(),
        values: values.split(',').map(str::to_owned).collect(),
    })
}

pub(super) async fn send(remote: &Remote, arguments: SendArguments) -> Result<Exit> {
    let document = &arguments.document;
    if document.contains(['/', '.']) && Path::new(document).is_file() {
        bail!(
            "{document} is a file, and a command names a document of the server: `capstan document create {document} --name NAME --endpoint {}` makes one of it",
            remote.endpoint()
        );
    }
    let answer = remote.call("SendCommand", &request(&arguments)?).await?;
    let id = text(&answer["Command"], "CommandId");
    if !arguments.watch {
        remote.print(&answer, |_| outln!("{id}"));
        return Ok(Exit::Success);
    }
    if remote.output == Output::Text {
        outln!("{id}");
    }
    watch::watch(remote, &id).await
}

/// The request: what was not said, the server decides.
fn request(arguments: &SendArguments) -> Result<Value> {
    let mut request = Map::new();
    let mut set = |member: &str, value: Option<Value>| {
        if let Some(value) = value {
            request.insert(member.to_owned(), value);
        }
    };
    let words = |text: &Option<String>| text.clone().map(Value::String);
    set("DocumentName", Some(arguments.document.clone().into()));
    set("DocumentVersion", words(&arguments.document_version));
    set("Comment", words(&arguments.comment));
    set("MaxConcurrency", words(&arguments.max_concurrency));
    set("MaxErrors", words(&arguments.max_errors));
    set("TimeoutSeconds", arguments.timeout_seconds.map(Value::from));
    if !arguments.node.is_empty() {
        set("InstanceIds", Some(arguments.node.clone().into()));
    }
    if !arguments.target.is_empty() {
        let targets = arguments
            .target
            .iter()
            .map(|target| json!({ "Key": target.key, "Values": target.values }));
        set("Targets", Some(targets.collect()));
    }
    let parameters: Map<String, Value> = shorthand::parameters(&arguments.parameters)?
        .into_iter()
        .map(|(name, value)| (name, strings(value)))
        .collect();
    if !parameters.is_empty() {
        set("Parameters", Some(parameters.into()));
    }
    Ok(Value::Object(request))
}

/// A parameter's value in the API's form, a list of texts.
fn strings(value: Value) -> Value {
    let one = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    match value {
        Value::Array(items) => items.into_iter().map(one).collect(),
        other => Value::from(vec![one(other)]),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::{strings, target};

    #[test]
    fn a_target_is_a_key_with_values() {
        let read = target("tag:Environment=production,staging").unwrap();
        assert_eq!(read.key, "tag:Environment");
        assert_eq!(read.values, ["production", "staging"]);
        for text in ["tag:Environment", "=a", "tag:a="] {
            assert!(target(text).is_err(), "{text}");
        }
    }

    #[test]
    fn values_are_lists_of_texts() {
        for (value, expected) in [
            (json!(["a", "b"]), json!(["a", "b"])),
            (json!("a"), json!(["a"])),
            (json!(3), json!(["3"])),
            (json!([true, { "x": 1 }]), json!(["true", "{\"x\":1}"])),
        ] {
            assert_eq!(strings(value), expected);
        }
    }
}
