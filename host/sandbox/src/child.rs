//! The programs of a step.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capstan_policy::{Confinement, Grant, Layer, Limits};

use crate::cgroup::Cgroup;
use crate::enforced::Enforced;
use crate::error::SandboxError;
use crate::overlay::{self, Overlay};
use crate::process::Reaped;
use crate::{clone, landlock, process, rlimits, seccomp, user};

/// A worker's means to start programs. Made by [`crate::enter_worker`].
#[derive(Debug)]
pub struct Sandbox {
    enforced: Enforced,
    cgroup: Option<Cgroup>,
    overlays: Vec<Overlay>,
    /// Stands in for `/tmp` where that cannot be made private.
    private_tmp: Option<PathBuf>,
    alone: bool,
    unconfined: bool,
    /// The file rules that this process is held to.
    outer: Option<landlock::Outer>,
    /// The programs that somebody waits for, and what was reaped besides them.
    reaping: Mutex<Reaping>,
    /// The last rulesets and filters, since most steps of a document have the same grant.
    cache: Mutex<Option<Cached>>,
}

/// Who waits for whom.
#[derive(Debug, Default)]
struct Reaping {
    /// Started programs that their [`ChildProcess`] reaps.
    awaited: BTreeSet<i32>,
    /// Of the current step's processes that came to this one when their parents ended, and ended themselves.
    orphans_cpu_millis: u64,
    orphans_peak_memory_bytes: u64,
}

/// What was prepared last: the grant, the ports, and the result.
type Cached = (Grant, Vec<u16>, Arc<Prepared>);

/// What confines a child, ready for the kernel.
#[derive(Debug)]
struct Prepared {
    landlock: Option<OwnedFd>,
    filters: seccomp::Filters,
}

/// Where a standard stream of a child leads.
#[derive(Debug)]
pub enum Stdio {
    /// `/dev/null`.
    Null,
    /// This descriptor.
    Descriptor(OwnedFd),
}

/// A program to start.
#[derive(Debug)]
pub struct ChildCommand {
    /// Absolute path.
    pub program: PathBuf,
    /// After the program's name.
    pub args: Vec<OsString>,
    /// The whole environment.
    pub env: BTreeMap<OsString, OsString>,
    /// The current folder.
    pub directory: PathBuf,
    /// Descriptors 0, 1 and 2.
    pub stdio: [Stdio; 3],
}

/// A running program.
#[derive(Debug)]
pub struct ChildProcess {
    pid: i32,
    pidfd: OwnedFd,
    sandbox: Arc<Sandbox>,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildEnd {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// User and system time, of the program and of its children that it waited for.
    pub cpu_millis: u64,
    /// The largest resident size of any one process of it.
    pub peak_memory_bytes: u64,
}

/// What the programs of a step used in all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepUsage {
    /// Of those that were still there at the end of the step.
    pub leftover_cpu_millis: u64,
    /// How many were still there at the end of the step, and were ended.
    pub leftovers: usize,
    /// As the control group counted it, or the largest single process.
    pub peak_memory_bytes: u64,
    /// The kernel ended a process because the step's memory was used up.
    pub out_of_memory: bool,
}

/// What the programs of a step have at the moment, as far as the kernel does not keep them to their limits itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepLoad {
    /// Processes and threads; 0 where a control group counts them.
    pub processes: u64,
    /// Memory; 0 where a control group counts it.
    pub memory_bytes: u64,
}

/// The confinement of one step's programs.
#[derive(Debug)]
pub struct StepSandbox {
    sandbox: Arc<Sandbox>,
    prepared: Option<Arc<Prepared>>,
    user: Option<user::User>,
    files_of_others: bool,
    limits: Limits,
    memory_kills_before: u64,
}

impl Sandbox {
    pub(crate) fn new(
        enforced: Enforced,
        cgroup: Option<Cgroup>,
        alone: bool,
        unconfined: bool,
    ) -> Self {
        Self {
            enforced,
            cgroup,
            overlays: Vec::new(),
            private_tmp: None,
            outer: None,
            alone,
            unconfined,
            reaping: Mutex::default(),
            cache: Mutex::new(None),
        }
    }

    /// For a process that starts no programs: what it is asked to start is refused.
    #[must_use]
    pub fn without_programs() -> Self {
        Self::new(Enforced::default(), None, false, false)
    }

    pub(crate) fn with_private_tmp(self, private_tmp: Option<PathBuf>) -> Self {
        Self {
            private_tmp,
            ..self
        }
    }

    pub(crate) fn with_outer(self, outer: Option<landlock::Outer>) -> Self {
        Self { outer, ..self }
    }

    pub(crate) fn with_overlays(self, overlays: Vec<Overlay>) -> Self {
        Self { overlays, ..self }
    }

