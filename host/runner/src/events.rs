//! What a step tells while it runs: cleaned of secrets, kept in its output files, and passed on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capstan_runtime::{EventSink, OutputStream, StepEvent, StepOutcome, StepReport};

use crate::output::StepOutput;
use crate::secrets::{CleanStream, Secrets};
use crate::session::Session;

/// The way of a step's events to where they belong.
pub(crate) struct Events {
    output: Arc<Mutex<StepOutput>>,
    /// What is held back of each stream because a secret may begin there.
    streams: Arc<Mutex<HashMap<OutputStream, CleanStream>>>,
    secrets: Arc<Secrets>,
    deliver: EventSink,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Events {
    /// For the outermost step of this index; what is nested in it goes to `parent` and is told by that.
    pub(crate) fn new(
        session: &Session,
        output: StepOutput,
        index: usize,
        parent: Option<EventSink>,
    ) -> Self {
        let output = Arc::new(Mutex::new(output));
        let (kept, observer) = (Arc::clone(&output), Arc::clone(&session.observer));
        let deliver: EventSink = Arc::new(move |event| {
            if let StepEvent::Output { stream, data } = &event {
                lock(&kept).write(*stream, data);
            }
            if let Some(parent) = &parent {
                parent(event);
                return;
            }
            match event {
                StepEvent::Output { stream, data } => observer.output(index, stream, &data),
                StepEvent::Progress { done, total, note } => {
                    observer.progress(index, done, total, &note)
                }
                StepEvent::Log { level, message, .. } => observer.log(index, level, &message),
            }
        });
        Self {
            output,
            streams: Arc::default(),
            secrets: Arc::clone(&session.secrets),
            deliver,
        }
    }

    /// Takes what the worker tells.
    pub(crate) fn sink(&self) -> EventSink {
        let (deliver, secrets, streams) = (
            Arc::clone(&self.deliver),
            Arc::clone(&self.secrets),
            Arc::clone(&self.streams),
        );
        Arc::new(move |mut event| {
            match &mut event {
                StepEvent::Output { stream, data } => {
                    *data = lock(&streams)
                        .entry(*stream)
                        .or_default()
                        .push(&secrets, data);
                    if data.is_empty() {
                        return;
                    }
                }
                StepEvent::Progress { note, .. } => secrets.clean(note),
                StepEvent::Log {
                    message, fields, ..
                } => {
                    secrets.clean(message);
                    if let Some(fields) = fields {
                        secrets.clean(fields);
                    }
                }
            }
            deliver(event);
        })
    }

    /// Passes on what was held back: nothing more comes.
    pub(crate) fn release(&self) {
        let rests: Vec<(OutputStream, Vec<u8>)> = lock(&self.streams)
            .iter_mut()
            .map(|(stream, rest)| (*stream, rest.finish()))
            .collect();
        for (stream, data) in rests {
            if !data.is_empty() {
                (self.deliver)(StepEvent::Output { stream, data });
            }
        }
    }

    /// Adds a line of the supervisor's own to a stream.
    pub(crate) fn print(&self, stream: OutputStream, text: &str) {
        self.release();
        (self.sink())(StepEvent::Output {
            stream,
            data: format!("{text}\n").into_bytes(),
        });
        self.release();
    }

    /// Takes secrets out of all that a report says in free text.
    pub(crate) fn clean_report(&self, report: &mut StepReport) {
        let secrets = &self.secrets;
        match &mut report.outcome {
            StepOutcome::Done { outputs, .. } => {
                outputs
                    .iter_mut()
                    .for_each(|value| secrets.clean_value(value));
            }
            StepOutcome::Suspended { reason, .. } => secrets.clean(reason),
            StepOutcome::Failure {
                message, detail, ..
            } => {
                secrets.clean(message);
                detail
                    .iter_mut()
                    .for_each(|value| secrets.clean_value(value));
            }
            StepOutcome::Stopped { message, .. } => secrets.clean(message),
        }
        for denial in &mut report.denials {
            secrets.clean(&mut denial.target);
            secrets.clean(&mut denial.hint);
        }
        for set in [&mut report.hosts_contacted, &mut report.files_written] {
            *set = std::mem::take(set)
                .into_iter()
                .map(|mut text| {
                    secrets.clean(&mut text);
                    text
                })
                .collect();
        }
    }

    /// The output so far.
    pub(crate) fn output(&self) -> MutexGuard<'_, StepOutput> {
        lock(&self.output)
    }
}
