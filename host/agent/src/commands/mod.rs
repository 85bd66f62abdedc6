//! Commands on their way through this node.
//!
//! 1. The message comes; the command is written to `pending`.
//! 2. Its message is acknowledged. The control plane may have taken it back: then the command is dropped, and was
//!    never run. As long as it is not known, it is asked again.
//! 3. That it was acknowledged is written down, and the command runs, or waits for its turn.
//! 4. Its final reply is written to `replies`, the command is taken off `pending`, and the reply is delivered.
//!
//! An agent that is killed anywhere in between goes on there when it is started again: the runner's own journal knows
//! which steps are over.

mod drive;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use crate::api::Api;
use crate::deliver::Deliveries;
use crate::error::AgentError;
use crate::executor::{Control, Executor, Report, Status};
use crate::message::{Command, Incoming};
use crate::records::{Pending, Records};
use crate::reply;

/// How many and how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) concurrency: usize,
    pub(crate) buffer: usize,
    pub(crate) report_every: Duration,
    pub(crate) cancel_grace: Duration,
}

/// A command that is here.
#[derive(Debug)]
struct Active {
    pending: Pending,
    control: Control,
}

/// The commands of this node.
#[derive(Debug)]
pub(crate) struct Commands {
    api: Arc<Api>,
    records: Arc<Records>,
    deliveries: Arc<Deliveries>,
    executor: Arc<dyn Executor>,
    limits: Limits,
    slots: Semaphore,
    active: Mutex<HashMap<String, Active>>,
    running: AtomicUsize,
    /// The machine is about to be restarted: nothing is begun.
    restarting: AtomicBool,
    changed: Notify,
    tasks: Mutex<JoinSet<()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Commands {
    pub(crate) fn new(
        api: Arc<Api>,
        records: Arc<Records>,
        deliveries: Arc<Deliveries>,
        executor: Arc<dyn Executor>,
        limits: Limits,
    ) -> Arc<Self> {
        Arc::new(Self {
            api,
            records,
            deliveries,
            executor,
            limits,
            slots: Semaphore::new(limits.concurrency.max(1)),
            active: Mutex::default(),
            running: AtomicUsize::new(0),
            restarting: AtomicBool::new(false),
            changed: Notify::new(),
            tasks: Mutex::default(),
        })
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Goes on with what an earlier process left.
    pub(crate) fn take_up(self: &Arc<Self>) -> Result<(), AgentError> {
        for pending in self.records.pending()? {
            tracing::info!(command = pending.command.id, "the command is taken up");
            self.begin(pending);
        }
        Ok(())
    }

    /// Returns when there are none.
    pub(crate) async fn idle(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.are_none() {
                return;
            }
            changed.await;
        }
    }

    /// Whether there are none.
    pub(crate) fn are_none(&self) -> bool {
        lock(&self.active).is_empty()
    }

    /// Leaves everything as it is, for the next start.
    pub(crate) fn stop(&self) {
        lock(&self.tasks).abort_all();
    }

    /// Does what a message says.
    pub(crate) fn take(self: &Arc<Self>, incoming: Incoming) {
        match incoming {
            Incoming::Send(command) => self.accept(*command),
            Incoming::Cancel {
                message_id,
                command,
            } => self.cancel(&message_id, &command),
            Incoming::Unreadable { message_id, why } => {
                tracing::warn!(message = message_id, why, "a message cannot be read");
                self.refuse(message_id, Status::Failed, why, None);
            }
            Incoming::Unknown { message_id, topic } => {
                tracing::warn!(message = message_id, topic, "a message of an unknown kind");
                let commands = Arc::clone(self);
                self.spawn(async move {
                    let _ = commands.api.fail(&message_id, "NoHandlerExists").await;
                });
            }
            Incoming::Foreign(why) => tracing::warn!(why, "a message is passed over"),
        }
    }

    fn accept(self: &Arc<Self>, command: Command) {
        let id = command.id.clone();
        if lock(&self.active).contains_key(&id) {
            self.acknowledge_again(command.message_id);
            return;
        }
        match self.records.is_done(&id) {
            Ok(true) => {
                tracing::info!(
                    command = id,
                    "the command came again; it is done, and its reply is sent again"
                );
                self.acknowledge_again(command.message_id);
                self.deliveries.wake();
                return;
            }
            Ok(false) => {}
            Err(error) => {
                tracing::error!(command = id, %error, "the command cannot be accepted");
                return;
            }
        }
        let full = lock(&self.active).len() >= self.limits.concurrency + self.limits.buffer;
        if full || self.restarting.load(Ordering::SeqCst) {
            tracing::debug!(command = id, "there is no room for the command now");
            return;
        }
        let pending = Pending {
            received: self.api.clock.now(),
            command,
            acknowledged: false,
            cancelled: false,
            restart_from: None,
        };
        if let Err(error) = self.records.put(&pending) {
            tracing::error!(command = id, %error, "the command cannot be accepted");
            return;
        }
        tracing::info!(
            command = id,
            document = pending.command.document,
            "a command came"
        );
        self.begin(pending);
    }

    /// The one who sends it again has not heard of the first time. If this is not heard either, it comes once more.
    fn acknowledge_again(self: &Arc<Self>, message_id: String) {
        let commands = Arc::clone(self);
        self.spawn(async move {
            let _ = commands.api.acknowledge(&message_id).await;
        });
    }

    /// Takes a message that leads to nothing here, and tells so; in the name of another message, if one is given.
    fn refuse(
        self: &Arc<Self>,
        message_id: String,
        status: Status,
        why: String,
        in_name_of: Option<String>,
    ) {
        let commands = Arc::clone(self);
        self.spawn(async move {
            let api = &commands.api;
            let report = Report::without_steps(status, why);
            let payload = reply::payload(&report, &message_id, api.clock.now());
            let about = in_name_of.as_ref().unwrap_or(&message_id);
            let tell = async {
                api.acknowledge(&message_id).await?;
                api.reply(about, &payload).await?;
                api.delete(&message_id).await
            };
            if let Err(error) = tell.await {
                tracing::debug!(message = message_id, %error, "a message could not be answered");
            }
        });
    }

    /// Changes what is kept of a command, and writes it down.
    fn update(&self, id: &str, change: impl FnOnce(&mut Pending)) -> Result<(), AgentError> {
        match lock(&self.active).get_mut(id) {
            Some(active) => {
                change(&mut active.pending);
                self.records.put(&active.pending)
            }
            None => Ok(()),
        }
    }

    fn cancel(self: &Arc<Self>, message_id: &str, id: &str) {
        let control = lock(&self.active)
            .get(id)
            .map(|active| active.control.clone());
        let Some(control) = control else {
            tracing::info!(
                command = id,
                "a command that is not here cannot be cancelled"
            );
            // One that is over has its reply on the way; of any other nobody else will tell.
            let why = format!("the command {id} is not known on this node, so nothing of it runs");
            let name = format!("aws.ssm.{id}.{}", self.api.node_id());
            match self.records.is_done(id) {
                Ok(true) => {
                    self.deliveries.wake();
                    self.refuse(message_id.to_owned(), Status::Success, why, None);
                }
                _ => self.refuse(message_id.to_owned(), Status::Cancelled, why, Some(name)),
            }
            return;
        };
        // Before it is acknowledged: it must not be forgotten.
        if let Err(error) = self.update(id, |pending| pending.cancelled = true) {
            tracing::error!(command = id, %error, "the cancellation cannot be written down; it will come again");
            return;
        }
        tracing::info!(command = id, "the command is cancelled");
        control.cancel();
        let (commands, message_id) = (Arc::clone(self), message_id.to_owned());
        self.spawn(async move {
            if commands.api.acknowledge(&message_id).await.is_ok() {
                let _ = commands.api.delete(&message_id).await;
            }
        });
    }

    fn begin(self: &Arc<Self>, pending: Pending) {
        let control = Control::default();
        if pending.cancelled {
            control.cancel();
        }
        let active = Active {
            pending: pending.clone(),
            control: control.clone(),
        };
        let id = pending.command.id.clone();
        lock(&self.active).insert(id.clone(), active);
        let commands = Arc::clone(self);
        self.spawn(async move {
            commands.drive(pending, &control).await;
            lock(&commands.active).remove(&id);
            commands.changed.notify_waiters();
        });
    }
}
