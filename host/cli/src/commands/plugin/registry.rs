//! `capstan plugin push`, and what `install` needs to fetch from registries.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use capstan_plugins::read_file;
use capstan_plugins::registry::{self, Access, Credentials, Reference};
use clap::Args;

use crate::exit::Exit;
use crate::render;

/// Holds the password for a registry.
const PASSWORD: &str = "CAPSTAN_REGISTRY_PASSWORD";

#[derive(Debug, Args)]
pub(crate) struct RegistryArguments {
    /// Talk to the registry without TLS. Registries on this very machine are always talked to so.
    #[arg(long)]
    plain_http: bool,
    /// Who you are to the registry; the password is taken from $CAPSTAN_REGISTRY_PASSWORD. Else what `docker login` or
    /// `oras login` wrote into docker's config.json is used.
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
}

impl RegistryArguments {
    pub(super) fn access(&self) -> Result<Access> {
        let credentials = match &self.username {
            None => None,
            Some(username) => match std::env::var(PASSWORD) {
                Ok(password) => Some(Credentials {
                    username: username.clone(),
                    password,
                }),
                Err(_) => bail!("put the password of {username} into ${PASSWORD}"),
            },
        };
        Ok(Access {
            plain_http: self.plain_http,
            credentials,
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct PushArguments {
    /// The component; the signature beside it goes along.
    file: PathBuf,
    /// Where to: oci://HOST[:PORT]/REPOSITORY[:TAG]. The tag is the plugin's version if there is none.
    reference: String,
    #[command(flatten)]
    registry: RegistryArguments,
}

pub(crate) fn push(arguments: &PushArguments) -> Result<Exit> {
    let reference: Reference = arguments.reference.parse()?;
    let path = arguments.file.display();
    let read = read_file(&arguments.file)?;
    let info = capstan_runtime::inspect(&read.wasm).with_context(|| path.to_string())?;
    capstan_runtime::check_acceptable(&info)
        .with_context(|| format!("{path}: nobody could install it"))?;
    match &read.signature {
        Some(signature) if !signature.comment().contains(&info.digest) => render::warning(
            "the signature beside the component is of another file, or was not made by `capstan plugin sign`",
        ),
        Some(_) => {}
        None => render::note("the plugin is not signed; `capstan plugin sign` signs it"),
    }
    let pushed = registry::push(
        &reference,
        &arguments.registry.access()?,
        &read.wasm,
        &info,
        read.signature.as_ref(),
        jiff::Timestamp::now(),
    )?;
    outln!("pushed {} (sha256:{})", pushed.reference, info.digest);
    outln!("{}", pushed.pinned);
    Ok(Exit::Success)
}
