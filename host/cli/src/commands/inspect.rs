//! `capstan doctor`, `action` and `audit`: looking at things.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use capstan_document::nearest;
use capstan_policy::Layer;
use capstan_runner::{ActionRegistry, StateFolder, verify_receipts};
use capstan_sandbox::Enforcement;

use crate::arguments::{ActionCommand, Output};
use crate::exit::Exit;
use crate::render::shown;

pub(crate) fn doctor(state: Option<&Path>, output: Output) -> Result<Exit> {
    let support = capstan_sandbox::probe();
    if output == Output::Json {
        outln!("{}", serde_json::to_string_pretty(&support)?);
        return Ok(Exit::Success);
    }
    outln!(
        "kernel {}, Landlock {}",
        support.kernel,
        support.landlock_abi
    );
    for layer in &support.layers {
        let name = serde_json::to_value(layer.layer)?;
        let name = name.as_str().unwrap_or_default();
        match &layer.enforcement {
            Enforcement::Full => outln!("  {name:<18} yes"),
            Enforcement::Partial(why) => outln!("  {name:<18} in part: {why}"),
            Enforcement::Missing(why) => {
                outln!("  {name:<18} no: {why}");
                outln!("  {:<18}     {}", "", advice(layer.layer));
            }
        }
    }
    let profile = capstan_policy::Profile::default();
    let lacking: Vec<String> = support
        .layers
        .iter()
        .filter(|layer| matches!(layer.enforcement, Enforcement::Missing(_)))
        .filter(|layer| !profile.may_lack().contains(&layer.layer))
        .filter_map(|layer| Some(serde_json::to_value(layer.layer).ok()?.as_str()?.to_owned()))
        .collect();
    if lacking.is_empty() {
        outln!("steps can run confined here; a policy with `mayLack: []` demands every layer");
    } else {
        outln!(
            "steps are refused here under the profile {profile}, for want of {}",
            lacking.join(", ")
        );
    }
    let state = StateFolder::open(state)?;
    outln!("state {}", state.root().display());
    match capstan_runtime::CompileCache::open(state.cache()) {
        Ok(_) => outln!("cache {}", state.cache().display()),
        Err(error) => outln!("{error}"),
    }
    Ok(Exit::Success)
}

/// What an operator can do to have a layer.
fn advice(layer: Layer) -> &'static str {
    match layer {
        Layer::LandlockFiles => {
            "run Linux 5.13 or newer, with `landlock` among the modules of the boot parameter lsm="
        }
        Layer::LandlockTcp => "run Linux 6.7 or newer",
        Layer::LandlockScopes => "run Linux 6.12 or newer",
        Layer::MountNamespace | Layer::PidNamespace | Layer::NetworkNamespace => {
            "run as root, or allow user namespaces (sysctl user.max_user_namespaces, and kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu)"
        }
        Layer::Cgroup => {
            "run as root, or as a systemd service with Delegate=yes, with the controllers memory and pids"
        }
        Layer::Seccomp | Layer::FileMetadata | Layer::SetuidFiles => {
            "run a kernel with CONFIG_SECCOMP_FILTER"
        }
        Layer::Rlimits | Layer::NoNewPrivs => "every Linux has it; look at what forbids it here",
    }
}

pub(crate) fn action(registry: &ActionRegistry, command: ActionCommand) -> Result<Exit> {
    match command {
        ActionCommand::List => {
            for action in registry.all() {
                for name in action.names() {
                    outln!("{name:<28} {}", shown(action.description()));
                }
            }
        }
        ActionCommand::Inspect { action } => {
            let path = Path::new(&action);
            let found = if path.is_file() {
                outln!(
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
                Some(found) => outln!("{}", serde_json::to_string_pretty(found.info()?)?),
                None => {
                    let names = registry.all().flat_map(|action| action.names());
                    let near = nearest(&action, names);
                    let help = near.map_or_else(
                        || "`capstan action list` shows those there are".to_owned(),
                        |near| format!("did you mean {near}?"),
                    );
                    bail!("there is no action {action}; {help}")
                }
            }
        }
    }
    Ok(Exit::Success)
}

pub(crate) fn verify(state: Option<&Path>, file: Option<PathBuf>) -> Result<Exit> {
    let path = match file {
        Some(file) => file,
        None => StateFolder::open(state)?.receipts(),
    };
    match verify_receipts(&path) {
        Ok(count) => {
            outln!("{}: {count} receipts, the chain is whole", path.display());
            Ok(Exit::Success)
        }
        Err(error) => {
            errln!("{}: {error}", path.display());
            Ok(Exit::Failure)
        }
    }
}
