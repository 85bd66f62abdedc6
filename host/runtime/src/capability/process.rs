//! `capstan:host/process`: programs as child processes, confined by the step's grant.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use capstan_policy::{FileAccess, SecretPlace};
use capstan_sandbox::{ChildCommand, ChildEnd, ChildProcess, SandboxError, Stdio, StepSandbox};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use wasmtime::component::Resource;

use super::secrets::has_placeholder;
use super::{Answer, owned_async, scripted};
use crate::bindings::capstan::host::process::{
    Chunk, Command, EnvValue, ExitStatus, Host, HostChild, OutputTarget, Stdin, Usage,
};
use crate::bindings::capstan::host::types::{Error, OutputStream as WitStream};
use crate::disk::DiskWatch;
use crate::network::{CONNECT_VARIABLE, ChildProxy};
use crate::runtime::StepState;
use crate::shared::StepShared;
use crate::step::{ChildRecord, OutputStream, StopReason};
use crate::tariff;
use crate::world::{World, WorldCommand, WorldEnd, WorldExit};

/// Captured output that the guest has not read yet; beyond it the child waits.
const QUEUE_BYTES: u32 = 1 << 20;
/// How often the use of processors, which the kernel does not limit by itself, is looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(200);
/// After a kill, how long to wait for the output to end.
const KILL_GRACE: Duration = Duration::from_secs(1);
const READ_BYTES: usize = 32 << 10;

/// A child process, as the guest holds it.
pub struct Child {
    /// None for a program of a scripted world, which has ended when the component gets to see it.
    process: Option<Arc<ChildProcess>>,
    program: String,
    started: Instant,
    timeout: Option<Duration>,
    queue: Arc<Queue>,
    readers: Vec<JoinHandle<()>>,
    end: Option<(ExitStatus, Usage)>,
    shared: Arc<StepShared>,
}

struct Queue {
    chunks: Mutex<VecDeque<(WitStream, Vec<u8>)>>,
    open: Mutex<usize>,
    changed: Notify,
    room: Semaphore,
}