    /// The layers in force.
    #[must_use]
    pub fn enforced(&self) -> &Enforced {
        &self.enforced
    }

    /// Prepares the confinement of a step. `proxy` is the one TCP port that its programs may connect to.
    ///
    /// # Errors
    /// [`SandboxError::NotEnforceable`] when the grant relies on a layer that is missing here.
    pub fn prepare(
        self: &Arc<Self>,
        grant: &Grant,
        limits: &Limits,
        proxy: Option<u16>,
    ) -> Result<StepSandbox, SandboxError> {
        let unconfined = grant.confinement == Confinement::Unconfined && self.unconfined;
        if !unconfined {
            self.check(grant)?;
        }
        let ports: Vec<u16> = proxy.into_iter().collect();
        let prepared = if unconfined {
            None
        } else {
            Some(self.prepared(grant, ports)?)
        };
        if let Some(cgroup) = &self.cgroup {
            cgroup.set_limits(limits);
        }
        Ok(StepSandbox {
            sandbox: Arc::clone(self),
            prepared,
            user: user::find_user(&grant.run_as)?,
            files_of_others: grant.files_of_others || !rustix::process::geteuid().is_root(),
            limits: limits.clone(),
            memory_kills_before: self.cgroup.as_ref().map_or(0, Cgroup::out_of_memory_kills),
        })
    }

    /// Brings what was written to single files, by programs or by the component, over into their real folders; to be
    /// called at the end of a step, when nobody writes any more. Returns what was made or changed beside them, which
    /// is dropped.
    #[must_use]
    pub fn commit_files(&self) -> Vec<String> {
        self.overlays.iter().flat_map(Overlay::commit).collect()
    }

    /// Brings what others have made of single files since the last step before the next one.
    pub fn refresh_files(&self) {
        self.overlays.iter().for_each(Overlay::refresh);
    }

    /// The folders that programs write to besides those of their step: what they have for `/tmp`, and what they put
    /// beside single files.
    #[must_use]
    pub fn private_folders(&self) -> Vec<PathBuf> {
        let temporary = if self.enforced.has(Layer::MountNamespace) {
            Some(PathBuf::from("/tmp"))
        } else {
            self.private_tmp.clone()
        };
        let beside = self.overlays.iter().map(|overlay| overlay.upper.clone());
        temporary.into_iter().chain(beside).collect()
    }

    /// Ends every process of the current step: those of the process namespace, or those that descend from this one.
    pub fn kill_step(&self) {
        if self.alone {
            process::kill(-1);
        } else {
            process::kill_descendants();
        }
    }

    /// CPU milliseconds of all processes of the current step so far, where a process namespace tells which they
    /// are; 0 elsewhere.
    #[must_use]
    pub fn step_cpu_millis(&self) -> u64 {
        if self.alone {
            process::namespace_cpu_millis() + self.reaping().orphans_cpu_millis
        } else {
            0
        }
    }

    /// Reaps what ended after its parent did: until then it counts against the limit on processes, and where no
    /// control group has one, against that of the machine.
    pub fn reap_orphans(&self) {
        let mut reaping = self.reaping();
        for reaped in process::reap_orphans(&reaping.awaited) {
            reaping.orphans_cpu_millis += reaped.cpu_millis;
            reaping.orphans_peak_memory_bytes = reaping
                .orphans_peak_memory_bytes
                .max(reaped.peak_memory_bytes);
        }
    }

    fn reaping(&self) -> MutexGuard<'_, Reaping> {
        self.reaping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether control groups keep the limits on memory and on processes.
    fn by_cgroup(&self) -> (bool, bool) {
        self.cgroup.as_ref().map_or((false, false), |cgroup| {
            (cgroup.has_memory(), cgroup.has_processes())
        })
    }

    /// Whether all that the grant relies on is there.
    fn check(&self, grant: &Grant) -> Result<(), SandboxError> {
        let mut needed = vec![
            Layer::LandlockFiles,
            Layer::LandlockScopes,
            Layer::Seccomp,
            Layer::NoNewPrivs,
            Layer::MountNamespace,
            Layer::PidNamespace,
            Layer::Cgroup,
            Layer::Rlimits,
        ];
        // Without hosts the filter on system calls refuses every socket; with them it takes one of these two.
        let network = [Layer::NetworkNamespace, Layer::LandlockTcp];
        if !grant.hosts.is_empty() && !network.iter().any(|layer| self.enforced.has(*layer)) {
            needed.push(Layer::NetworkNamespace);
        }
        let single = grant.files.iter().any(overlay::is_single);
        if single && let Some(why) = self.enforced.why_missing(Layer::MountNamespace) {
            // Without the overlay the kernel cannot tell the file from its neighbours.
            let why = format!(
                "{why}; a single file that is made or replaced needs it, or grant its folder instead"
            );
            return Err(SandboxError::NotEnforceable {
                layer: Layer::MountNamespace,
                why,
            });
        }
        for layer in needed {
            if !grant.may_lack.contains(&layer)
                && let Some(why) = self.enforced.why_missing(layer)
            {
                return Err(SandboxError::NotEnforceable {
                    layer,
                    why: why.to_owned(),
                });
            }
        }
        Ok(())
    }

