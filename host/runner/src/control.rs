//! Watching a run and steering it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use capstan_runtime::{LogLevel, OutputStream};
use tokio::sync::{Notify, watch};

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
    signals: Arc<Signals>,
}

/// Signals that no step has taken yet, in the order in which they came.
#[derive(Debug, Default)]
struct Signals {
    waiting: Mutex<VecDeque<Signal>>,
    arrived: Notify,
}

impl Default for RunControl {
    fn default() -> Self {
        Self {
            cancel: watch::Sender::new(false),
            kill: Arc::new(AtomicBool::new(false)),
            killed: watch::Sender::new(false),
            signals: Arc::default(),
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
        self.signals
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back((name.into(), payload));
        self.signals.arrived.notify_waiters();
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

    /// The next signal of one of these names. Others stay for the steps that wait for them.
    pub(crate) async fn next_signal(&self, names: &[String]) -> Signal {
        loop {
            let arrived = self.signals.arrived.notified();
            tokio::pin!(arrived);
            // From here on a signal that arrives wakes this wait, so that none is missed in between.
            arrived.as_mut().enable();
            {
                let mut waiting = self
                    .signals
                    .waiting
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                if let Some(at) = waiting.iter().position(|(name, _)| names.contains(name))
                    && let Some(signal) = waiting.remove(at)
                {
                    return signal;
                }
            }
            arrived.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RunControl;

    #[tokio::test]
    async fn a_signal_waits_for_the_step_that_waits_for_it() {
        let control = RunControl::default();
        control.signal("later", Some("1".into()));
        control.signal("now", None);
        // A step that waits for a time only, and one that waits for another name, leave it alone.
        tokio::select! {
            biased;
            _ = control.next_signal(&[]) => unreachable!("nobody waits for it"),
            () = tokio::task::yield_now() => {}
        }
        assert_eq!(
            control.next_signal(&["now".into()]).await,
            ("now".into(), None)
        );
        let waiting = tokio::spawn({
            let control = control.clone();
            async move { control.next_signal(&["even later".into()]).await }
        });
        tokio::task::yield_now().await;
        control.signal("even later", None);
        assert!(waiting.await.is_ok_and(|(name, _)| name == "even later"));
        assert_eq!(
            control.next_signal(&["later".into()]).await,
            ("later".into(), Some("1".into()))
        );
    }
}
