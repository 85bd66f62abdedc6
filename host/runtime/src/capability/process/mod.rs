//! `capstan:host/process`: programs as child processes, confined by the step's grant.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use capstan_policy::{FileAccess, SecretPlace};
use capstan_sandbox::{ChildCommand, ChildProcess, SandboxError, Stdio, StepSandbox};
use tokio::task::JoinHandle;
use wasmtime::component::Resource;

use super::Answer;
use super::secrets::has_placeholder;
use crate::bindings::capstan::host::process::{
    Chunk, Command, EnvValue, ExitStatus, Host, HostChild, Stdin, Usage,
};
use crate::bindings::capstan::host::types::Error;
use crate::disk::DiskWatch;
use crate::network::{CONNECT_VARIABLE, ChildProxy};
use crate::runtime::StepState;
use crate::shared::StepShared;
use crate::step::{OutputStream, StopReason};
use crate::tariff;
use crate::world::{World, WorldCommand};
use end::wait;
use output::{Queue, feed, lock, output};

mod end;
mod output;
mod scripted;

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

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(process) = &self.process {
            process.kill();
            self.shared.remove_child(process);
        }
        self.readers.iter().for_each(JoinHandle::abort);
    }
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
        return scripted::run(shared, world, checked, [command.stdout, command.stderr]);
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
