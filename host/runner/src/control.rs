//! Watching a run and steering it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use capstan_runtime::{LogLevel, OutputStream};
use tokio::sync::{Mutex, mpsc, watch};

use crate::result::{RunResult, StepResult};

/// Is told what happens in a run, in order.
#[expect(unused_variables, reason = "by default nothing is done")]
pub trait Observer: Send + Sync {
    /// The run begins, or goes on.
    fn run_started(&self, run_id: &str, document: &str, steps: &[String]) {}
    /// A step begins.
    fn step_started(&self, index: usize, name: &str, action: &str) {}
    /// A step printed something.
    fn output(&self, index: usize, stream: OutputStream, data: &[u8]) {}
    /// A step tells how far it is.
    fn progress(&self, index: usize, done: u64, total: Option<u64>, note: &str) {}
    /// A step has a message for the operator.
    fn log(&self, index: usize, level: LogLevel, message: &str) {}
    /// A step waits.
    fn waiting(&self, index: usize, name: &str, reason: &str) {}
    /// A step is over.
    fn step_finished(&self, index: usize, result: &StepResult) {}
    /// The run is over.
    fn run_finished(&self, result: &RunResult) {}
}

/// A signal's name and its payload.
type Signal = (String, Option<String>);

/// Steers a run; clones steer the same one.
#[derive(Debug, Clone)]
pub struct RunControl {
    cancel: watch::Sender<bool>,
    kill: Arc<AtomicBool>,
    killed: watch::Sender<bool>,
    signals: mpsc::UnboundedSender<Signal>,
    received: Arc<Mutex<mpsc::UnboundedReceiver<Signal>>>,
}

impl Default for RunControl {
    fn default() -> Self {
        let (signals, received) = mpsc::unbounded_channel();
        Self {
            cancel: watch::Sender::new(false),
            kill: Arc::new(AtomicBool::new(false)),
            killed: watch::Sender::new(false),
            signals,
            received: Arc::new(Mutex::new(received)),
        }
    }
}

impl RunControl {
    /// Stops the current step; the others are cancelled, but for a `finallyStep`, which runs.
    pub fn cancel(&self) {
        let _ = self.cancel.send_replace(true);
    }

    /// Stops everything at once.
    pub fn kill(&self) {
        self.kill.store(true, Ordering::SeqCst);
        self.cancel();
        let _ = self.killed.send_replace(true);
    }

    /// Sends a signal to a waiting step, now or when it waits.
    pub fn signal(&self, name: impl Into<String>, payload: Option<String>) {
        let _ = self.signals.send((name.into(), payload));
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        *self.cancel.borrow()
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.kill.load(Ordering::SeqCst)
    }

    pub(crate) async fn cancelled(&self) {
        let mut cancel = self.cancel.subscribe();
        let _ = cancel.wait_for(|cancelled| *cancelled).await;
    }

    pub(crate) async fn killed(&self) {
        let mut killed = self.killed.subscribe();
        let _ = killed.wait_for(|killed| *killed).await;
    }

    /// The next signal of one of these names; others are dropped.
    pub(crate) async fn next_signal(&self, names: &[String]) -> (String, Option<String>) {
        let mut received = self.received.lock().await;
        loop {
            match received.recv().await {
                Some((name, payload)) if names.contains(&name) => return (name, payload),
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }
}
