//! Running a step from its start to its end, whatever it waits for.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use capstan_inventory::Types;
use capstan_policy::{Decision, Manifest};
use capstan_runner::{
    ActionRegistry, Cleaner, Judgement, StepStatus, Verdict, judge, settle_inventory,
};
use capstan_runtime::{Call, Event, EventSink, Runtime, StepContext, StepRequest, Wake};
use serde_json::Value;

use crate::broker::ScriptedBroker;
use crate::error::HarnessError;
use crate::prepare::{DATA, DOWNLOADS, WORK, compiled, decide, name, refuse, world};
use crate::report::{Denied, Report, Suspension, Wait};
use crate::request::{Request, Signal, StepSpec};
use crate::told::Told;
use crate::world::{ScriptedWorld, timestamp};

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
