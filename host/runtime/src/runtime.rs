//! Running a step attempt.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use capstan_policy::FileAccess;
use capstan_sandbox::{DiskUsage, Sandbox};
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{Engine, Store, Trap, WasmBacktrace};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::bindings::capstan::action::types as action;
use crate::bindings::inventory::{InventoryCollectorPre, capstan::inventory::types::Item};
use crate::bindings::{ActionPlugin, ActionPluginPre};
use crate::broker::Broker;
use crate::cache::CompileCache;
use crate::capability::wasi_http::HttpState;
use crate::error::RuntimeError;
use crate::fuel::FuelHook;
use crate::limiter::{LimitReached, Limiter};
use crate::output::GuestOutput;
use crate::shared::StepShared;
use crate::step::{
    Call, Event, EventSink, FailureKind, OutputStream, Status, StepOutcome, StepReport,
    StepRequest, StopReason, Usage, Wake,
};
use crate::world::World;

/// What a suspended action may leave behind.
const MAX_STATE: usize = 1 << 20;
/// A cancelled action has this long to return by itself; its programs end at once.
const CANCEL_GRACE: Duration = Duration::from_secs(2);

/// Runs steps. One for each process.
pub struct Runtime {
    engine: Engine,
    linker: Linker<StepState>,
    cache: CompileCache,
    sandbox: Arc<Sandbox>,
    world: Option<Arc<dyn World>>,
    loaded: Mutex<HashMap<String, Loaded>>,
    /// What the folders that steps share held at the end of the last one.
    disk: Mutex<Option<DiskUsage>>,
}

#[derive(Clone)]
struct Loaded {
    action: Option<ActionPluginPre<StepState>>,
    collector: Option<InventoryCollectorPre<StepState>>,
    preopens: bool,
}

/// The state of one instance.
pub(crate) struct StepState {
    wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    limiter: Limiter,
    pub(crate) http: HttpState,
    pub(crate) shared: Arc<StepShared>,
}

impl WasiView for StepState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

impl Runtime {
    /// Sets up the engine.
    ///
    /// # Errors
    /// When the engine does not work on this machine.
    pub fn new(cache: CompileCache, sandbox: Arc<Sandbox>) -> Result<Self, RuntimeError> {
        Self::build(cache, sandbox, None)
    }

    /// Sets up the engine for steps in a scripted world. Nothing of the machine is in their reach.
    ///
    /// # Errors
    /// When the engine does not work on this machine.
    pub fn in_world(cache: CompileCache, world: Arc<dyn World>) -> Result<Self, RuntimeError> {
        let sandbox = Arc::new(Sandbox::without_programs());
        Self::build(cache, sandbox, Some(world))
    }

