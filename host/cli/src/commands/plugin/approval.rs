//! Shows what a plugin asks for, and asks somebody to approve of it.

use std::io::IsTerminal as _;

use anyhow::Result;
use capstan_plugins::{Change, Installation, PluginError, Publisher, Request, Standing};

use crate::render::shown;

fn line(request: &Request) -> String {
    let optional = if request.optional { ", optional" } else { "" };
    let text = format!(
        "{} {} {}",
        request.capability, request.item, request.details
    );
    shown(&format!(
        "{}{optional}: {}",
        text.trim_end(),
        request.reason
    ))
}

fn whose(publisher: &Publisher) -> String {
    match (&publisher.name, &publisher.key_id) {
        (Some(name), Some(key)) => format!("{name} (key {key}, the signature is valid)"),
        (_, Some(key)) if publisher.verified => {
            format!("the holder of the key {key}; the signature is valid")
        }
        (_, Some(key)) => format!(
            "unknown: signed with the key {key}, which no publisher of the policy has and nobody checked"
        ),
        (_, None) => "unknown: it is not signed".to_owned(),
    }
}

/// Shows a plugin, and returns once it is approved of.
pub(super) fn approve(plugin: &Installation, yes: bool) -> Result<()> {
    let manifest = &plugin.info.manifest;
    let names: Vec<&str> = manifest.names().collect();
    outln!("{} {}", names.join(", "), shown(&manifest.version));
    outln!("  {}", shown(&manifest.description));
    outln!("  from       {}", plugin.source());
    outln!("  digest     sha256:{}", plugin.info.digest);
    outln!("  size       {} KiB", plugin.info.size.div_ceil(1024));
    outln!("  publisher  {}", whose(&plugin.publisher));
    if let Standing::Update {
        from,
        changes,
        signer_changed,
    } = &plugin.standing
    {
        if *signer_changed {
            let before = match &from.signature {
                Some(signed) => format!("was signed with the key {}", signed.key_id),
                None => "was not signed".to_owned(),
            };
            outln!(
                "  the version {} that is there {before}",
                shown(&from.version)
            );
        }
        if changes.is_empty() {
            outln!(
                "  it asks for what was approved for {}",
                shown(&from.version)
            );
        } else {
            outln!(
                "  it asks for something else than what was approved for {}:",
                shown(&from.version)
            );
        }
        for change in changes {
            match change {
                Change::Added(to) => outln!("    + {}", line(to)),
                Change::Removed(from) => outln!("    - {}", line(from)),
                Change::Changed { from, to } => {
                    outln!("    - {}", line(from));
                    outln!("    + {}", line(to));
                }
            }
        }
    } else {
        let requests = plugin.requests();
        if requests.is_empty() {
            outln!("  it asks for nothing");
        } else {
            outln!("  it asks for, as far as the policy grants it to a step:");
        }
        for request in &requests {
            outln!("    {}", line(request));
        }
    }
    if yes || !plugin.needs_approval() {
        return Ok(());
    }
    let refused = |why: &str| PluginError::Refused(format!("{}: {why}", plugin.name()));
    if !std::io::stdin().is_terminal() {
        return Err(refused(
            "nobody is there to approve of it; --yes approves of what is shown above",
        )
        .into());
    }
    err!("Install it? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
        Ok(())
    } else {
        Err(refused("it is not installed, since it was not approved of").into())
    }
}
