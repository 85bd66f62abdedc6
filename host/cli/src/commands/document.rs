//! `capstan document`: its arguments, and what it does without a server.

use std::path::{Path, PathBuf};

use anyhow::Result;
use capstan_runner::{DocumentStore, StateFolder};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::remote::{Tag, needs_endpoint, print, tag};
use crate::arguments::Output;
use crate::exit::Exit;

/// What can be done with documents.
#[derive(Debug, Subcommand)]
pub(crate) enum DocumentCommand {
    /// List the built-in and stored documents.
    List,
    /// Print a document.
    Show {
        /// Its name.
        name: String,
        /// The version: a number, $DEFAULT or $LATEST. Only with --endpoint.
        #[arg(long, value_name = "VERSION")]
        document_version: Option<String>,
        /// The format to print it in [default: that it is stored in]. Only with --endpoint.
        #[arg(long, value_enum, ignore_case = true)]
        format: Option<Format>,
    },
    /// Create a document. Only with --endpoint.
    Create(CreateArguments),
    /// Add a version to a document. Only with --endpoint.
    Update {
        /// Its name.
        name: String,
        /// The new content: a file, or `-` for standard input.
        file: PathBuf,
        /// The version that is changed; another than the latest is refused.
        #[arg(long, value_name = "VERSION", default_value = "$LATEST")]
        document_version: String,
        /// A name for the new version.
        #[arg(long, value_name = "NAME")]
        version_name: Option<String>,
        /// The format [default: what the file is].
        #[arg(long, value_enum, ignore_case = true)]
        format: Option<Format>,
    },
    /// Delete a document, or one of its versions. Only with --endpoint.
    Delete {
        /// Its name.
        name: String,
        /// This version alone.
        #[arg(long, value_name = "VERSION")]
        document_version: Option<String>,
    },
    /// Choose the version that is used where none is named. Only with --endpoint.
    SetDefault {
        /// The document's name.
        name: String,
        /// The version's number.
        version: String,
    },
}

/// What `capstan document create` takes.
#[derive(Debug, Args)]
pub(crate) struct CreateArguments {
    /// The content: a file, or `-` for standard input.
    pub(crate) file: PathBuf,
    /// The document's name.
    #[arg(long)]
    pub(crate) name: String,
    /// The type of document, such as Command or Automation.
    #[arg(long = "type", value_name = "TYPE", default_value = "Command")]
    pub(crate) kind: String,
    /// The format [default: what the file is].
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) format: Option<Format>,
    /// A name for the first version.
    #[arg(long, value_name = "NAME")]
    pub(crate) version_name: Option<String>,
    /// A tag. May be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = tag)]
    pub(crate) tag: Vec<Tag>,
}

/// A document's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// Plain text, for some types.
    Text,
}

impl Format {
    /// As the API writes it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Yaml => "YAML",
            Self::Text => "TEXT",
        }
    }
}

pub(crate) fn document(
    state: Option<&Path>,
    command: DocumentCommand,
    output: Output,
) -> Result<Exit> {
    let store = || -> Result<DocumentStore> {
        Ok(DocumentStore::new(StateFolder::open(state)?.documents()))
    };
    match command {
        DocumentCommand::List => {
            let names = store()?.list();
            let each: Value = names.iter().map(|name| json!({ "Name": name })).collect();
            print(output, &json!({ "DocumentIdentifiers": each }), |_| {
                names.iter().for_each(|name| outln!("{name}"));
            });
        }
        DocumentCommand::Show {
            name,
            document_version: None,
            format: None,
        } => {
            let content = store()?.get(&name)?;
            let answer = json!({ "Name": name, "Content": content });
            print(output, &answer, |_| out!("{content}"));
        }
        DocumentCommand::Show { .. } => return Err(needs_endpoint("a version or format")),
        DocumentCommand::Create(_) => return Err(needs_endpoint("document create")),
        DocumentCommand::Update { .. } => return Err(needs_endpoint("document update")),
        DocumentCommand::Delete { .. } => return Err(needs_endpoint("document delete")),
        DocumentCommand::SetDefault { .. } => return Err(needs_endpoint("document set-default")),
    }
    Ok(Exit::Success)
}