impl Queue {
    fn new() -> Self {
        Self {
            chunks: Mutex::new(VecDeque::new()),
            open: Mutex::new(0),
            changed: Notify::new(),
            room: Semaphore::new(QUEUE_BYTES as usize),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(process) = &self.process {
            process.kill();
            self.shared.remove_child(process);
        }
        self.readers.iter().for_each(JoinHandle::abort);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a program is there. Of one in a scripted world, the script tells when it is started.
fn exists(shared: &StepShared, path: &str) -> bool {
    shared.world.is_some() || Path::new(path).exists()
}

/// The first path of a program capability that exists and is granted.
fn find(shared: &StepShared, name: &str) -> Option<String> {
    let request = shared.programs.get(name)?;
    request
        .paths
        .iter()
        .find(|path| shared.component.allows_program(path) && exists(shared, path))
        .cloned()
}

/// The step's sandbox, made when its first program starts.
async fn sandbox(shared: &Arc<StepShared>) -> Result<Arc<StepSandbox>, Error> {
    let proxy = shared
        .proxy
        .get_or_try_init(|| async {
            if shared.children.grant().hosts.is_empty() || shared.sandbox.enforced().0.is_empty() {
                return Ok(None);
            }
            ChildProxy::start(shared)
                .await
                .map(Some)
                .map_err(|error| Error::Io(format!("the step's proxy: {error}")))
        })
        .await?;
    let port = proxy.as_ref().map(ChildProxy::port);
    shared
        .step_sandbox
        .get_or_try_init(|| async {
            shared
                .sandbox
                .prepare(shared.children.grant(), &shared.limits, port)
                .map(Arc::new)
                .map_err(|error| {
                    if let SandboxError::NotEnforceable { .. } = &error {
                        shared.stop(StopReason::NotEnforceable, error.to_string());
                    }
                    Error::Io(error.to_string())
                })
        })
        .await
        .cloned()
}

impl Host for StepState {
    async fn find(&mut self, program: String) -> wasmtime::Result<Option<String>> {
        let absent = |world: &Arc<dyn World>| !world.has_program(&program);
        if self.shared.world.as_ref().is_some_and(absent) {
            return Ok(None);
        }
        Ok(find(&self.shared, &program))
    }

    async fn spawn(&mut self, command: Command) -> Answer<Resource<Child>> {
        let shared = Arc::clone(&self.shared);
        shared.charge(tariff::SPAWN);
        Ok(match start(&shared, command).await {
            Ok(child) => Ok(self.table.push(child)?),
            Err(error) => Err(error),
        })
    }
}

async fn start(shared: &Arc<StepShared>, command: Command) -> Result<Child, Error> {
    let Some(request) = shared.programs.get(&command.program) else {
        return Err(Error::Invalid(format!(
            "the manifest has no program `{}`",
            command.program
        )));
    };
    let Some(program) = find(shared, &command.program) else {
        let known = request.paths.join(" or ");
        return Err(
            match request.paths.iter().find(|path| exists(shared, path)) {
                Some(path) => shared.deny(
                    "programs",
                    path,
                    format!("grants: {{ programs: [{path}] }}"),
                ),
                None => Error::NotFound(known),
            },
        );
    };
    if let Some(argument) = command
        .arguments
        .iter()
        .find(|argument| has_placeholder(argument.as_bytes()))
    {
        return Err(Error::Invalid(format!(
            "{program}: the argument `{argument}` is a secret, and other processes can see arguments; pass it in the environment or on standard input"
        )));
    }
    request
        .matches(&command.arguments)
        .map_err(|error| Error::Invalid(format!("{program}: {error}")))?;
    if shared.is_cancelled() {
        return Err(Error::Cancelled);
    }
    if shared.world.is_none() {
        // Its proxy is told to programs by their environment.
        sandbox(shared).await?;
    }
    let directory = directory(shared, command.working_directory)?;
    let env = environment(shared, command.environment).await?;
    let stdin = match command.stdin {
        Stdin::None => None,
        Stdin::Bytes(bytes) => {
            let exchanged = match shared.exchange_secrets(&bytes, &SecretPlace::Stdin).await? {
                Cow::Borrowed(_) => None,
                Cow::Owned(exchanged) => Some(exchanged),
            };
            Some(exchanged.unwrap_or(bytes))
        }
        Stdin::Secret(name) => Some(
            shared
                .secret(&name, &SecretPlace::Stdin)
                .await?
                .into_bytes(),
        ),
    };
    let timeout = command.timeout_millis.map(Duration::from_millis);
    if let Some(world) = &shared.world {
        let text = |value: OsString| value.to_string_lossy().into_owned();
        let environment = env
            .into_iter()
            .map(|(name, value)| (text(name), text(value)));
        let checked = WorldCommand {
            name: command.program,
            program,
            arguments: command.arguments,
            environment: environment.collect(),
            directory: directory.to_string_lossy().into_owned(),
            stdin,
            timeout,
        };
        return run_scripted(shared, world, checked, [command.stdout, command.stderr]);
    }
    let sandbox = sandbox(shared).await?;
    let stdin = stdin.map_or(Ok(Stdio::Null), |bytes| feed(&bytes))?;

    let queue = Arc::new(Queue::new());
    let mut readers = Vec::new();
    let stdout = output(
        shared,
        &queue,
        command.stdout,
        OutputStream::Stdout,
        &mut readers,
    )?;
    let stderr = output(
        shared,
        &queue,
        command.stderr,
        OutputStream::Stderr,
        &mut readers,
    )?;
    let child = ChildCommand {
        program: PathBuf::from(&program),
        args: command.arguments.into_iter().map(OsString::from).collect(),
        env,
        directory,
        stdio: [stdin, stdout, stderr],
    };
    let started = Instant::now();
    let process = sandbox
        .spawn(&child)
        .map_err(|error| Error::Io(error.to_string()))?;
    // The child's ends of the pipes are closed here, or they would never end.
    drop(child);
    let process = Arc::new(process);
    shared.add_child(&process);
    shared.disk_watch.get_or_init(|| DiskWatch::start(shared));
    Ok(Child {
        process: Some(process),
        program,
        started,
        timeout,
        queue,
        readers,
        end: None,
        shared: Arc::clone(shared),
    })
}

fn directory(shared: &StepShared, wanted: Option<String>) -> Result<PathBuf, Error> {
    let Some(path) = wanted else {
        return Ok(PathBuf::from(&shared.context.work_directory));
    };
    let allowed = [
        FileAccess::Read,
        FileAccess::List,
        FileAccess::Execute,
        FileAccess::Write,
    ]
    .iter()
    .any(|access| shared.children.allows_file(&path, *access));
    if allowed {
        Ok(PathBuf::from(path))
    } else {
        Err(shared.deny(
            "files",
            &path,
            format!("grants: {{ files: [{{ path: {path}, access: read-only }}] }}"),
        ))
    }
}

/// What the action adds, then what the step has from its host, which is stronger.
async fn environment(
    shared: &StepShared,
    added: Vec<(String, EnvValue)>,
) -> Result<BTreeMap<OsString, OsString>, Error> {
    let mut env = BTreeMap::new();
    for (name, value) in added {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(Error::Invalid(format!("`{name}` is no name of a variable")));
        }
        let value = match value {
            EnvValue::Plain(value) => {
                shared
                    .exchange_in_text(value, &SecretPlace::Environment)
                    .await?
            }
            EnvValue::Secret(secret_name) => {
                shared
                    .secret(&secret_name, &SecretPlace::Environment)
                    .await?
            }
        };
        env.insert(OsString::from(name), OsString::from(value));
    }
    for (name, value) in &shared.environment {
        env.insert(OsString::from(name), OsString::from(value));
    }
    if let Some(Some(proxy)) = shared.proxy.get() {
        let url = proxy.url();
        for name in [
            "http_proxy",
            "https_proxy",
            "all_proxy",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "ALL_PROXY",
        ] {
            env.insert(name.into(), url.clone().into());
        }
        for name in ["no_proxy", "NO_PROXY"] {
            env.insert(name.into(), OsString::new());
        }
        if let Some(program) = capstan_sandbox::own_program() {
            env.insert(CONNECT_VARIABLE.into(), program.into());
        }
    }
    Ok(env)
}

/// Bytes as a descriptor to read from: an anonymous file, so that nobody has to write while the child reads.
fn feed(bytes: &[u8]) -> Result<Stdio, Error> {
    let failed = |error: std::io::Error| Error::Io(format!("standard input: {error}"));
    let file = rustix::fs::memfd_create("stdin", rustix::fs::MemfdFlags::CLOEXEC)
        .map_err(|error| failed(error.into()))?;
    let mut file = std::fs::File::from(file);
    file.write_all(bytes).map_err(failed)?;
    std::io::Seek::rewind(&mut file).map_err(failed)?;
    Ok(Stdio::Descriptor(OwnedFd::from(file)))
}

/// A pipe for one stream of the child, and the task that reads it.
fn output(
    shared: &Arc<StepShared>,
    queue: &Arc<Queue>,
    target: OutputTarget,
    stream: OutputStream,
    readers: &mut Vec<JoinHandle<()>>,
) -> Result<Stdio, Error> {
    let (to_step, to_guest) = match target {
        OutputTarget::Step => (true, false),
        OutputTarget::Capture => (false, true),
        OutputTarget::Both => (true, true),
        OutputTarget::Discard => return Ok(Stdio::Null),
    };
    let failed = |error: std::io::Error| Error::Io(format!("a pipe: {error}"));
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
    let receiver = Receiver::from_owned_fd(read).map_err(failed)?;
    if to_guest {
        *lock(&queue.open) += 1;
    }
    let (shared, queue) = (Arc::clone(shared), Arc::clone(queue));
    readers.push(tokio::spawn(pump(
        receiver, shared, queue, stream, to_step, to_guest,
    )));
    Ok(Stdio::Descriptor(write))
}

async fn pump(
    mut receiver: Receiver,
    shared: Arc<StepShared>,
    queue: Arc<Queue>,
    stream: OutputStream,
    to_step: bool,
    to_guest: bool,
) {
    let mut buffer = Vec::with_capacity(READ_BYTES);
    while let Ok(count @ 1..) = receiver.read_buf(&mut buffer).await {
        if to_step {
            shared.output(stream, &buffer);
        }
        if to_guest {
            if let Ok(permit) = queue
                .room
                .acquire_many(u32::try_from(count).unwrap_or(QUEUE_BYTES))
                .await
            {
                permit.forget();
            }
            let source = match stream {
                OutputStream::Stdout => WitStream::Stdout,
                OutputStream::Stderr => WitStream::Stderr,
            };
            lock(&queue.chunks).push_back((source, buffer.clone()));
            queue.changed.notify_one();
        }
        buffer.clear();
    }
    if to_guest {
        *lock(&queue.open) -= 1;
        queue.changed.notify_one();
    }
}

impl HostChild for StepState {
    async fn read(&mut self, this: Resource<Child>, max: u32) -> Answer<Vec<Chunk>> {
        let shared = Arc::clone(&self.shared);
        let child = self.table.get(&this)?;
        let queue = Arc::clone(&child.queue);
        let mut left = (max as usize)
            .min(usize::try_from(shared.limits.host_call_bytes).unwrap_or(usize::MAX) / 2);
        let mut list = Vec::new();
        loop {
            let changed = queue.changed.notified();
            {
                let mut chunks = lock(&queue.chunks);
                while let Some((source, mut data)) = chunks.pop_front() {
                    if left == 0 {
                        chunks.push_front((source, data));
                        break;
                    }
                    if data.len() > left {
                        chunks.push_front((source, data.split_off(left)));
                    }
                    left -= data.len();
                    queue.room.add_permits(data.len());
                    list.push(Chunk { source, data });
                }
            }
            if !list.is_empty() || *lock(&queue.open) == 0 || max == 0 {
                break;
            }
            changed.await;
        }
        shared.charge_bytes(list.iter().map(|chunk| chunk.data.len()).sum());
        Ok(Ok(list))
    }

    async fn wait(&mut self, this: Resource<Child>) -> Answer<(ExitStatus, Usage)> {
        let child = self.table.get_mut(&this)?;
        if let (None, Some(process)) = (&child.end, child.process.clone()) {
            let end = wait(child, &process).await;
            child.end = Some(end);
        }
        Ok(child
            .end
            .clone()
            .ok_or_else(|| Error::Other("the child has no end".into())))
    }

    async fn kill(&mut self, this: Resource<Child>) -> Answer<()> {
        if let Some(process) = &self.table.get(&this)?.process {
            process.kill();
        }
        Ok(Ok(()))
    }

    async fn drop(&mut self, this: Resource<Child>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

/// Waits for the program and for the end of its output, and keeps the limits that the kernel does not.
async fn wait(child: &mut Child, process: &Arc<ChildProcess>) -> (ExitStatus, Usage) {
    let shared = Arc::clone(&child.shared);
    let mut cancel = shared.cancel.clone();
    let deadline = child
        .timeout
        .map(|timeout| tokio::time::Instant::from_std(child.started + timeout));
    let mut reason: Option<ExitStatus> = None;
    let mut end: Option<ChildEnd> = None;
    let mut charged = 0;
    {
        let finished = finish(process, &mut child.readers);
        tokio::pin!(finished);
        let mut ticks =
            tokio::time::interval_at(tokio::time::Instant::now() + WATCH_INTERVAL, WATCH_INTERVAL);
        // Whatever escaped the kill must not hold the step by its end of a pipe.
        let mut give_up: Option<tokio::time::Instant> = None;
        while end.is_none() {
            tokio::select! {
                biased;
                done = &mut finished => end = Some(done),
                () = sleep_until(deadline), if reason.is_none() => {
                    reason = Some(ExitStatus::TimedOut);
                    give_up = Some(tokio::time::Instant::now() + KILL_GRACE);
                    process.kill();
                    shared.sandbox.kill_step();
                }
                _ = cancel.wait_for(|cancelled| *cancelled), if reason.is_none() => {
                    reason = Some(ExitStatus::Cancelled);
                    give_up = Some(tokio::time::Instant::now() + KILL_GRACE);
                    process.kill();
                    shared.sandbox.kill_step();
                }
                () = sleep_until(give_up), if give_up.is_some() => break,
                _ = ticks.tick() => watch(&shared, process, &mut charged),
            }
        }
    }
    let end = end.unwrap_or(ChildEnd {
        code: None,
        signal: Some(9),
        cpu_millis: 0,
        peak_memory_bytes: 0,
    });
    shared.remove_child(process);
    shared
        .counters
        .child_cpu_millis
        .fetch_add(end.cpu_millis, Ordering::Relaxed);
    shared
        .counters
        .child_peak_memory
        .fetch_max(end.peak_memory_bytes, Ordering::Relaxed);
    shared.charge(end.cpu_millis.saturating_sub(charged) * tariff::CHILD_CPU_MILLISECOND);
    if shared.counters.child_cpu_millis.load(Ordering::Relaxed) > shared.limits.child_cpu_millis {
        shared.stop(
            StopReason::ChildCpuLimitExceeded,
            format!(
                "the programs of the step used more than {} ms of CPU time",
                shared.limits.child_cpu_millis
            ),
        );
    }
    let wall_millis = u64::try_from(child.started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let status = reason.unwrap_or(match (end.code, end.signal) {
        (Some(code), _) => ExitStatus::Code(code),
        (_, signal) => ExitStatus::Signal(signal.unwrap_or(9)),
    });
    let usage = Usage {
        wall_millis,
        cpu_millis: end.cpu_millis,
        peak_memory_bytes: end.peak_memory_bytes,
    };
    record(&shared, &child.program, &status, &usage);
    (status, usage)
}

/// Writes down that a program has ended.
fn record(shared: &StepShared, program: &str, status: &ExitStatus, usage: &Usage) {
    shared.record().children.push(ChildRecord {
        program: program.to_owned(),
        ended: match status {
            ExitStatus::Code(code) => format!("exit {code}"),
            ExitStatus::Signal(signal) => format!("signal {signal}"),
            ExitStatus::TimedOut => "timed out".into(),
            ExitStatus::Cancelled => "cancelled".into(),
            ExitStatus::LimitExceeded(what) | ExitStatus::Other(what) => what.clone(),
        },
        wall_millis: usage.wall_millis,
        cpu_millis: usage.cpu_millis,
    });
}

/// A program of a scripted world: it has ended when the component gets to see it.
fn run_scripted(
    shared: &Arc<StepShared>,
    world: &Arc<dyn World>,
    command: WorldCommand,
    targets: [OutputTarget; 2],
) -> Result<Child, Error> {
    let (program, timeout) = (command.program.clone(), command.timeout);
    let WorldEnd {
        stdout,
        stderr,
        exit,
        wall_millis,
    } = world
        .run(command)
        .map_err(|why| scripted::failure(&program, why))?;
    let queue = Queue::new();
    let outputs = [
        (stdout, OutputStream::Stdout, WitStream::Stdout),
        (stderr, OutputStream::Stderr, WitStream::Stderr),
    ];
    for ((data, stream, source), target) in outputs.into_iter().zip(targets) {
        if data.is_empty() {
            continue;
        }
        if matches!(target, OutputTarget::Step | OutputTarget::Both) {
            shared.output(stream, &data);
        }
        if matches!(target, OutputTarget::Capture | OutputTarget::Both) {
            lock(&queue.chunks).push_back((source, data));
        }
    }
    let status = match exit {
        WorldExit::Code(code) => ExitStatus::Code(code),
        WorldExit::Signal(signal) => ExitStatus::Signal(signal),
        WorldExit::TimedOut => ExitStatus::TimedOut,
    };
    let usage = Usage {
        wall_millis,
        cpu_millis: 0,
        peak_memory_bytes: 0,
    };
    record(shared, &program, &status, &usage);
    Ok(Child {
        process: None,
        program,
        started: Instant::now(),
        timeout,
        queue: Arc::new(queue),
        readers: Vec::new(),
        end: Some((status, usage)),
        shared: Arc::clone(shared),
    })
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The program's end and that of its output, which a child of the program may keep open longer.
async fn finish(process: &ChildProcess, readers: &mut Vec<JoinHandle<()>>) -> ChildEnd {
    let end = match process.pidfd().try_clone_to_owned().and_then(owned_async) {
        Ok(pidfd) => loop {
            if let Some(end) = process.try_wait() {
                break end;
            }
            let Ok(mut ready) = pidfd.readable().await else {
                continue;
            };
            ready.clear_ready();
        },
        Err(_) => loop {
            if let Some(end) = process.try_wait() {
                break end;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        },
    };
    for reader in readers.drain(..) {
        let _ = reader.await;
    }
    end
}

fn watch(shared: &StepShared, process: &ChildProcess, charged: &mut u64) {
    shared.sandbox.reap_orphans();
    if let Some(sandbox) = shared.step_sandbox.get() {
        let load = sandbox.load();
        if load.processes > shared.limits.processes {
            shared.stop(
                StopReason::ProcessLimitExceeded,
                format!(
                    "the step had {} processes at once, and its limit is {}",
                    load.processes, shared.limits.processes
                ),
            );
            shared.sandbox.kill_step();
        } else if load.memory_bytes > shared.limits.child_memory_bytes {
            shared.stop(
                StopReason::ChildMemoryLimitExceeded,
                format!(
                    "the programs of the step used more than {} bytes of memory",
                    shared.limits.child_memory_bytes
                ),
            );
            shared.sandbox.kill_step();
        }
    }
    let used = shared.sandbox.step_cpu_millis().max(process.cpu_millis());
    if used > *charged {
        shared.charge((used - *charged) * tariff::CHILD_CPU_MILLISECOND);
        *charged = used;
    }
}
