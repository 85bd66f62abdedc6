//! Running a step from its start to its end, whatever it waits for.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use capstan_inventory::Types;
use capstan_policy::{
    Decision, GrantCheck, Manifest, Missing, StepDirectories, StepNeeds, Subject,
};
use capstan_runner::{
    Action, ActionRegistry, Cleaner, Judgement, StepStatus, Verdict, judge, settle_inventory,
};
use capstan_runtime::worker::ensure_compiled;
use capstan_runtime::{
    Call, CompileCache, Event, EventSink, OutputStream, Runtime, StepContext, StepEvent,
    StepRequest, Wake, WorldClock,
};
use jiff::Timestamp;
use serde_json::Value;

use crate::broker::ScriptedBroker;
use crate::error::HarnessError;
use crate::files::Files;
use crate::report::{Denied, LogLine, Progress, Report, Suspension, Wait};
use crate::request::{Request, Signal, StepSpec};
use crate::secrets::SecretStore;
use crate::world::{ScriptedWorld, timestamp};

/// Midnight of the first of January 2026.
const NOW: i64 = 1_767_225_600;
const WORK: &str = "/work";
const DOWNLOADS: &str = "/downloads";
const DATA: &str = "/data";
const TEMPORARY: &str = "/tmp";
/// A step that has not ended by then is in a loop. By the machine's clock: the world's own stands still.
const LONGEST_MILLIS: u64 = 60_000;
/// A step that waits more often than this waits for something that never comes.
const MOST_WAITS: usize = 1_000;

/// Runs one step. `program` is this very program, which compiles the component in a process of its own, and `cache` the
/// folder where that is kept.
///
/// # Errors
/// When the request makes no sense or the component cannot be used. What happens in the step is in the report.
pub async fn run(request: Request, program: &Path, cache: &Path) -> Result<Report, HarnessError> {
    let mut registry = ActionRegistry::new(&[]);
    registry.add_file(&request.component)?;
    let action = registry.all().next().ok_or_else(|| {
        HarnessError::Request(format!("{} is no component", request.component.display()))
    })?;
    let manifest = action.manifest()?;
    let name = name(manifest, request.action.as_deref())?;
    let decision = decide(&request, manifest, &name)?;
    let mut report = Report {
        action: name.clone(),
        ..Report::default()
    };
    let world = world(&request, &decision)?;
    report.ended_at = world.now().to_string();
    if !decision.missing.is_empty() {
        refuse(&mut report, &decision.missing);
        return Ok(report);
    }
    let cache = compiled(action, program, cache).await?;
    let runtime = Runtime::in_world(cache, Arc::clone(&world) as _)?;
    let step = Step {
        request: &request,
        manifest,
        component: action.info()?.digest.clone(),
        name,
        decision,
        world,
        runtime,
    };
    step.run(&mut report).await?;
    Ok(report)
}

