//! What a step tells while it runs.

use capstan_runtime::{OutputStream, StepEvent};

use crate::report::{LogLine, Progress};

/// What a step told while it ran.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) log: Vec<LogLine>,
    pub(crate) progress: Vec<Progress>,
}

impl Told {
    pub(crate) fn take(&mut self, event: StepEvent) {
        match event {
            StepEvent::Output { stream, data } => match stream {
                OutputStream::Stdout => self.stdout.extend(data),
                OutputStream::Stderr => self.stderr.extend(data),
            },
            StepEvent::Progress { done, total, note } => {
                self.progress.push(Progress { done, total, note });
            }
            StepEvent::Log {
                level,
                message,
                fields,
            } => self.log.push(LogLine {
                level,
                message,
                fields: fields.map(|text| serde_json::from_str(&text).unwrap_or(text.into())),
            }),
        }
    }
}
