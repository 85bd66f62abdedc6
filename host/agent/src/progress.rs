//! What is known of a command while it runs.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::executor::{Status, StepReport};

/// Bytes of output that are shown while a step runs; its result has as many characters.
const STDOUT: usize = 24_000;
const STDERR: usize = 8_000;

/// Takes what an executor tells of a command, and wakes who passes it on.
#[derive(Debug, Default)]
pub struct Progress {
    known: Mutex<Known>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Known {
    steps: Vec<Shown>,
    /// Something is to be told at once, not only when it is time again.
    urgent: bool,
    dirty: bool,
}

#[derive(Debug, Default)]
struct Shown {
    report: StepReport,
    begun: bool,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Progress {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, urgent: bool, change: impl FnOnce(&mut Known)) {
        let mut known = self.known();
        change(&mut known);
        known.dirty = true;
        known.urgent |= urgent;
        drop(known);
        self.changed.notify_one();
    }

    /// The steps that there are, as they are reported, with their actions.
    pub fn steps(&self, steps: impl IntoIterator<Item = (String, String)>) {
        let mut known = self.known();
        known.steps = steps
            .into_iter()
            .map(|(key, action)| Shown {
                report: StepReport {
                    key,
                    action,
                    ..StepReport::default()
                },
                ..Shown::default()
            })
            .collect();
    }

    /// A step begins, at a time in RFC 3339.
    pub fn started(&self, index: usize, at: String) {
        self.change(false, |known| {
            if let Some(step) = known.steps.get_mut(index) {
                step.begun = true;
                step.report.status = Status::InProgress;
                step.report.started = at;
            }
        });
    }

    /// A step printed something.
    pub fn output(&self, index: usize, is_stderr: bool, data: &[u8]) {
        let mut known = self.known();
        let Some(step) = known.steps.get_mut(index) else {
            return;
        };
        let (kept, most) = if is_stderr {
            (&mut step.stderr, STDERR)
        } else {
            (&mut step.stdout, STDOUT)
        };
        let room = most.saturating_sub(kept.len());
        if room == 0 || data.is_empty() {
            return;
        }
        kept.extend_from_slice(&data[..data.len().min(room)]);
        known.dirty = true;
        drop(known);
        self.changed.notify_one();
    }

    /// A step is over.
    pub fn finished(&self, index: usize, report: StepReport) {
        self.change(true, |known| {
            if let Some(step) = known.steps.get_mut(index) {
                *step = Shown {
                    report,
                    begun: true,
                    ..Shown::default()
                };
            }
        });
    }

    /// Returns when there is something new; whether it is to be told at once.
    pub(crate) async fn changed(&self) -> bool {
        loop {
            {
                let known = self.known();
                if known.dirty {
                    return known.urgent;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Returns when there is something that is to be told at once.
    pub(crate) async fn urgent(&self) {
        while !self.known().urgent {
            self.changed.notified().await;
        }
    }

    /// Whether nothing was told since [`Self::take`].
    pub(crate) fn is_quiet(&self) -> bool {
        !self.known().dirty
    }

    /// The steps that have begun, as they are now. From here on there is nothing new.
    pub(crate) fn take(&self) -> Vec<StepReport> {
        let mut known = self.known();
        known.dirty = false;
        known.urgent = false;
        known
            .steps
            .iter()
            .filter(|step| step.begun)
            .map(|step| {
                let mut report = step.report.clone();
                if !step.stdout.is_empty() {
                    report.stdout = String::from_utf8_lossy(&step.stdout).into_owned();
                }
                if !step.stderr.is_empty() {
                    report.stderr = String::from_utf8_lossy(&step.stderr).into_owned();
                }
                report
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Progress;
    use crate::executor::{Status, StepReport};

    #[tokio::test]
    async fn what_is_new_is_told_once() {
        let progress = Progress::default();
        progress.steps([
            ("a".to_owned(), "x".to_owned()),
            ("b".to_owned(), "x".to_owned()),
        ]);
        progress.started(0, "t".to_owned());
        progress.output(0, false, b"one\n");
        assert!(!progress.changed().await);
        let steps = progress.take();
        assert_eq!((steps.len(), steps[0].stdout.as_str()), (1, "one\n"));
        progress.output(0, false, b"two\n");
        progress.output(1, true, &[b'x'; 9_000]);
        progress.finished(
            0,
            StepReport {
                key: "a".to_owned(),
                status: Status::Success,
                stdout: "one\ntwo\n".to_owned(),
                ..StepReport::default()
            },
        );
        assert!(progress.changed().await);
        assert_eq!(progress.take()[0].stdout, "one\ntwo\n");
        tokio::select! {
            biased;
            _ = progress.changed() => unreachable!("nothing is new"),
            () = tokio::task::yield_now() => {}
        }
    }
}
