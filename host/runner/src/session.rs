//! A run while it is being run: its folders, its worker, and what its steps may do.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capstan_document::{ResolvedDocument, ResolvedStep, action_folder};
use capstan_policy::{Confinement, Grant, GrantCheck, Manifest, StepDirectories, Subject};
use capstan_runtime::EventSink;
use capstan_runtime::worker::{WorkerHandle, WorkerOptions};

use crate::broker::Supervisor;
use crate::control::{Observer, RunControl};
use crate::error::RunnerError;
use crate::nested::Memory;
use crate::run::Runner;
use crate::secrets::Secrets;
use crate::state::make_private;

/// Documents within documents.
pub(crate) const MAX_DEPTH: usize = 3;

pub(crate) struct Session {
    pub(crate) runner: Arc<Runner>,
    pub(crate) run_id: String,
    pub(crate) folder: PathBuf,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) control: RunControl,
    pub(crate) secrets: Arc<Secrets>,
    /// The digest of the policy's text, which is kept with the run.
    pub(crate) policy_sha256: String,
    ceiling: Grant,
    worker: tokio::sync::Mutex<Option<Arc<WorkerHandle>>>,
    next_step: AtomicU64,
    rights: Mutex<HashMap<u64, Arc<StepRights>>>,
    used: Mutex<Used>,
    /// Actions whose data this run has to itself at present.
    locks: Mutex<BTreeSet<String>>,
    /// What the journal knows of nested documents; set before the first step runs.
    pub(crate) memory: std::sync::OnceLock<Memory>,
    /// The grant that was kept last, and its digest.
    kept: Mutex<Option<(Grant, String)>>,
}

/// Keeps what receipts name by its digest in a file beside the journal of the run.
fn keep(
    runner: &Runner,
    run_id: &str,
    folder: &str,
    extension: &str,
    text: &[u8],
) -> Result<String, RunnerError> {
    let digest = capstan_runtime::digest(text);
    let folder = runner.state.run(run_id).join(folder);
    let path = folder.join(format!("{digest}.{extension}"));
    if !path.exists() {
        make_private(&folder)?;
        std::fs::write(&path, text)
            .map_err(RunnerError::io(format!("writing {}", path.display())))?;
    }
    Ok(digest)
}

/// What the worker may write to. The outputs of steps are beside it: were they within, a step could forge what
/// others printed.
const WRITABLE: [&str; 4] = ["work", "downloads", "tmp", "overlays"];

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
    /// Where the step and its set of inputs are in the run.
    pub(crate) path: Vec<usize>,
    /// Documents that the step has run so far.
    pub(crate) calls: std::sync::atomic::AtomicUsize,
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
        for name in WRITABLE {
            crate::state::make_private(&folder.join(name))?;
        }
        let ceiling = runner.policy.ceiling(
            subject,
            &StepDirectories {
                withheld: runner.state.withheld(),
                ..StepDirectories::default()
            },
        );
        let source = runner.policy.source.as_bytes();
        let policy_sha256 = keep(&runner, run_id, "policies", "yaml", source)?;
        Ok(Arc::new(Self {
            runner,
            run_id: run_id.to_owned(),
            folder,
            observer,
            control,
            secrets: Arc::default(),
            policy_sha256,
            ceiling,
            worker: tokio::sync::Mutex::new(None),
            next_step: AtomicU64::new(1),
            rights: Mutex::new(HashMap::new()),
            used: Mutex::new(Used::default()),
            locks: Mutex::default(),
            memory: std::sync::OnceLock::new(),
            kept: Mutex::default(),
        }))
    }

    /// Makes the folders that a document's steps need, before any of them runs.
    ///
    /// # Errors
    /// When the output of an action would be in a folder with another purpose.
    pub(crate) fn claim(&self, document: &ResolvedDocument) -> Result<(), RunnerError> {
        for step in &document.steps {
            let name = action_folder(&step.action);
            if WRITABLE.contains(&name.as_str()) {
                return Err(RunnerError::Invalid(format!(
                    "no action can be named `{}`: the run keeps other files in a folder of that name",
                    step.action
                )));
            }
            // It has to be there before the worker confines itself.
            if let Some(action) = self.runner.actions.find(&step.action)?
                && action.manifest().is_ok_and(Manifest::keeps_data)
            {
                make_private(&self.runner.state.data(&step.action))?;
            }
        }
        Ok(())
    }

    /// Now, RFC 3339, UTC.
    pub(crate) fn now(&self) -> String {
        self.runner.clock.now().to_string()
    }

    pub(crate) fn held_locks(&self) -> MutexGuard<'_, BTreeSet<String>> {
        lock(&self.locks)
    }

    /// Keeps a grant in a file that is named by its digest, and returns that.
    pub(crate) fn keep_grant(&self, grant: &Grant, work: &str) -> Result<String, RunnerError> {
        // Most steps of a run differ in nothing but their own folder.
        let mut grant = grant.clone();
        for rule in grant.files.iter_mut().filter(|rule| rule.path == work) {
            rule.path.replace_range(.., "${context.workDirectory}");
        }
        let mut kept = lock(&self.kept);
        if let Some((last, digest)) = &*kept
            && *last == grant
        {
            return Ok(digest.clone());
        }
        let text = serde_json::to_vec(&grant)
            .map_err(|error| RunnerError::io("the grant of a step")(error.into()))?;
        let digest = keep(&self.runner, &self.run_id, "grants", "json", &text)?;
        *kept = Some((grant, digest.clone()));
        Ok(digest)
    }

    pub(crate) fn private_tmp(&self) -> PathBuf {
        self.folder.join("tmp")
    }

    /// The folders of a step. The private `/tmp` has its own name only where there is a mount namespace, which is
    /// known once the worker is there; the grant names both.
    pub(crate) fn directories(&self, step: &ResolvedStep) -> StepDirectories {
        StepDirectories {
            work: self
                .folder
                .join("work")
                .join(&step.name)
                .display()
                .to_string(),
            downloads: self.folder.join("downloads").display().to_string(),
            data: self.runner.state.data(&step.action).display().to_string(),
            temporary: "/tmp".into(),
            withheld: self.runner.state.withheld(),
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
            writable: WRITABLE.iter().map(|name| self.folder.join(name)).collect(),
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
