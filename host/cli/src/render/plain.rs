//! Plain lines: what steps print goes where it was printed to, remarks go to standard error.

use std::io::Write as _;

use capstan_runner::{Observer, StepResult};
use capstan_runtime::{LogLevel, OutputStream};

/// For pipes and files.
#[derive(Debug)]
pub(crate) struct Plain;

/// For `--output json`: only what somebody must know while it happens.
#[derive(Debug)]
pub(crate) struct Quiet;

pub(crate) fn write(stream: OutputStream, data: &[u8]) {
    // Nobody reads any more: the run goes on.
    let _ = match stream {
        OutputStream::Stdout => std::io::stdout()
            .write_all(data)
            .and_then(|()| std::io::stdout().flush()),
        OutputStream::Stderr => std::io::stderr().write_all(data),
    };
}

/// A line in one piece: standard error is not buffered.
fn remark(line: &str) {
    write(OutputStream::Stderr, format!("{line}\n").as_bytes());
}

pub(crate) fn finished(result: &StepResult) -> String {
    let mut text = format!(
        "{} {} in {:.1} ms",
        result.name, result.status_detail, result.wall_millis
    );
    if result.exit_code != 0 {
        text.push_str(&format!(", exit code {}", result.exit_code));
    }
    text
}

impl Observer for Plain {
    fn step_started(&self, _: usize, name: &str, action: &str) {
        remark(&format!("==> {name} ({action})"));
    }

    fn output(&self, _: usize, stream: OutputStream, data: &[u8]) {
        write(stream, data);
    }

    fn progress(&self, _: usize, done: u64, total: Option<u64>, note: &str) {
        let total = total.map_or_else(String::new, |total| format!("/{total}"));
        remark(&format!("    {done}{total} {note}"));
    }

    fn log(&self, _: usize, level: LogLevel, message: &str) {
        if level >= LogLevel::Info {
            remark(&format!("    {message}"));
        }
    }

    fn waiting(&self, _: usize, name: &str, reason: &str) {
        remark(&format!("--- {name} waiting: {reason}"));
    }

    fn step_finished(&self, _: usize, result: &StepResult) {
        remark(&format!("<== {}", finished(result)));
    }
}

impl Observer for Quiet {
    fn run_started(&self, run_id: &str, document: &str, _: &[String]) {
        remark(&format!("run {run_id} of {document}"));
    }

    fn waiting(&self, _: usize, name: &str, reason: &str) {
        remark(&format!("{name} waiting: {reason}"));
    }
}
