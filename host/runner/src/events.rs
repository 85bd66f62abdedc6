//! What a step tells while it runs: cleaned of secrets, kept in its output files, and passed on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capstan_runtime::{EventSink, OutputStream, StepEvent, StepReport};

use crate::cleaner::Cleaner;
use crate::output::StepOutput;
use crate::session::Session;

/// The way of a step's events to where they belong.
pub(crate) struct Events {
    output: Arc<Mutex<StepOutput>>,
    cleaner: Arc<Cleaner>,
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
            cleaner: Arc::new(Cleaner::new(Arc::clone(&session.secrets))),
            deliver,
        }
    }

    /// Takes what the worker tells.
    pub(crate) fn sink(&self) -> EventSink {
        let (deliver, cleaner) = (Arc::clone(&self.deliver), Arc::clone(&self.cleaner));
        Arc::new(move |event| {
            if let Some(event) = cleaner.event(event) {
                deliver(event);
            }
        })
    }

    /// Passes on what was held back: nothing more comes.
    pub(crate) fn release(&self) {
        self.cleaner
            .release()
            .into_iter()
            .for_each(|event| (self.deliver)(event));
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
        self.cleaner.report(report);
    }

    /// The output so far.
    pub(crate) fn output(&self) -> MutexGuard<'_, StepOutput> {
        lock(&self.output)
    }
}