fn name(manifest: &Manifest, wanted: Option<&str>) -> Result<String, HarnessError> {
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

fn decide(request: &Request, manifest: &Manifest, action: &str) -> Result<Decision, HarnessError> {
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

fn world(request: &Request, decision: &Decision) -> Result<Arc<ScriptedWorld>, HarnessError> {
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
fn refuse(report: &mut Report, missing: &[Missing]) {
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
async fn compiled(
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

/// What a step told while it ran.
#[derive(Default)]
struct Told {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    log: Vec<LogLine>,
    progress: Vec<Progress>,
}

impl Told {
    fn take(&mut self, event: StepEvent) {
        match event {
            StepEvent::Output { stream, data } => match stream {
                OutputStream::Stdout => self.stdout.extend(data),
                OutputStream::Stderr => self.stderr.extend(data),
            },
            StepEvent::Progress { done, total, note } => {
                self.progress.push(Progress { done, total, note });
            }
            StepEvent::Log {
                level,
                message,
                fields,
            } => self.log.push(LogLine {
                level,
                message,
                fields: fields.map(|text| serde_json::from_str(&text).unwrap_or(text.into())),
            }),
        }
    }
}

/// A step that may run.
struct Step<'a> {
    request: &'a Request,
    manifest: &'a Manifest,
    component: String,
    name: String,
    decision: Decision,
    world: Arc<ScriptedWorld>,
    runtime: Runtime,
}

impl Step<'_> {
    async fn run(&self, report: &mut Report) -> Result<(), HarnessError> {
        let cleaner = Arc::new(Cleaner::new(Arc::clone(&self.world.secrets.known)));
        let told: Arc<Mutex<Told>> = Arc::default();
        let lock = || told.lock().unwrap_or_else(PoisonError::into_inner);
        let sink: EventSink = {
            let (cleaner, told) = (Arc::clone(&cleaner), Arc::clone(&told));
            Arc::new(move |event| {
                if let Some(event) = cleaner.event(event) {
                    told.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .take(event);
                }
            })
        };
        let broker = Arc::new(ScriptedBroker {
            world: Arc::clone(&self.world),
            parameters: self.request.world.parameters.clone(),
            documents: self.request.world.documents.clone(),
            runs: Mutex::default(),
            events: Arc::clone(&sink),
        });
        self.attempts(report, &broker, &sink, &cleaner).await;
        cleaner
            .release()
            .into_iter()
            .for_each(|event| lock().take(event));

        let told = std::mem::take(&mut *lock());
        report.stdout = String::from_utf8_lossy(&told.stdout).into_owned();
        report.stderr = String::from_utf8_lossy(&told.stderr).into_owned();
        report.log = told.log;
        report.progress = told.progress;
        report.documents = broker.runs();
        report.secrets = self.world.secrets.uses();
        report.ended_at = self.world.now().to_string();
        let record = std::mem::take(&mut *self.world.record());
        report.programs = record.programs;
        report.requests = record.requests;
        report.denials.extend(record.denials);
        report.unanswered.extend(record.unanswered);
        let changes = self.world.files.changes()?;
        report.files = changes.files;
        report.modes = changes.modes;
        Ok(())
    }

    /// The calls of the component: the first, and one after each wait.
    async fn attempts(
        &self,
        report: &mut Report,
        broker: &Arc<ScriptedBroker>,
        sink: &EventSink,
        cleaner: &Cleaner,
    ) {
        let collects = self.manifest.collects(&self.name);
        let inputs = Value::Object(self.request.inputs.clone());
        let mut call = match collects {
            true => Call::Collect { settings: inputs },
            false => Call::Start { inputs },
        };
        let mut signals = self.request.world.signals.clone();
        let (_keep, cancel) = tokio::sync::watch::channel(false);
        loop {
            let broker = Arc::clone(broker) as Arc<dyn capstan_runtime::Broker>;
            let mut done = self
                .runtime
                .run_step(self.step(call), broker, Arc::clone(sink), cancel.clone())
                .await;
            if collects {
                settle_inventory(&mut done, Types::Custom, self.world.now());
            }
            cleaner.report(&mut done);
            report.fuel += done.usage.fuel;
            report.peak_memory = report.peak_memory.max(done.usage.peak_memory_bytes);
            for one in done.denials {
                let denied = Denied {
                    capability: one.capability,
                    target: one.target,
                    hint: one.hint,
                };
                if !report.denials.contains(&denied) {
                    report.denials.push(denied);
                }
            }
            match judge(done.outcome, false) {
                Judgement::Ended(verdict) => return conclude(report, verdict, collects),
                Judgement::Waits {
                    state,
                    wake,
                    reason,
                } => match self.wait(report, wake, reason, &mut signals) {
                    Some(event) => call = Call::Resume { state, event },
                    None => return,
                },
            }
        }
    }

    /// What ends a wait, with the clock moved there; none when nothing does.
    fn wait(
        &self,
        report: &mut Report,
        wake: Wake,
        reason: String,
        signals: &mut Vec<Signal>,
    ) -> Option<Event> {
        let (at, names, reboot) = match wake {
            Wake::At(at) => (Some(at), Vec::new(), false),
            Wake::Signal(names) => (None, names, false),
            Wake::Either(at, names) => (Some(at), names, false),
            Wake::Reboot => (None, Vec::new(), true),
        };
        let sent = signals
            .iter()
            .position(|signal| names.contains(&signal.name))
            .map(|index| signals.remove(index));
        let (event, resumed_by) = match (sent, at) {
            _ if report.suspensions.len() >= MOST_WAITS => {
                report.unanswered.push(format!(
                    "the step has waited {MOST_WAITS} times, and waits again: {reason}"
                ));
                (None, None)
            }
            (Some(signal), _) => {
                let payload = signal.payload.map(|payload| payload.to_string());
                let name = signal.name;
                (Some(Event::Signal { name, payload }), Some("signal"))
            }
            (None, Some(at)) => {
                self.world.clock.move_to(at);
                (Some(Event::Timer), Some("timer"))
            }
            (None, None) if reboot => (Some(Event::Rebooted), Some("reboot")),
            (None, None) => {
                report.unanswered.push(format!(
                    "the step waits for the signal {}, which the test does not send: {reason}",
                    names.join(" or ")
                ));
                (None, None)
            }
        };
        let signal = match &event {
            Some(Event::Signal { name, .. }) => Some(name.clone()),
            _ => None,
        };
        report.suspensions.push(Suspension {
            reason,
            wake: Wait {
                at: at.map(|at| timestamp(at).to_string()),
                signals: names,
                reboot,
            },
            resumed_by,
            signal,
        });
        if event.is_none() {
            report.status = StepStatus::InProgress;
            report.status_detail = "Waiting".into();
        }
        event
    }

    fn step(&self, call: Call) -> StepRequest {
        let StepSpec {
            document,
            name,
            run_id,
            node_id,
            attempt,
            region,
            platform,
            environment,
            ..
        } = self.request.step.clone();
        let mut limits = self.decision.limits.clone();
        let deadline = self
            .world
            .clock
            .unix_millis()
            .saturating_add(limits.wall_millis);
        limits.wall_millis = limits.wall_millis.min(LONGEST_MILLIS);
        StepRequest {
            id: 1,
            component: self.component.clone(),
            programs: self.manifest.capabilities.programs.clone(),
            call,
            context: StepContext {
                run_id,
                node_id,
                document,
                step: name,
                action: self.name.clone(),
                attempt,
                platform,
                work_directory: WORK.into(),
                downloads_directory: DOWNLOADS.into(),
                data_directory: DATA.into(),
                deadline_unix_millis: deadline,
                environment,
                region,
            },
            component_grant: self.decision.component.clone(),
            children_grant: self.decision.children.clone(),
            limits,
            environment: Default::default(),
        }
    }
}

fn conclude(report: &mut Report, verdict: Verdict, collects: bool) {
    report.status = verdict.status;
    report.status_detail = verdict.detail;
    report.exit_code = verdict.exit_code;
    report.message = verdict.message.unwrap_or_default();
    report.detail = verdict.failure;
    report.backtrace = verdict.backtrace;
    if collects && let Some(outputs) = &verdict.outputs {
        report.items = outputs.get("items").cloned();
    }
    report.outputs = verdict.outputs;
}