    fn prepared(&self, grant: &Grant, ports: Vec<u16>) -> Result<Arc<Prepared>, SandboxError> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((cached, for_ports, prepared)) = &*cache
            && cached == grant
            && *for_ports == ports
        {
            return Ok(Arc::clone(prepared));
        }
        let mut extra = Vec::new();
        if self.enforced.has(Layer::PidNamespace) && self.enforced.has(Layer::MountNamespace) {
            // A /proc of its own shows only the processes of this document.
            extra.push((PathBuf::from("/proc"), landlock::read_only()));
        }
        if !ports.is_empty() {
            // What takes programs that speak no HTTP through the proxy.
            extra.extend(process::own_program().map(|path| (path, landlock::executable())));
        }
        // A single file that may be made or replaced takes rights on its folder, which an overlay covers.
        for rule in grant.files.iter().filter(|rule| overlay::is_single(rule)) {
            if let Some(covered) = PathBuf::from(&rule.path).parent()
                && self
                    .overlays
                    .iter()
                    .any(|overlay| overlay.folder == covered)
            {
                extra.push((covered.to_owned(), landlock::replace_files()));
            }
        }
        let mut files = grant.files.clone();
        if let Some(private) = &self.private_tmp {
            for rule in files.iter_mut().filter(|rule| rule.path == "/tmp") {
                rule.path = private.to_string_lossy().into_owned();
            }
        }
        let rules = landlock::Rules {
            files: &files,
            extra,
            connect: ports.clone(),
            bind: false,
            connect_any: false,
            outer: self.outer.as_ref(),
        };
        let has = |layer| self.enforced.has(layer);
        let filters = seccomp::for_child(seccomp::Openings {
            tcp: !ports.is_empty(),
            unix: !grant.sockets.is_empty(),
            own_network: has(Layer::NetworkNamespace),
            // The namespace for System V's means of communication is made together with that for processes.
            own_processes: has(Layer::PidNamespace),
            file_metadata: has(Layer::MountNamespace)
                || grant.may_lack.contains(&Layer::FileMetadata),
            setuid_files: grant.may_lack.contains(&Layer::SetuidFiles),
            setuid_refused: has(Layer::SetuidFiles),
        })?;
        let prepared = Arc::new(Prepared {
            landlock: landlock::build(&rules)?.fd,
            filters,
        });
        *cache = Some((grant.clone(), ports, Arc::clone(&prepared)));
        Ok(prepared)
    }
}

fn c_string(text: &OsStr) -> Result<CString, SandboxError> {
    CString::new(text.as_bytes())
        .map_err(|_| SandboxError::Nul(text.to_string_lossy().into_owned()))
}

impl StepSandbox {
    /// Starts a program, confined.
    ///
    /// # Errors
    /// [`SandboxError::Spawn`] with the stage that failed.
    pub fn spawn(&self, command: &ChildCommand) -> Result<ChildProcess, SandboxError> {
        let null = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")
            .map_err(|error| SandboxError::system("/dev/null", error))?;
        let descriptors = command.stdio.iter().map(|stdio| match stdio {
            Stdio::Null => null.as_fd(),
            Stdio::Descriptor(descriptor) => descriptor.as_fd(),
        });
        let program = c_string(command.program.as_os_str())?;
        let mut args = vec![program.clone()];
        for argument in &command.args {
            args.push(c_string(argument)?);
        }
        let mut env = Vec::with_capacity(command.env.len());
        for (name, value) in &command.env {
            let value = match &self.sandbox.private_tmp {
                Some(private) if name == "TMPDIR" && value == "/tmp" => private.as_os_str(),
                _ => value.as_os_str(),
            };
            let mut pair = name.clone();
            pair.push("=");
            pair.push(value);
            env.push(c_string(&pair)?);
        }
        let sandbox = &self.sandbox;
        let confined = self.prepared.is_some();
        let (memory, processes) = sandbox.by_cgroup();
        let spec = clone::Spec {
            program,
            args,
            env,
            descriptors: descriptors.collect(),
            namespaces: 0,
            maps: None,
            cgroups: sandbox
                .cgroup
                .as_ref()
                .map(Cgroup::joins)
                .unwrap_or_default(),
            rlimits: if confined {
                rlimits::of(&self.limits, memory, processes)
            } else {
                Vec::new()
            },
            directory: Some(c_string(command.directory.as_os_str())?),
            user: self.user.clone(),
            capabilities: confined.then(|| {
                let kept = user::kept_capabilities(
                    sandbox.enforced.has(Layer::MountNamespace) && self.user.is_none(),
                );
                if self.files_of_others {
                    kept
                } else {
                    user::without_files_of_others(kept)
                }
            }),
            no_new_privs: confined,
            landlock: self
                .prepared
                .as_ref()
                .and_then(|prepared| prepared.landlock.as_ref())
                .map(OwnedFd::as_fd),
            seccomp: self
                .prepared
                .as_ref()
                .map_or(&[], |prepared| &prepared.filters.0),
            die_with_parent: false,
        };
        // Held until the program is known as awaited, or it could be reaped as an orphan.
        let mut reaping = sandbox.reaping();
        match clone::spawn(&spec) {
            Ok(started) => {
                reaping.awaited.insert(started.pid);
                Ok(ChildProcess {
                    pid: started.pid,
                    pidfd: started.pidfd,
                    sandbox: Arc::clone(sandbox),
                })
            }
            Err(failure) => Err(SandboxError::Spawn {
                program: command.program.display().to_string(),
                stage: failure.stage,
                error: failure.error,
            }),
        }
    }