    fn build(
        cache: CompileCache,
        sandbox: Arc<Sandbox>,
        world: Option<Arc<dyn World>>,
    ) -> Result<Self, RuntimeError> {
        let engine = crate::engine::for_steps()?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(RuntimeError::engine)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)
            .map_err(RuntimeError::engine)?;
        ActionPlugin::add_to_linker::<_, HasSelf<StepState>>(&mut linker, |state| state)
            .map_err(RuntimeError::engine)?;
        if world.is_some() {
            crate::world::link_clock(&mut linker).map_err(RuntimeError::engine)?;
        }
        Ok(Self {
            engine,
            linker,
            cache,
            sandbox,
            world,
            loaded: Mutex::new(HashMap::new()),
            disk: Mutex::new(None),
        })
    }

    /// Loads a component from the compile cache; the second time it is there already.
    fn load(&self, digest: &str) -> Result<Loaded, RuntimeError> {
        if let Some(loaded) = self
            .loaded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(digest)
        {
            return Ok(loaded.clone());
        }
        let path = self.cache.path_of(digest);
        // SAFETY: the file is in a folder that belongs to this user and that only this program writes to, and was
        // made by this very version of the engine: `CompileCache::open` and the file's name see to both. That it is
        // whole, the supervisor has seen.
        #[expect(unsafe_code, reason = "loading compiled code is what the cache is for")]
        let component = unsafe { Component::deserialize_file(&self.engine, &path) }
            .map_err(|error| RuntimeError::Component(format!("{}: {error:#}", path.display())))?;
        let preopens = component
            .component_type()
            .imports(&self.engine)
            .any(|(name, _)| name.starts_with("wasi:filesystem/preopens"));
        let unfit = |error: wasmtime::Error| {
            RuntimeError::Component(format!("the component does not fit this host: {error:#}"))
        };
        let pre = self.linker.instantiate_pre(&component).map_err(unfit)?;
        let collector = InventoryCollectorPre::new(pre.clone()).ok();
        let action = match ActionPluginPre::new(pre) {
            Ok(action) => Some(action),
            Err(_) if collector.is_some() => None,
            Err(error) => return Err(unfit(error)),
        };
        let loaded = Loaded {
            action,
            collector,
            preopens,
        };
        self.loaded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(digest.to_owned(), loaded.clone());
        Ok(loaded)
    }

    /// Runs one attempt of a step, to its end whatever happens.
    pub async fn run_step(
        &self,
        request: StepRequest,
        broker: Arc<dyn Broker>,
        events: EventSink,
        cancel: watch::Receiver<bool>,
    ) -> StepReport {
        let call = request.call.clone();
        let component = request.component.clone();
        self.sandbox.refresh_files();
        let known = self
            .disk
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let before = match known {
            Some(before) => before,
            None => {
                let world = self.world.as_ref();
                crate::disk::before_all(&self.sandbox, world, &request.context).await
            }
        };
        let shared = Arc::new(StepShared::new(
            request,
            broker,
            events,
            cancel,
            Arc::clone(&self.sandbox),
            self.world.clone(),
            before,
        ));
        let (outcome, fuel, peak_memory) = match self.load(&component) {
            Ok(loaded) => self.drive(&loaded, call, &shared).await,
            Err(error) => (stopped(StopReason::LoadFailed, error.to_string()), 0, 0),
        };
        report(&shared, &self.disk, outcome, fuel, peak_memory).await
    }

    async fn drive(
        &self,
        loaded: &Loaded,
        call: Call,
        shared: &Arc<StepShared>,
    ) -> (StepOutcome, u64, u64) {
        let limits = &shared.limits;
        let mut store = Store::new(&self.engine, state(shared, loaded.preopens));
        let deadline = shared.started + Duration::from_millis(limits.wall_millis);
        let set_up = |store: &mut Store<StepState>| -> wasmtime::Result<()> {
            store.limiter(|state| &mut state.limiter);
            store.set_fuel(limits.fuel)?;
            store.fuel_async_yield_interval(Some(crate::engine::YIELD_INTERVAL))?;
            store.set_hostcall_fuel(usize::try_from(limits.host_call_bytes).unwrap_or(usize::MAX));
            store.call_hook_async(FuelHook::default());
            Ok(())
        };
        if let Err(error) = set_up(&mut store) {
            return (stopped(StopReason::LoadFailed, format!("{error:#}")), 0, 0);
        }
        let outcome = tokio::select! {
            biased;
            () = shared.until_stopped() => None,
            () = tokio::time::sleep_until(deadline.into()) => {
                shared.stop(StopReason::ExecutionTimedOut, format!("the step took longer than {} ms", limits.wall_millis));
                None
            }
            () = cancelled(shared) => {
                shared.stop(StopReason::Cancelled, "the step was cancelled");
                None
            }
            result = invoke(loaded, &mut store, call, shared) => Some(result),
        };
        let left = shared.settle_fuel(store.get_fuel().unwrap_or(0));
        let peak = store.data().limiter.peak_memory as u64;
        let outcome = match (shared.stop_reason(), outcome) {
            (Some((reason, message)), _) => stopped(reason, message),
            (None, Some(Ok(outcome))) => outcome,
            (None, Some(Err(error))) => explain(&error, limits.fuel),
            (None, None) => stopped(StopReason::Trapped, "the step ended without a reason"),
        };
        (outcome, limits.fuel - left.unwrap_or(0), peak)
    }
}

/// Comes back a while after the operator's cancellation; the step's programs end at once.
async fn cancelled(shared: &StepShared) {
    let mut cancel = shared.cancel.clone();
    if cancel.wait_for(|cancelled| *cancelled).await.is_err() {
        // Nobody is left who could cancel.
        std::future::pending::<()>().await;
    }
    shared.kill_children();
    tokio::time::sleep(CANCEL_GRACE).await;
}

