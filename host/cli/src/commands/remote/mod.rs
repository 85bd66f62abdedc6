//! The subcommands that work on a server, over its API: for those without the aws CLI.

mod client;
mod command;
mod document;
mod node;
mod parameter;
mod send;
mod step;
mod table;
mod watch;

pub(crate) use client::{EndpointArguments, credentials, print, variable};
pub(crate) use command::CommandCommand;
pub(crate) use node::NodeCommand;

use std::future::Future;

use anyhow::Result;
use serde_json::{Value, json};

use super::document::DocumentCommand;
use super::parameter::ParameterCommand;
use crate::exit::Exit;

/// A key and a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag {
    key: String,
    value: String,
}

impl Tag {
    fn wire(tags: &[Self]) -> Value {
        tags.iter()
            .map(|tag| json!({ "Key": tag.key, "Value": tag.value }))
            .collect()
    }
}

/// Reads KEY=VALUE.
pub(crate) fn tag(text: &str) -> Result<Tag, String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok(Tag {
            key: key.to_owned(),
            value: value.to_owned(),
        }),
        _ => Err("a tag is KEY=VALUE".to_owned()),
    }
}

/// For what the state folder of a machine has nothing of.
pub(crate) fn needs_endpoint(what: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "{what} works on a server: say which with --endpoint URL or CAPSTAN_ENDPOINT, such as http://127.0.0.1:8400"
    )
}

fn block_on(work: impl Future<Output = Result<Exit>>) -> Result<Exit> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

pub(crate) fn command(endpoint: &EndpointArguments, command: CommandCommand) -> Result<Exit> {
    block_on(async { command::run(&endpoint.connect()?, command).await })
}

pub(crate) fn node(endpoint: &EndpointArguments, command: NodeCommand) -> Result<Exit> {
    block_on(async { node::run(&endpoint.connect()?, command).await })
}

pub(crate) fn document(endpoint: &EndpointArguments, command: DocumentCommand) -> Result<Exit> {
    block_on(async { document::run(&endpoint.connect()?, command).await })
}

pub(crate) fn parameter(endpoint: &EndpointArguments, command: ParameterCommand) -> Result<Exit> {
    block_on(async { parameter::run(&endpoint.connect()?, command).await })
}

#[cfg(test)]
mod tests {
    use super::tag;

    #[test]
    fn a_tag_has_a_key_and_may_have_an_empty_value() {
        for (text, expected) in [
            ("a=b", Some(("a", "b"))),
            ("a=", Some(("a", ""))),
            ("a=b=c", Some(("a", "b=c"))),
            ("=b", None),
            ("a", None),
        ] {
            let read = tag(text).ok();
            let read = read
                .as_ref()
                .map(|tag| (tag.key.as_str(), tag.value.as_str()));
            assert_eq!(read, expected, "{text}");
        }
    }
}