    /// What the step's programs have at the moment of what no control group limits.
    #[must_use]
    pub fn load(&self) -> StepLoad {
        let (memory, processes) = self.sandbox.by_cgroup();
        if self.prepared.is_none() || memory && processes {
            return StepLoad::default();
        }
        let most = |by_cgroup: bool, limit: u64| if by_cgroup { u64::MAX } else { limit };
        let found = process::measure_descendants(
            most(processes, self.limits.processes),
            most(memory, self.limits.child_memory_bytes),
        );
        StepLoad {
            processes: if processes { 0 } else { found.processes },
            memory_bytes: if memory { 0 } else { found.memory_bytes },
        }
    }

    /// Ends every process that the step left behind and tells what they used. Children that the caller still
    /// holds are ended too, and reaped.
    #[must_use]
    pub fn end(&self) -> StepUsage {
        let reaped: Vec<Reaped> = process::end_all(self.sandbox.alone);
        let before = std::mem::take(&mut *self.sandbox.reaping());
        let cgroup = self.sandbox.cgroup.as_ref();
        StepUsage {
            leftover_cpu_millis: before.orphans_cpu_millis
                + reaped.iter().map(|one| one.cpu_millis).sum::<u64>(),
            leftovers: reaped.len(),
            peak_memory_bytes: cgroup
                .and_then(Cgroup::peak_memory_bytes)
                .unwrap_or_else(|| {
                    reaped
                        .iter()
                        .map(|one| one.peak_memory_bytes)
                        .fold(before.orphans_peak_memory_bytes, u64::max)
                }),
            out_of_memory: cgroup
                .is_some_and(|cgroup| cgroup.out_of_memory_kills() > self.memory_kills_before),
        }
    }
}

impl ChildProcess {
    /// Its number, as the worker sees it.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Readable when the program has ended.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// How it ended; none while it runs.
    #[must_use]
    pub fn try_wait(&self) -> Option<ChildEnd> {
        // Held meanwhile, so that a new program with the same number is not taken for this one.
        let mut reaping = self.sandbox.reaping();
        let ended = process::wait(self.pid, false);
        if !matches!(ended, Ok(None)) {
            reaping.awaited.remove(&self.pid);
        }
        match ended {
            Ok(Some(reaped)) => Some(ChildEnd {
                code: libc::WIFEXITED(reaped.status).then(|| libc::WEXITSTATUS(reaped.status)),
                signal: libc::WIFSIGNALED(reaped.status).then(|| libc::WTERMSIG(reaped.status)),
                cpu_millis: reaped.cpu_millis,
                peak_memory_bytes: reaped.peak_memory_bytes,
            }),
            Ok(None) => None,
            // Somebody else has reaped it, at the end of the step.
            Err(_) => Some(ChildEnd {
                code: None,
                signal: Some(libc::SIGKILL),
                cpu_millis: 0,
                peak_memory_bytes: 0,
            }),
        }
    }

    /// CPU milliseconds of the program itself so far; those of its children come when they end.
    #[must_use]
    pub fn cpu_millis(&self) -> u64 {
        process::cpu_millis_of(self.pid).unwrap_or(0)
    }

    /// Ends the program's process group.
    pub fn kill(&self) {
        process::kill(-self.pid);
        process::kill(self.pid);
    }
}

/// `exit 0`, `signal 9`.
pub(crate) fn describe(status: i32) -> String {
    if libc::WIFEXITED(status) {
        format!("exit {}", libc::WEXITSTATUS(status))
    } else {
        format!("signal {}", libc::WTERMSIG(status))
    }
}
