//! What a step tells, without the secrets that it was handed out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use capstan_runtime::{OutputStream, StepEvent, StepOutcome, StepReport};

use crate::secrets::{CleanStream, Secrets};

/// Takes secrets out of the events and the report of a step.
#[derive(Debug)]
pub struct Cleaner {
    secrets: Arc<Secrets>,
    /// What is held back of each stream because a secret may begin there.
    streams: Mutex<BTreeMap<OutputStream, CleanStream>>,
}

impl Cleaner {
    /// For one step of a run with these secrets.
    #[must_use]
    pub fn new(secrets: Arc<Secrets>) -> Self {
        Self {
            secrets,
            streams: Mutex::default(),
        }
    }

    /// An event as it can be told; none if there is nothing of it to tell yet.
    #[must_use]
    pub fn event(&self, mut event: StepEvent) -> Option<StepEvent> {
        let secrets = &self.secrets;
        match &mut event {
            StepEvent::Output { stream, data } => {
                let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
                *data = streams.entry(*stream).or_default().push(secrets, data);
                if data.is_empty() {
                    return None;
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
        Some(event)
    }

    /// What was held back, once nothing more comes.
    #[must_use]
    pub fn release(&self) -> Vec<StepEvent> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams
            .iter_mut()
            .map(|(stream, rest)| (*stream, rest.finish()))
            .filter(|(_, data)| !data.is_empty())
            .map(|(stream, data)| StepEvent::Output { stream, data })
            .collect()
    }

    /// Takes secrets out of all that a report says in free text.
    pub fn report(&self, report: &mut StepReport) {
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
}