fn state(shared: &Arc<StepShared>, preopens: bool) -> StepState {
    let mut wasi = WasiCtxBuilder::new();
    wasi.stdout(GuestOutput {
        shared: Arc::clone(shared),
        stream: OutputStream::Stdout,
    });
    wasi.stderr(GuestOutput {
        shared: Arc::clone(shared),
        stream: OutputStream::Stderr,
    });
    wasi.max_random_size(1 << 20);
    if let Some(world) = &shared.world {
        crate::world::set_up(&mut wasi, world.clock());
    }
    if preopens {
        for rule in &shared.component.grant().files {
            let has = |access| rule.access.contains(&access);
            // A folder with exceptions cannot be given as a whole; `capstan:host/files` serves it.
            if !rule.except.is_empty() || !has(FileAccess::Read) || !has(FileAccess::List) {
                continue;
            }
            let writable =
                has(FileAccess::Write) && has(FileAccess::Create) && has(FileAccess::Remove);
            let permissions = if writable {
                FsPerms::ReadWrite
            } else {
                FsPerms::ReadOnly
            };
            // A folder that does not exist is not there for the guest either.
            let folder = shared.real(Path::new(&rule.path));
            let opened = wasi.preopened_dir(folder, &rule.path, permissions);
            if writable && opened.is_ok() {
                shared.wrote.store(true, Ordering::Relaxed);
            }
        }
    }
    let limits = &shared.limits;
    let mut table = ResourceTable::new();
    table.set_max_capacity(limits.handles as usize);
    StepState {
        wasi: wasi.build(),
        table,
        limiter: Limiter {
            memory_limit: usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX),
            table_limit: usize::try_from(limits.table_elements).unwrap_or(usize::MAX),
            instances: limits.instances as usize,
            memory: 0,
            peak_memory: 0,
            tables: 0,
        },
        http: HttpState::new(shared),
        shared: Arc::clone(shared),
    }
}

async fn invoke(
    loaded: &Loaded,
    store: &mut Store<StepState>,
    call: Call,
    shared: &StepShared,
) -> wasmtime::Result<StepOutcome> {
    let context = context(shared);
    let answer = match (call, &loaded.action, &loaded.collector) {
        (Call::Start { inputs }, Some(action), _) => {
            let plugin = action.instantiate_async(&mut *store).await?;
            plugin
                .capstan_action_action()
                .call_start(&mut *store, &context, &inputs.to_string())
                .await?
        }
        (Call::Resume { state, event }, Some(action), _) => {
            let event = match event {
                Event::Timer => action::Event::Timer,
                Event::Signal { name, payload } => {
                    action::Event::Signal(action::Signal { name, payload })
                }
                Event::Rebooted => action::Event::Rebooted,
            };
            let plugin = action.instantiate_async(&mut *store).await?;
            plugin
                .capstan_action_action()
                .call_resume(&mut *store, &context, &state, &event)
                .await?
        }
        (Call::Collect { settings }, _, Some(collector)) => {
            let plugin = collector.instantiate_async(&mut *store).await?;
            let answer = plugin
                .capstan_inventory_collector()
                .call_collect(&mut *store, &context, &settings.to_string())
                .await?;
            return Ok(match answer {
                Ok(items) => collected(items),
                Err(failure) => outcome(Err(failure)),
            });
        }
        (Call::Collect { .. }, _, None) => {
            return Ok(malformed(
                "the manifest names a collector, and the component exports none",
            ));
        }
        (_, None, _) => {
            return Ok(malformed(
                "the manifest names an action, and the component exports none",
            ));
        }
    };
    Ok(outcome(answer))
}

/// Items as `PutInventory` takes them, but for the time.
fn collected(items: Vec<Item>) -> StepOutcome {
    let mut list = Vec::with_capacity(items.len());
    for item in items {
        let mut content = Vec::with_capacity(item.content.len());
        for (index, pairs) in item.content.into_iter().enumerate() {
            let mut entry = Map::new();
            for (name, value) in pairs {
                if entry.contains_key(&name) {
                    return malformed(format!(
                        "{}, entry {}: the attribute `{name}` is there twice",
                        item.type_name,
                        index + 1
                    ));
                }
                entry.insert(name, Value::String(value));
            }
            content.push(Value::Object(entry));
        }
        list.push(json!({
            "TypeName": item.type_name,
            "SchemaVersion": item.schema_version,
            "Content": content,
        }));
    }
    StepOutcome::Done {
        status: Status::Success,
        exit_code: 0,
        outputs: Some(json!({ "items": list })),
    }
}

