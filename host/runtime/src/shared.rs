//! What all parts of a running step share.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use capstan_policy::{GrantCheck, Limits, ProgramRequest};
use capstan_sandbox::{ChildProcess, DiskUsage, Sandbox, StepSandbox, User, find_user};
use tokio::sync::{Notify, watch};

use crate::bindings::capstan::host::types as wit;
use crate::broker::{Broker, BrokerError};
use crate::capability::secrets::Placeholders;
use crate::disk::DiskWatch;
use crate::network::ChildProxy;
use crate::step::{
    ChildRecord, Denial, EventSink, OutputStream, StepContext, StepEvent, StopReason,
};
use crate::world::{self, World};

/// A running step, as its host functions and child processes see it.
pub(crate) struct StepShared {
    pub(crate) id: u64,
    pub(crate) component: GrantCheck,
    pub(crate) children: Arc<GrantCheck>,
    pub(crate) limits: Limits,
    pub(crate) context: StepContext,
    pub(crate) programs: BTreeMap<String, ProgramRequest>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) events: EventSink,
    pub(crate) cancel: watch::Receiver<bool>,
    pub(crate) started: Instant,
    pub(crate) sandbox: Arc<Sandbox>,
    /// What stands in for the machine; none on a node.
    pub(crate) world: Option<Arc<dyn World>>,
    /// What the clock of the world showed when the step began, in nanoseconds since 1970.
    pub(crate) began_nanos: u64,
    pub(crate) counters: Counters,
    stop: Mutex<Option<(StopReason, String)>>,
    stopped: Notify,
    record: Mutex<Record>,
    pub(crate) step_sandbox: tokio::sync::OnceCell<Arc<StepSandbox>>,
    pub(crate) proxy: tokio::sync::OnceCell<Option<ChildProxy>>,
    running: Mutex<Vec<Arc<ChildProcess>>>,
    owner: OnceLock<Option<User>>,
    /// What the folders that the step shares with others held when it began.
    pub(crate) disk_before: DiskUsage,
    pub(crate) disk_watch: OnceLock<DiskWatch>,
    /// The component has written something, or can do so unseen.
    pub(crate) wrote: AtomicBool,
    pub(crate) placeholders: Placeholders,
}

/// What is counted against the limits.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Fuel for host calls and programs that the engine has not been told of yet.
    owed_fuel: AtomicU64,
    /// What the engine had left when the guest last called its host.
    engine_fuel: AtomicU64,
    pub(crate) output: AtomicU64,
    pub(crate) http_requests: AtomicU64,
    pub(crate) http_bytes: AtomicU64,
    pub(crate) child_cpu_millis: AtomicU64,
    pub(crate) child_peak_memory: AtomicU64,
}

