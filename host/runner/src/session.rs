//! A run while it is being run: its folders, its worker, and what its steps may do.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capstan_document::{ResolvedDocument, ResolvedStep};
use capstan_policy::{Confinement, Grant, GrantCheck, Manifest, StepDirectories, Subject};
use capstan_runtime::EventSink;
use capstan_runtime::worker::{WorkerHandle, WorkerOptions};

use crate::broker::Supervisor;
use crate::control::{Observer, RunControl};
use crate::error::RunnerError;
use crate::run::Runner;
use crate::secrets::Secrets;
use crate::state::{folder_name, make_private};

/// Documents within documents.
pub(crate) const MAX_DEPTH: usize = 3;

pub(crate) struct Session {
    pub(crate) runner: Arc<Runner>,
    pub(crate) run_id: String,
    pub(crate) folder: PathBuf,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) control: RunControl,
    pub(crate) secrets: Arc<Secrets>,
    ceiling: Grant,
    worker: tokio::sync::Mutex<Option<Arc<WorkerHandle>>>,
    next_step: AtomicU64,
    rights: Mutex<HashMap<u64, Arc<StepRights>>>,
    used: Mutex<Used>,
    names: Mutex<Names>,
}

/// The folders of a run, by what they are for. A work folder is the step's to write to; were it also the folder
/// of outputs, a step could forge what others printed.
#[derive(Debug, Default)]
struct Names {
    outputs: BTreeSet<String>,
    work: BTreeSet<String>,
}

/// Folders that every run has.
const SHARED: [&str; 3] = ["downloads", "tmp", "overlays"];

/// What the steps of the run have used of what the run as a whole may use.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Used {
    pub(crate) fuel: u64,
    pub(crate) output: u64,
    pub(crate) child_cpu_millis: u64,
    pub(crate) http_requests: u64,
    pub(crate) http_bytes: u64,
    pub(crate) wall_millis: u64,
}

/// What the supervisor decided about a running step; the worker's calls are checked against it.
pub(crate) struct StepRights {
    pub(crate) component: GrantCheck,
    pub(crate) children: GrantCheck,
    pub(crate) subject: Subject,
    pub(crate) events: EventSink,
    pub(crate) depth: usize,
    /// The index of the outermost step, for the observer.
    pub(crate) index: usize,
    /// A nested document asked for a restart.
    pub(crate) reboot: std::sync::atomic::AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    pub(crate) fn new(
        runner: Arc<Runner>,
        run_id: &str,
        subject: &Subject,
        observer: Arc<dyn Observer>,
        control: RunControl,
    ) -> Result<Arc<Self>, RunnerError> {
        let folder = runner.state.orchestration(run_id);
        for name in SHARED {
            crate::state::make_private(&folder.join(name))?;
        }
        let ceiling = runner.policy.ceiling(subject, &StepDirectories::default());
        Ok(Arc::new(Self {
            runner,
            run_id: run_id.to_owned(),
            folder,
            observer,
            control,
            secrets: Arc::default(),
            ceiling,
            worker: tokio::sync::Mutex::new(None),
            next_step: AtomicU64::new(1),
            rights: Mutex::new(HashMap::new()),
            used: Mutex::new(Used::default()),
            names: Mutex::new(Names::default()),
        }))
    }

    /// Takes the folders of a document's steps, before any of them runs.
    ///
    /// # Errors
    /// When the name of a step is that of a folder with another purpose.
    pub(crate) fn claim(&self, document: &ResolvedDocument) -> Result<(), RunnerError> {
        let mut names = lock(&self.names);
        for step in &document.steps {
            names.outputs.insert(folder_name(&step.action));
            names.work.insert(step.name.clone());
            // It has to be there before the worker confines itself.
            if let Some(action) = self.runner.actions.find(&step.action)?
                && action.manifest().is_ok_and(Manifest::keeps_data)
            {
                make_private(&self.runner.state.data(&step.action))?;
            }
        }
        match names
            .outputs
            .iter()
            .find(|name| names.work.contains(*name) || SHARED.contains(&name.as_str()))
        {
            None => Ok(()),
            Some(name) => Err(RunnerError::Invalid(format!(
                "no step can be named `{name}`: the run keeps outputs in a folder of that name; give the step another name"
            ))),
        }
    }

    pub(crate) fn private_tmp(&self) -> PathBuf {
        self.folder.join("tmp")
    }

    /// The folders of a step. The private `/tmp` has its own name only where there is a mount namespace, which is
    /// known once the worker is there; the grant names both.
    pub(crate) fn directories(&self, step: &ResolvedStep) -> StepDirectories {
        StepDirectories {
            work: self.folder.join(&step.name).display().to_string(),
            downloads: self.folder.join("downloads").display().to_string(),
            data: self.runner.state.data(&step.action).display().to_string(),
            temporary: "/tmp".into(),
        }
    }

    /// The worker; started when the first step needs it, and again when it died.
    pub(crate) async fn worker(self: &Arc<Self>) -> Result<Arc<WorkerHandle>, RunnerError> {
        let mut worker = self.worker.lock().await;
        if let Some(worker) = &*worker {
            return Ok(Arc::clone(worker));
        }
        let options = WorkerOptions {
            program: self.runner.program.clone(),
            ceiling: self.ceiling.clone(),
            private_tmp: self.private_tmp(),
            overlays: self.folder.join("overlays"),
            readable: Vec::new(),
            writable: vec![self.folder.clone()],
            cache: self.runner.state.cache().to_owned(),
        };
        let broker = Arc::new(Supervisor {
            session: Arc::downgrade(self),
        });
        let started = Arc::new(WorkerHandle::start(options, broker).await?);
        *worker = Some(Arc::clone(&started));
        Ok(started)
    }

    /// Forgets a worker that died, or ends it.
    pub(crate) async fn drop_worker(&self) {
        let worker = self.worker.lock().await.take();
        drop(worker);
    }

    pub(crate) fn is_confined(&self) -> bool {
        self.ceiling.confinement == Confinement::Confined
    }

    pub(crate) fn register(&self, rights: StepRights) -> (u64, Arc<StepRights>) {
        let id = self.next_step.fetch_add(1, Ordering::Relaxed);
        let rights = Arc::new(rights);
        lock(&self.rights).insert(id, Arc::clone(&rights));
        (id, rights)
    }

    pub(crate) fn unregister(&self, id: u64) {
        lock(&self.rights).remove(&id);
    }

    pub(crate) fn rights(&self, id: u64) -> Option<Arc<StepRights>> {
        lock(&self.rights).get(&id).cloned()
    }

    pub(crate) fn used(&self) -> Used {
        *lock(&self.used)
    }

    pub(crate) fn add_used(&self, usage: &capstan_runtime::Usage) {
        let mut used = lock(&self.used);
        used.fuel = used.fuel.saturating_add(usage.fuel);
        used.output = used.output.saturating_add(usage.output_bytes);
        used.child_cpu_millis = used.child_cpu_millis.saturating_add(usage.child_cpu_millis);
        used.http_requests = used.http_requests.saturating_add(usage.http_requests);
        used.http_bytes = used.http_bytes.saturating_add(usage.http_bytes);
        used.wall_millis = used.wall_millis.saturating_add(usage.wall_micros / 1000);
    }
}
