//! `capstan plan` and `capstan policy`.

use anyhow::{Context as _, Result, bail};
use capstan_policy::{
    AccessSet, BUILT_IN_PUBLISHER, Confinement, Grant, GrantCheck, HostVerdict, Policy,
};
use capstan_runner::{Plan, Will};
use url::Url;

use super::{request, runner};
use crate::arguments::{DocumentArguments, ExplainArguments, Output, PolicyCommand};
use crate::exit::Exit;
use crate::render;

pub(crate) fn policy(command: PolicyCommand) -> Result<Exit> {
    match command {
        PolicyCommand::Schema => {
            outln!("{}", serde_json::to_string_pretty(&Policy::json_schema())?);
            Ok(Exit::Success)
        }
        PolicyCommand::Check { file } => {
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("the policy {}", file.display()))?;
            let policy = Policy::parse(&text, &file.display().to_string())?;
            for warning in policy.warnings() {
                render::warning(&warning);
            }
            outln!(
                "{}: well formed, profile {}, {} rules",
                file.display(),
                policy.profile,
                policy.rules.len()
            );
            Ok(Exit::Success)
        }
        PolicyCommand::Explain(arguments) => explain(&arguments),
    }
}

pub(crate) fn plan(arguments: &DocumentArguments) -> Result<Exit> {
    show(arguments, |plan| print(plan, false))
}

fn explain(arguments: &ExplainArguments) -> Result<Exit> {
    let hosts: Vec<Url> = arguments
        .host
        .iter()
        .map(|text| Url::parse(text).with_context(|| format!("--host {text}: it is no URL")))
        .collect::<Result<_>>()?;
    if let Some(path) = arguments
        .file
        .iter()
        .find(|path| !capstan_policy::is_normal_path(path))
    {
        bail!("--file {path}: a path is absolute here, without `.`, `..` and doubled slashes");
    }
    show(&arguments.document, |plan| {
        if arguments.file.is_empty() && hosts.is_empty() {
            print(plan, true);
            return;
        }
        for step in &plan.steps {
            outln!("{} ({})", step.name, step.action);
            for (who, grant) in [
                ("the action", &step.component),
                ("its programs", &step.children),
            ] {
                let check = GrantCheck::new(grant.clone());
                for path in &arguments.file {
                    outln!("   {path}: {who}: {}", explain_file(&check, path));
                }
                for url in &hosts {
                    outln!("   {url}: {who}: {}", explain_host(&check, url));
                }
            }
            if !step.rules.is_empty() {
                outln!(
                    "   rules of the policy that apply: {}",
                    step.rules.join(", ")
                );
            }
        }
    })
}

fn show(arguments: &DocumentArguments, text: impl FnOnce(&Plan)) -> Result<Exit> {
    let runner = runner(arguments)?;
    let request = request(&runner, arguments)?;
    let plan = tokio::runtime::Builder::new_current_thread()
        .build()?
        .block_on(runner.plan(&request))?;
    if arguments.output == Output::Json {
        outln!("{}", serde_json::to_string_pretty(&plan)?);
    } else {
        text(&plan);
    }
    Ok(if plan.is_denied() {
        Exit::Denied
    } else {
        Exit::Success
    })
}

fn words(access: &AccessSet) -> String {
    let words: Vec<String> = access
        .iter()
        .map(|access| format!("{access:?}").to_lowercase())
        .collect();
    words.join(", ")
}

fn explain_file(check: &GrantCheck, path: &str) -> String {
    if check.grant().confinement == Confinement::Unconfined {
        return "everything (not confined)".into();
    }
    let rules: Vec<String> = check
        .rules_for_file(path)
        .map(|rule| format!("{} ({})", words(&rule.access), rule.path))
        .collect();
    match (rules.is_empty(), check.exception(path)) {
        (false, _) => rules.join("; "),
        (true, Some((rule, except))) => {
            format!("nothing: {} is granted, except {except}", rule.path)
        }
        (true, None) => "nothing".into(),
    }
}

fn explain_host(check: &GrantCheck, url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(0);
    match check.allows_host(url.scheme(), host, port, Some("GET"), Some(url.path())) {
        HostVerdict::Anywhere => "GET".into(),
        HostVerdict::Public => "GET, at public addresses only".into(),
        HostVerdict::Refused => "nothing".into(),
    }
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
        outln!("{}. {} ({}) {word}", index + 1, step.name, step.action);
        if step.will == Will::Run || whole {
            if let Some(publisher) = &step.publisher
                && publisher != BUILT_IN_PUBLISHER
            {
                outln!("   publisher: {publisher}");
            }
            if !step.rules.is_empty() {
                outln!("   rules: {}", step.rules.join(", "));
            }
            let (action, programs) = (
                grant_lines(&step.component, whole),
                grant_lines(&step.children, whole),
            );
            for line in &action {
                let both = programs.contains(line);
                let who = if both {
                    "the action and its programs"
                } else {
                    "the action"
                };
                outln!("   {who}: {line}");
            }
            for line in programs.iter().filter(|line| !action.contains(line)) {
                outln!("   its programs: {line}");
            }
            let limits = [
                format!("fuel {}", step.limits.fuel),
                format!("memory {} MiB", step.limits.memory_bytes >> 20),
                format!(
                    "programs' memory {} MiB",
                    step.limits.child_memory_bytes >> 20
                ),
                format!("output {} MiB", step.limits.output_bytes >> 20),
                format!("disk {} MiB", step.limits.disk_bytes >> 20),
                format!("processes {}", step.limits.processes),
            ]
            .join(", ");
            // Steps usually have the same limits: they are told where they change.
            if index == 0 || plan.steps[index - 1].limits != step.limits || whole {
                outln!("   limits: {limits}");
            }
        }
        for missing in &step.optional_missing {
            outln!(
                "   could use {}: {} ({})",
                missing.capability,
                missing.item,
                missing.reason
            );
        }
    }
}

fn grant_lines(grant: &Grant, whole: bool) -> Vec<String> {
    if grant.confinement == Confinement::Unconfined {
        return vec!["everything (not confined)".into()];
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
    let mut lines: Vec<String> = grant
        .files
        .iter()
        .filter(|rule| whole || !of_profile(&rule.path) || rule.access.len() > 3)
        .map(|rule| format!("{} ({})", rule.path, words(&rule.access)))
        .collect();
    lines.extend(grant.hosts.iter().map(ToString::to_string));
    lines.extend(grant.secrets.iter().map(|rule| format!("secret {rule}")));
    for (what, names) in [
        ("socket", &grant.sockets),
        ("parameter", &grant.parameters),
        ("document", &grant.documents),
        ("variable", &grant.environment),
        ("signing for", &grant.signing),
    ] {
        lines.extend(names.iter().map(|name| format!("{what} {name}")));
    }
    lines
}
