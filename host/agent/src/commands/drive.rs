//! A command from its acceptance to its final reply.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, SemaphorePermit};

use super::Commands;
use crate::backoff::{Backoff, pause};
use crate::executor::{Control, Outcome, Report, Status};
use crate::message::Command;
use crate::progress::Progress;
use crate::records::{FinalReply, Pending};
use crate::{reply, report};

impl Commands {
    /// From its acceptance to its final reply.
    pub(super) async fn drive(self: &Arc<Self>, pending: Pending, control: &Control) {
        let command = &pending.command;
        if !pending.acknowledged && !self.acknowledge(command).await {
            return;
        }
        let outcome = match pending.restart_from {
            Some(boot) if boot == self.executor.boot() => Outcome::Restart(Report::default()),
            _ => self.run(command, control).await,
        };
        let report = match outcome {
            Outcome::Finished(report) => report,
            Outcome::Restart(report) => match self.restart(command, &report).await {
                Some(failure) => failure,
                None => return,
            },
        };
        let now = self.api.clock.now();
        let reply = FinalReply {
            message_id: command.message_id.clone(),
            payload: reply::payload(&report, &command.id, now),
            made: now,
        };
        let mut backoff = Backoff::default();
        while let Err(error) = self.records.finish(&command.id, &reply) {
            tracing::error!(command = command.id, %error, "the result cannot be written down; it is tried again");
            pause(&*self.api.clock, backoff.next(&self.api.chance)).await;
        }
        self.deliveries.wake();
    }

    /// True when the command is this node's to run.
    async fn acknowledge(&self, command: &Command) -> bool {
        let mut backoff = Backoff::default();
        loop {
            match self.api.acknowledge(&command.message_id).await {
                Ok(()) => break,
                Err(error) if error.code() == Some("InvalidMessageId") => {
                    tracing::info!(
                        command = command.id,
                        "the command was taken back before it began"
                    );
                    if let Err(error) = self.records.drop_pending(&command.id) {
                        tracing::error!(command = command.id, %error, "the command cannot be forgotten");
                    }
                    return false;
                }
                Err(error) => {
                    tracing::debug!(command = command.id, %error, "it is not known yet whether the command is this node's");
                    pause(&*self.api.clock, backoff.next(&self.api.chance)).await;
                }
            }
        }
        // If this cannot be written down, the next start asks again.
        if let Err(error) = self.update(&command.id, |pending| pending.acknowledged = true) {
            tracing::warn!(command = command.id, %error, "the acknowledgement cannot be written down");
        }
        true
    }

    async fn run(&self, command: &Command, control: &Control) -> Outcome {
        let progress = Arc::new(Progress::default());
        let run = async {
            // One that had begun is gone on with even when it is cancelled: what has to be done in the end is done.
            let begun = self.executor.has_begun(&command.id);
            let slot = tokio::select! {
                biased;
                () = control.cancelled(), if !begun => None,
                slot = self.slot() => Some(slot),
            };
            if slot.is_none() {
                let why = "the command was cancelled before it began";
                return Outcome::Finished(Report::without_steps(Status::Cancelled, why));
            }
            let _running = Running::new(&self.running, &self.changed);
            self.executor
                .run(command, Arc::clone(&progress), control)
                .await
        };
        let kill = async {
            control.cancelled().await;
            pause(&*self.api.clock, self.limits.cancel_grace).await;
            control.kill();
            std::future::pending::<()>().await;
        };
        let report = report::run(&self.api, command, &progress, self.limits.report_every);
        tokio::select! {
            biased;
            outcome = run => outcome,
            () = report => Outcome::Finished(Report::default()),
            () = kill => Outcome::Finished(Report::default()),
        }
    }

    /// The command's turn, which does not come while the machine is about to be restarted.
    async fn slot(&self) -> Option<SemaphorePermit<'_>> {
        loop {
            let slot = self.slots.acquire().await.ok();
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if !self.restarting.load(Ordering::SeqCst) {
                return slot;
            }
            drop(slot);
            changed.await;
        }
    }

    /// Restarts the machine for a command. Comes back only if that does not work, with what to tell of it; nothing
    /// if the command is left for after the restart.
    async fn restart(&self, command: &Command, report: &Report) -> Option<Report> {
        let boot = self.executor.boot();
        if let Err(error) = self.update(&command.id, |pending| pending.restart_from = Some(boot)) {
            tracing::error!(command = command.id, %error, "the restart cannot be written down");
        }
        let told = Report {
            status: Status::InProgress,
            trace: "the machine is restarted".to_owned(),
            ..report.clone()
        };
        let payload = reply::payload(&told, &command.id, self.api.clock.now());
        let _ = self.api.reply(&command.message_id, &payload).await;
        if self.restarting.swap(true, Ordering::SeqCst) {
            // Another command does it.
            return std::future::pending().await;
        }
        tracing::info!(
            command = command.id,
            "the machine is restarted when no other command runs"
        );
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.running.load(Ordering::SeqCst) == 0 {
                break;
            }
            changed.await;
        }
        match self.executor.restart_machine().await {
            Ok(()) => std::future::pending().await,
            Err(why) => {
                tracing::error!(command = command.id, why, "the machine cannot be restarted");
                self.restarting.store(false, Ordering::SeqCst);
                self.changed.notify_waiters();
                Some(Report {
                    status: Status::Failed,
                    trace: format!(
                        "a step asked for a restart of the machine, which failed: {why}"
                    ),
                    ..report.clone()
                })
            }
        }
    }
}

/// Counts a command that runs.
struct Running<'a>(&'a AtomicUsize, &'a Notify);

impl<'a> Running<'a> {
    fn new(count: &'a AtomicUsize, changed: &'a Notify) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count, changed)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
        self.1.notify_waiters();
    }
}