/// What goes into the report.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) denials: Vec<Denial>,
    pub(crate) hosts: BTreeSet<String>,
    pub(crate) files: BTreeSet<String>,
    pub(crate) children: Vec<ChildRecord>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StepShared {
    pub(crate) fn new(
        request: crate::step::StepRequest,
        broker: Arc<dyn Broker>,
        events: EventSink,
        cancel: watch::Receiver<bool>,
        sandbox: Arc<Sandbox>,
        world: Option<Arc<dyn World>>,
        disk_before: DiskUsage,
    ) -> Self {
        let fuel = request.limits.fuel;
        Self {
            id: request.id,
            component: GrantCheck::new(request.component_grant),
            children: Arc::new(GrantCheck::new(request.children_grant)),
            limits: request.limits,
            context: request.context,
            programs: request.programs,
            environment: request.environment,
            broker,
            events,
            cancel,
            started: Instant::now(),
            sandbox,
            began_nanos: world.as_ref().map_or(0, |world| world.clock().nanos()),
            world,
            counters: Counters {
                engine_fuel: AtomicU64::new(fuel),
                ..Counters::default()
            },
            stop: Mutex::new(None),
            stopped: Notify::new(),
            record: Mutex::new(Record::default()),
            step_sandbox: tokio::sync::OnceCell::new(),
            proxy: tokio::sync::OnceCell::new(),
            running: Mutex::new(Vec::new()),
            owner: OnceLock::new(),
            disk_before,
            disk_watch: OnceLock::new(),
            wrote: AtomicBool::new(false),
            placeholders: Placeholders::default(),
        }
    }

    /// Where a path of the step lies on this machine.
    pub(crate) fn real<'a>(&self, path: &'a Path) -> Cow<'a, Path> {
        world::real(self.world.as_ref(), path)
    }

    /// The step's name for a path on this machine; none for what it cannot have.
    pub(crate) fn seen<'a>(&self, path: &'a Path) -> Option<Cow<'a, Path>> {
        world::seen(self.world.as_ref(), path)
    }

    /// Whose the files are that the component makes: the user's that its programs run as.
    pub(crate) fn owner(&self) -> Option<&User> {
        let run_as = &self.children.grant().run_as;
        self.owner
            .get_or_init(|| match self.world {
                None => find_user(run_as).unwrap_or(None),
                Some(_) => None,
            })
            .as_ref()
    }

    /// Ends the step: the first reason counts. Its children end at once.
    pub(crate) fn stop(&self, reason: StopReason, message: impl Into<String>) {
        lock(&self.stop).get_or_insert_with(|| (reason, message.into()));
        self.kill_children();
        self.stopped.notify_waiters();
        self.stopped.notify_one();
    }

    /// Why the step was ended, if it was.
    pub(crate) fn stop_reason(&self) -> Option<(StopReason, String)> {
        lock(&self.stop).clone()
    }

    /// Waits until the step is ended.
    pub(crate) async fn until_stopped(&self) {
        loop {
            let notified = self.stopped.notified();
            if lock(&self.stop).is_some() {
                return;
            }
            notified.await;
        }
    }

    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        lock(&self.record)
    }

    /// Charges fuel for what the host does for the guest. The engine's own count takes it over when the call
    /// returns ([`settle_fuel`](Self::settle_fuel)); what is charged while the guest waits may end the step before.
    pub(crate) fn charge(&self, fuel: u64) {
        let owed = self
            .counters
            .owed_fuel
            .fetch_add(fuel, Ordering::Relaxed)
            .saturating_add(fuel);
        if owed > self.counters.engine_fuel.load(Ordering::Relaxed) {
            self.stop(
                StopReason::FuelExhausted,
                format!(
                    "the step's {} units of fuel are used up by host calls and programs",
                    self.limits.fuel
                ),
            );
        }
    }

    /// Remembers what the engine has left, when the guest calls its host.
    pub(crate) fn note_fuel(&self, left: u64) {
        self.counters.engine_fuel.store(left, Ordering::Relaxed);
    }

    /// What is left of the engine's fuel once the host's charges are taken from it; none when they are more.
    pub(crate) fn settle_fuel(&self, left: u64) -> Option<u64> {
        let owed = self.counters.owed_fuel.swap(0, Ordering::Relaxed);
        let rest = left.checked_sub(owed);
        self.note_fuel(rest.unwrap_or(0));
        rest
    }

    pub(crate) fn charge_bytes(&self, bytes: usize) {
        self.charge((bytes as u64 / 64) * crate::tariff::BYTES_64);
    }

    /// Passes output on, up to the limit; past it the step ends.
    pub(crate) fn output(&self, stream: OutputStream, data: &[u8]) {
        let before = self
            .counters
            .output
            .fetch_add(data.len() as u64, Ordering::Relaxed);
        let room = self.limits.output_bytes.saturating_sub(before);
        let kept = data.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        if kept > 0 {
            (self.events)(StepEvent::Output {
                stream,
                data: data[..kept].to_vec(),
            });
        }
        if kept < data.len() {
            self.stop(
                StopReason::OutputLimitExceeded,
                format!(
                    "the step printed more than its limit of {} bytes",
                    self.limits.output_bytes
                ),
            );
        }
    }

    /// Counts HTTP traffic of the component and of its children. False when it is more than the step's limits; the
    /// step ends then.
    pub(crate) fn count_http(&self, requests: u64, bytes: u64) -> bool {
        let total = self
            .counters
            .http_requests
            .fetch_add(requests, Ordering::Relaxed)
            + requests;
        let all_bytes = self.counters.http_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if requests > 0 {
            self.charge(requests * crate::tariff::HTTP_REQUEST);
        }
        if total > self.limits.http_requests {
            self.stop(
                StopReason::HttpLimitExceeded,
                format!(
                    "the step made more than {} HTTP requests",
                    self.limits.http_requests
                ),
            );
        } else if all_bytes > self.limits.http_bytes {
            self.stop(
                StopReason::HttpLimitExceeded,
                format!(
                    "the step moved more than {} bytes over HTTP",
                    self.limits.http_bytes
                ),
            );
        }
        total <= self.limits.http_requests && all_bytes <= self.limits.http_bytes
    }

    /// Records a refusal and makes the value that the guest gets.
    pub(crate) fn deny(&self, capability: &str, target: &str, hint: String) -> wit::Error {
        self.note_denial(capability, target, &hint);
        wit::Error::Denied(wit::Denial {
            capability: capability.into(),
            target: target.into(),
            hint,
        })
    }

    /// Records a refusal, once.
    pub(crate) fn note_denial(&self, capability: &str, target: &str, hint: &str) {
        let denial = Denial {
            capability: capability.into(),
            target: target.into(),
            hint: hint.into(),
        };
        let mut record = self.record();
        if record.denials.len() < MAX_DENIALS && !record.denials.contains(&denial) {
            record.denials.push(denial);
        }
    }

    pub(crate) fn broker_error(&self, error: BrokerError) -> wit::Error {
        match error {
            BrokerError::Denied {
                capability,
                target,
                hint,
            } => self.deny(&capability, &target, hint),
            BrokerError::NotFound(what) => wit::Error::NotFound(what),
            BrokerError::Invalid(why) => wit::Error::Invalid(why),
            BrokerError::TimedOut => wit::Error::TimedOut,
            error @ (BrokerError::Io(_) | BrokerError::Gone) => wit::Error::Io(error.to_string()),
        }
    }

    pub(crate) fn add_child(&self, child: &Arc<ChildProcess>) {
        lock(&self.running).push(Arc::clone(child));
    }

    pub(crate) fn remove_child(&self, child: &Arc<ChildProcess>) {
        lock(&self.running).retain(|other| !Arc::ptr_eq(other, child));
    }

    pub(crate) fn kill_children(&self) {
        for child in lock(&self.running).iter() {
            child.kill();
        }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        *self.cancel.borrow()
    }
}

/// More refusals than anybody reads; a guest must not fill the report.
const MAX_DENIALS: usize = 256;
