//! `capstan plugin install`, `list` and `remove`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use capstan_plugins::registry::{Reference, pull};
use capstan_plugins::{
    Fetched, Installation, Installed, Options, PublicKey, Standing, component_in, read_file,
};
use capstan_runner::{ActionRegistry, StateFolder, compile};
use clap::Args;

use super::approval::approve;
use super::registry::RegistryArguments;
use crate::arguments::Output;
use crate::built_in;
use crate::commands::policy_in_force;
use crate::exit::Exit;
use crate::render::{self, shown};

#[derive(Debug, Args)]
pub(crate) struct InstallArguments {
    /// A component, the folder of a plugin's project after `capstan plugin build`, or
    /// oci://HOST[:PORT]/REPOSITORY[:TAG|@sha256:DIGEST].
    source: String,
    #[command(flatten)]
    registry: RegistryArguments,
    /// Approve of what it asks for without being asked.
    #[arg(long, short)]
    yes: bool,
    /// The policy, whose publishers are those whose signatures are known [default: as for `run`].
    #[arg(long, value_name = "FILE", env = "CAPSTAN_POLICY")]
    policy: Option<PathBuf>,
    /// Install it only if it is signed with this key: the line that begins with RW, or a .pub file.
    #[arg(long, value_name = "KEY")]
    public_key: Option<String>,
    /// Put a lower version in the place of a higher one.
    #[arg(long)]
    allow_downgrade: bool,
    /// Put another component in the place of one of the same version.
    #[arg(long)]
    replace: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// A key as it stands in the argument, or in the file that this names.
pub(super) fn public_key(text: &str) -> Result<PublicKey> {
    let path = Path::new(text);
    if path.is_file() {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        return PublicKey::parse(&text).with_context(|| path.display().to_string());
    }
    Ok(PublicKey::parse(text)?)
}

fn fetch(arguments: &InstallArguments) -> Result<Fetched> {
    if Reference::is_one(&arguments.source) {
        let reference: Reference = arguments.source.parse()?;
        return Ok(pull(&reference, &arguments.registry.access()?)?);
    }
    let path = Path::new(&arguments.source);
    if path.is_dir() {
        return Ok(read_file(&component_in(path)?)?);
    }
    if !path.exists() {
        bail!("there is no file {}", arguments.source);
    }
    Ok(read_file(path)?)
}

pub(crate) fn install(state: Option<&Path>, arguments: &InstallArguments) -> Result<Exit> {
    let state = StateFolder::open(state)?;
    let policy = policy_in_force(arguments.policy.as_deref(), None)?;
    let options = Options {
        allow_downgrade: arguments.allow_downgrade,
        replace: arguments.replace,
        key: arguments
            .public_key
            .as_deref()
            .map(public_key)
            .transpose()?,
    };
    let fetched = fetch(arguments)?;
    let store = state.plugins();
    let lock = store.lock(|| render::note("waits for another process that changes plugins"))?;
    let built_in = ActionRegistry::new(built_in::BUILT_IN);
    let taken = |name: &str| {
        let found = built_in.not_installed(name)?;
        Some(format!("the built-in action {}", found.source))
    };
    let plugin = Installation::prepare(fetched, &lock, &policy, taken, &options)?;
    let digest = &plugin.info.digest;
    if let Standing::Present(there) = &plugin.standing {
        outln!(
            "{} {} (sha256:{digest}) is installed already",
            there.name,
            shown(&there.version)
        );
        return Ok(Exit::Success);
    }
    approve(&plugin, arguments.yes)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(compile(&state, &plugin.info, &plugin.wasm))?;
    let installed = plugin.commit(&lock, jiff::Timestamp::now())?;
    let version = shown(&installed.version);
    match &plugin.standing {
        Standing::Update { from, .. } => outln!(
            "updated {} from {} to {version} (sha256:{digest})",
            installed.name,
            shown(&from.version)
        ),
        _ => outln!("installed {} {version} (sha256:{digest})", installed.name),
    }
    Ok(Exit::Success)
}

pub(crate) fn list(state: Option<&Path>, arguments: &ListArguments) -> Result<Exit> {
    let plugins = match StateFolder::existing(state)? {
        Some(state) => state.plugins().installed()?,
        None => Vec::new(),
    };
    if arguments.output == Output::Json {
        outln!("{}", serde_json::to_string_pretty(&plugins)?);
        return Ok(Exit::Success);
    }
    if plugins.is_empty() {
        outln!("no plugins are installed");
        return Ok(Exit::Success);
    }
    let heading = ["NAME", "VERSION", "PUBLISHER", "DIGEST", "SOURCE"].map(str::to_owned);
    let rows: Vec<[String; 5]> = std::iter::once(heading)
        .chain(plugins.iter().map(row))
        .collect();
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or_default()
    };
    let widths = [width(0), width(1), width(2), width(3)];
    for [name, version, publisher, digest, source] in &rows {
        let [a, b, c, d] = widths;
        outln!("{name:<a$}  {version:<b$}  {publisher:<c$}  {digest:<d$}  {source}");
    }
    Ok(Exit::Success)
}

fn row(plugin: &Installed) -> [String; 5] {
    let names: Vec<&str> = plugin.names().collect();
    let publisher = match &plugin.signature {
        None => "-".to_owned(),
        Some(signed) => match &signed.publisher {
            Some(name) => name.clone(),
            None => format!("key {}", signed.key_id),
        },
    };
    let digest = plugin.digest.get(..12).unwrap_or_default();
    [
        names.join(", "),
        shown(&plugin.version),
        publisher,
        digest.to_owned(),
        plugin.source.to_string(),
    ]
}

pub(crate) fn remove(state: Option<&Path>, name: &str) -> Result<Exit> {
    let store = StateFolder::open(state)?.plugins();
    let lock = store.lock(|| render::note("waits for another process that changes plugins"))?;
    let removed = lock.remove(name)?;
    outln!("removed {} {}", removed.name, shown(&removed.version));
    Ok(Exit::Success)
}
