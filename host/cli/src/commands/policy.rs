//! `capstan plan` and `capstan policy`.

use anyhow::{Context as _, Result};
use capstan_policy::{Confinement, Grant, Policy};
use capstan_runner::{Plan, Will};

use super::{request, runner};
use crate::arguments::{DocumentArguments, Output, PolicyCommand};
use crate::exit::Exit;
use crate::render;

pub(crate) fn policy(command: PolicyCommand) -> Result<Exit> {
    match command {
        PolicyCommand::Schema => {
            println!("{}", serde_json::to_string_pretty(&Policy::json_schema())?);
            Ok(Exit::Success)
        }
        PolicyCommand::Check { file } => {
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("the policy {}", file.display()))?;
            let policy = Policy::parse(&text, &file.display().to_string())?;
            for warning in policy.warnings() {
                render::warning(&warning);
            }
            println!(
                "{}: well formed, profile {}, {} rules",
                file.display(),
                policy.profile,
                policy.rules.len()
            );
            Ok(Exit::Success)
        }
        PolicyCommand::Explain(arguments) => explain(&arguments, true),
    }
}

pub(crate) fn plan(arguments: &DocumentArguments) -> Result<Exit> {
    explain(arguments, false)
}

fn explain(arguments: &DocumentArguments, whole: bool) -> Result<Exit> {
    let runner = runner(arguments)?;
    let plan = runner.plan(&request(&runner, arguments)?)?;
    if arguments.output == Output::Json {
        println!("{}", serde_json::to_string_pretty(&plan)?);
    } else {
        print(&plan, whole);
    }
    Ok(if plan.is_denied() {
        Exit::Denied
    } else {
        Exit::Success
    })
}

fn print(plan: &Plan, whole: bool) {
    for warning in &plan.warnings {
        render::warning(warning);
    }
    for (index, step) in plan.steps.iter().enumerate() {
        let word = match &step.will {
            Will::Run => "runs".to_owned(),
            Will::Skip(why) => format!("is skipped: {why}"),
            Will::Fail(why) => format!("fails: {why}"),
            Will::Denied(why) => format!("is refused: {why}"),
        };
        println!("{}. {} ({}) {word}", index + 1, step.name, step.action);
        if step.will == Will::Run || whole {
            if !step.rules.is_empty() {
                println!("   rules: {}", step.rules.join(", "));
            }
            print_grant("the action", &step.component, whole);
            print_grant("its programs", &step.children, whole);
            println!(
                "   limits: fuel {}, memory {} MiB, programs' memory {} MiB, output {} MiB, disk {} MiB, processes {}",
                step.limits.fuel,
                step.limits.memory_bytes >> 20,
                step.limits.child_memory_bytes >> 20,
                step.limits.output_bytes >> 20,
                step.limits.disk_bytes >> 20,
                step.limits.processes
            );
        }
        for missing in &step.optional_missing {
            println!(
                "   could use {}: {} ({})",
                missing.capability, missing.item, missing.reason
            );
        }
    }
}

fn print_grant(who: &str, grant: &Grant, whole: bool) {
    if grant.confinement == Confinement::Unconfined {
        println!("   {who}: everything (not confined)");
        return;
    }
    // The system folders of the profile are the same for every step; they are shown when asked for.
    let of_profile = |path: &str| {
        [
            "/usr", "/bin", "/sbin", "/lib", "/opt", "/nix", "/etc", "/dev", "/proc", "/sys",
        ]
        .iter()
        .any(|folder| {
            path == *folder || path.starts_with(&format!("{folder}/")) || path.starts_with("/lib")
        })
    };
    for rule in grant
        .files
        .iter()
        .filter(|rule| whole || !of_profile(&rule.path) || rule.access.len() > 3)
    {
        let access: Vec<String> = rule
            .access
            .iter()
            .filter_map(|access| Some(serde_json::to_value(access).ok()?.as_str()?.to_owned()))
            .collect();
        println!("   {who}: {} ({})", rule.path, access.join(", "));
    }
    for rule in &grant.hosts {
        let port = rule
            .port
            .map_or_else(String::new, |port| format!(":{port}"));
        println!(
            "   {who}: {}://{}{port}{}",
            rule.scheme,
            rule.host,
            rule.path.as_deref().unwrap_or_default()
        );
    }
    for socket in &grant.sockets {
        println!("   {who}: socket {socket}");
    }
}
