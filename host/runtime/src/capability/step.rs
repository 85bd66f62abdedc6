//! `capstan:host/step`.

use crate::bindings::capstan::host::step::{Host, Level};
use crate::bindings::capstan::host::types::OutputStream as WitStream;
use crate::runtime::StepState;
use crate::step::{LogLevel, OutputStream, StepEvent};

/// Longer messages are cut: the record is for people.
const MAX_MESSAGE: usize = 16 << 10;

fn cut(mut text: String) -> String {
    if text.len() > MAX_MESSAGE {
        let end = (0..=MAX_MESSAGE)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

impl Host for StepState {
    async fn write(&mut self, to: WitStream, data: Vec<u8>) -> wasmtime::Result<()> {
        self.shared.charge_bytes(data.len());
        let stream = match to {
            WitStream::Stdout => OutputStream::Stdout,
            WitStream::Stderr => OutputStream::Stderr,
        };
        self.shared.output(stream, &data);
        Ok(())
    }

    async fn progress(
        &mut self,
        done: u64,
        total: Option<u64>,
        note: String,
    ) -> wasmtime::Result<()> {
        self.shared.charge_bytes(note.len());
        (self.shared.events)(StepEvent::Progress {
            done,
            total,
            note: cut(note),
        });
        Ok(())
    }

    async fn log(
        &mut self,
        level: Level,
        message: String,
        fields: Option<String>,
    ) -> wasmtime::Result<()> {
        self.shared.charge_bytes(message.len());
        let level = match level {
            Level::Trace => LogLevel::Trace,
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        (self.shared.events)(StepEvent::Log {
            level,
            message: cut(message),
            fields: fields.map(cut),
        });
        Ok(())
    }

    async fn cancelled(&mut self) -> wasmtime::Result<bool> {
        Ok(self.shared.is_cancelled())
    }
}
