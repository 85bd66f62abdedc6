//! Before a step runs: by which name, with which rights, in which world, from which code.

use std::path::Path;
use std::sync::Arc;

use capstan_policy::{
    Decision, GrantCheck, Manifest, Missing, StepDirectories, StepNeeds, Subject,
};
use capstan_runner::{Action, StepStatus};
use capstan_runtime::worker::ensure_compiled;
use capstan_runtime::{CompileCache, WorldClock};
use jiff::Timestamp;
use serde_json::Value;

use crate::error::HarnessError;
use crate::files::Files;
use crate::report::{Denied, Report};
use crate::request::Request;
use crate::secrets::SecretStore;
use crate::world::ScriptedWorld;

/// Midnight of the first of January 2026.
const NOW: i64 = 1_767_225_600;
pub(crate) const WORK: &str = "/work";
pub(crate) const DOWNLOADS: &str = "/downloads";
pub(crate) const DATA: &str = "/data";
const TEMPORARY: &str = "/tmp";

pub(crate) fn name(manifest: &Manifest, wanted: Option<&str>) -> Result<String, HarnessError> {
    let names: Vec<&str> = manifest.names().collect();
    match wanted {
        Some(wanted) if !names.contains(&wanted) => Err(HarnessError::Request(format!(
            "the component serves no action {wanted}; it serves {}",
            names.join(", ")
        ))),
        Some(wanted) => Ok(wanted.to_owned()),
        None => Ok(names.first().copied().unwrap_or_default().to_owned()),
    }
}

pub(crate) fn decide(
    request: &Request,
    manifest: &Manifest,
    action: &str,
) -> Result<Decision, HarnessError> {
    let step = &request.step;
    let subject = Subject {
        document: step.document.clone(),
        action: action.to_owned(),
        step: step.name.clone(),
        node_tags: step.node_tags.clone(),
        parameters: step.document_parameters.clone(),
        ..Subject::default()
    };
    let needs = StepNeeds {
        inputs: Value::Object(request.inputs.clone()),
        declared: None,
        directories: StepDirectories {
            work: WORK.into(),
            downloads: DOWNLOADS.into(),
            data: DATA.into(),
            temporary: TEMPORARY.into(),
            withheld: Vec::new(),
        },
    };
    crate::policy::decide(request, &subject, manifest, &needs)
}

pub(crate) fn world(
    request: &Request,
    decision: &Decision,
) -> Result<Arc<ScriptedWorld>, HarnessError> {
    let spec = &request.world;
    let now = match spec.now {
        Some(now) => now.0,
        None => Timestamp::from_second(NOW).unwrap_or_default(),
    };
    let unix_millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
    let folders = [WORK, DOWNLOADS, DATA, TEMPORARY];
    Ok(Arc::new(ScriptedWorld::new(
        Files::new(&spec.files, &folders, now)?,
        Arc::new(WorldClock::new(unix_millis)),
        Arc::new(SecretStore::new(spec.secrets.clone())),
        GrantCheck::new(decision.children.clone()),
        (spec.programs.clone(), spec.http.clone()),
    )))
}

/// The policy does not grant what the step cannot do without.
pub(crate) fn refuse(report: &mut Report, missing: &[Missing]) {
    report.status = StepStatus::Failed;
    report.status_detail = "AccessDenied".into();
    report.exit_code = 1;
    report.message = capstan_policy::explain(missing);
    report.denials = missing
        .iter()
        .map(|one| Denied {
            capability: one.capability.clone(),
            // Without what is lacking of it, which the hint tells.
            target: match one.capability.as_str() {
                "files" | "secrets" => one.item.split(" (").next().unwrap_or_default().to_owned(),
                _ => one.item.clone(),
            },
            hint: one.hint.clone(),
        })
        .collect();
}

/// Compiled once, also when several tests ask for it at the same time.
pub(crate) async fn compiled(
    action: &Action,
    program: &Path,
    folder: &Path,
) -> Result<CompileCache, HarnessError> {
    let cache = CompileCache::open(folder)?;
    let component = action.info()?.digest.clone();
    if cache.has(&component) {
        return Ok(cache);
    }
    let path = folder.join(format!(".{component}.lock"));
    let locked = || -> std::io::Result<std::fs::File> {
        let file = std::fs::File::create(&path)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)?;
        Ok(file)
    };
    let _lock = locked().map_err(HarnessError::io(path.display().to_string()))?;
    let done = ensure_compiled(&cache, program, &component, action.wasm()?).await;
    let _ = std::fs::remove_file(&path);
    done?;
    Ok(cache)
}