fn context(shared: &StepShared) -> action::Context {
    let context = shared.context.clone();
    action::Context {
        run_id: context.run_id,
        node_id: context.node_id,
        document: context.document,
        step: context.step,
        action: context.action,
        attempt: context.attempt,
        platform: action::Platform {
            kind: context.platform.kind,
            name: context.platform.name,
            version: context.platform.version,
            architecture: context.platform.architecture,
        },
        work_directory: context.work_directory,
        downloads_directory: context.downloads_directory,
        data_directory: context.data_directory,
        deadline: context.deadline_unix_millis,
        environment: context.environment.into_iter().collect(),
    }
}

fn malformed(message: impl Into<String>) -> StepOutcome {
    stopped(StopReason::MalformedAnswer, message)
}

fn stopped(reason: StopReason, message: impl Into<String>) -> StepOutcome {
    StepOutcome::Stopped {
        reason,
        message: message.into(),
        backtrace: Vec::new(),
    }
}

fn outcome(answer: Result<action::Outcome, action::Failure>) -> StepOutcome {
    match answer {
        Ok(action::Outcome::Done(result)) => {
            let outputs = match result.outputs.as_deref().map(serde_json::from_str::<Value>) {
                None => None,
                Some(Ok(outputs @ Value::Object(_))) => Some(outputs),
                Some(Ok(_)) => {
                    return malformed("the action's outputs are JSON, but not an object");
                }
                Some(Err(error)) => {
                    return malformed(format!("the action's outputs are not JSON: {error}"));
                }
            };
            let status = match result.status {
                action::Status::Success => Status::Success,
                action::Status::Failed => Status::Failed,
                action::Status::TimedOut => Status::TimedOut,
                action::Status::Cancelled => Status::Cancelled,
                action::Status::Skipped => Status::Skipped,
                action::Status::Other(word) => {
                    return malformed(format!(
                        "the action's status `{word}` is unknown to this host"
                    ));
                }
            };
            StepOutcome::Done {
                status,
                exit_code: result.exit_code,
                outputs,
            }
        }
        Ok(action::Outcome::Suspended(suspension)) => {
            if suspension.state.len() > MAX_STATE {
                return malformed(format!(
                    "the action's state has {} bytes; the limit is {MAX_STATE}",
                    suspension.state.len()
                ));
            }
            let wake = match suspension.wake {
                action::Wake::At(time) => Wake::At(time),
                action::Wake::Signal(names) => Wake::Signal(names),
                action::Wake::Either((time, names)) => Wake::Either(time, names),
                action::Wake::Reboot => Wake::Reboot,
                action::Wake::Other(word) => {
                    return malformed(format!(
                        "the action waits for `{word}`, which this host does not know"
                    ));
                }
            };
            StepOutcome::Suspended {
                state: suspension.state,
                wake,
                reason: suspension.reason,
            }
        }
        Err(failure) => StepOutcome::Failure {
            kind: match failure.kind {
                action::FailureKind::InvalidInput => FailureKind::InvalidInput,
                action::FailureKind::Failed => FailureKind::Failed,
                action::FailureKind::TimedOut => FailureKind::TimedOut,
                action::FailureKind::Denied => FailureKind::Denied,
                action::FailureKind::Cancelled => FailureKind::Cancelled,
                action::FailureKind::Other(_) => FailureKind::Other,
            },
            message: failure.message,
            detail: failure
                .detail
                .and_then(|text| serde_json::from_str(&text).ok()),
        },
    }
}

/// A trap in words.
fn explain(error: &wasmtime::Error, fuel: u64) -> StepOutcome {
    let backtrace: Vec<String> =
        error
            .downcast_ref::<WasmBacktrace>()
            .map_or_else(Vec::new, |trace| {
                trace
                    .frames()
                    .iter()
                    .map(|frame| {
                        frame
                            .func_name()
                            .map_or_else(|| format!("function {}", frame.func_index()), demangle)
                    })
                    .collect()
            });
    let (reason, message) = if let Some(limit) = error.downcast_ref::<LimitReached>() {
        (limit.reason, limit.message.clone())
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        match trap {
            Trap::OutOfFuel => (
                StopReason::FuelExhausted,
                format!("the step's {fuel} units of fuel are used up"),
            ),
            Trap::StackOverflow => (
                StopReason::StackOverflow,
                "the component's stack is used up: it calls itself without end".into(),
            ),
            Trap::UnreachableCodeReached => (
                StopReason::Trapped,
                format!(
                    "the component panicked{}; what it printed to standard error says why",
                    place(&backtrace)
                ),
            ),
            other => (
                StopReason::Trapped,
                format!("the component broke off{}: {other}", place(&backtrace)),
            ),
        }
    } else {
        let text = error.root_cause().to_string();
        if text.contains("hostcall") || text.contains("host call") {
            (StopReason::HostCallLimitExceeded, text)
        } else if text.contains("handle") && text.contains("limit")
            || text.contains("table has no free keys")
        {
            (StopReason::HandleLimitExceeded, text)
        } else {
            (StopReason::Trapped, text)
        }
    };
    StepOutcome::Stopped {
        reason,
        message,
        backtrace,
    }
}

/// Where a trap happened, as far as names are left: the innermost function that is not of a language's own library.
fn place(backtrace: &[String]) -> String {
    const LIBRARIES: &[&str] = &[
        "core::",
        "std::",
        "alloc::",
        "<core::",
        "<std::",
        "<alloc::",
        "__rust",
        "rust_",
        "_rust",
        "abort",
        "function ",
        "__",
        "dlmalloc::",
    ];
    backtrace
        .iter()
        .find(|name| !LIBRARIES.iter().any(|prefix| name.starts_with(prefix)))
        .map_or_else(String::new, |name| format!(" in {name}"))
}

/// A name as it stands in the source, if it is one that Rust made.
fn demangle(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

async fn report(
    shared: &Arc<StepShared>,
    disk: &Mutex<Option<DiskUsage>>,
    mut outcome: StepOutcome,
    fuel: u64,
    peak_memory: u64,
) -> StepReport {
    let counters = &shared.counters;
    shared.kill_children();
    if let Some(sandbox) = shared.step_sandbox.get() {
        let usage = sandbox.end();
        counters
            .child_cpu_millis
            .fetch_add(usage.leftover_cpu_millis, Ordering::Relaxed);
        counters
            .child_peak_memory
            .fetch_max(usage.peak_memory_bytes, Ordering::Relaxed);
        if usage.out_of_memory {
            let failed = !matches!(
                outcome,
                StepOutcome::Done {
                    status: Status::Success,
                    ..
                }
            );
            if failed {
                outcome = stopped(
                    StopReason::ChildMemoryLimitExceeded,
                    format!(
                        "a program of the step was ended because the step's {} bytes of memory were used up",
                        shared.limits.child_memory_bytes
                    ),
                );
            }
        }
    }
    let (left, excess) = crate::disk::at_end(shared).await;
    *disk.lock().unwrap_or_else(PoisonError::into_inner) = Some(left);
    if let Some(why) = excess
        && !matches!(outcome, StepOutcome::Stopped { .. })
    {
        outcome = stopped(StopReason::DiskLimitExceeded, why);
    }
    for path in shared.sandbox.commit_files() {
        let hint = "it was made or changed beside a granted file and was dropped; grant its folder to keep it";
        shared.note_denial("files", &path, hint);
    }
    let record = std::mem::take(&mut *shared.record());
    StepReport {
        outcome,
        usage: Usage {
            fuel,
            peak_memory_bytes: peak_memory,
            child_peak_memory_bytes: counters.child_peak_memory.load(Ordering::Relaxed),
            child_cpu_millis: counters.child_cpu_millis.load(Ordering::Relaxed),
            wall_micros: u64::try_from(Instant::now().duration_since(shared.started).as_micros())
                .unwrap_or(u64::MAX),
            output_bytes: counters.output.load(Ordering::Relaxed),
            http_requests: counters.http_requests.load(Ordering::Relaxed),
            http_bytes: counters.http_bytes.load(Ordering::Relaxed),
        },
        denials: record.denials,
        hosts_contacted: record.hosts,
        files_written: record.files,
        children: record.children,
        enforced: shared.sandbox.enforced().clone(),
    }
}
