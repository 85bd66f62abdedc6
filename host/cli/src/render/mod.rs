//! What people see.

mod live;
mod plain;

use std::io::IsTerminal as _;
use std::sync::Arc;

use capstan_document::{Diagnostics, Severity};
use capstan_runner::{Observer, RunResult, StepStatus};

/// Whether standard error takes colours.
pub(crate) fn coloured() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    std::io::stderr().is_terminal()
        && !set("NO_COLOR")
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// A text in a colour, by its number in ANSI's table.
pub(crate) fn paint(text: &str, colour: u8) -> String {
    if coloured() {
        format!("\x1b[{colour}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

pub(crate) const RED: u8 = 31;
pub(crate) const GREEN: u8 = 32;
pub(crate) const YELLOW: u8 = 33;
pub(crate) const BOLD: u8 = 1;

pub(crate) fn colour_of(status: StepStatus) -> u8 {
    match status {
        StepStatus::Success => GREEN,
        StepStatus::Failed | StepStatus::TimedOut => RED,
        _ => YELLOW,
    }
}

/// An error, as the last thing.
pub(crate) fn error(error: &anyhow::Error) {
    if let Some(problems) = error.downcast_ref::<Diagnostics>() {
        errln!("{problems}");
        return;
    }
    if let Some(capstan_runner::RunnerError::Document(problems)) = error.downcast_ref() {
        errln!("{problems}");
        return;
    }
    errln!("{} {error:#}", paint("error:", RED));
}

/// A warning that is not to be overlooked.
pub(crate) fn warning(text: &str) {
    errln!("{} {text}", paint("warning:", YELLOW));
}

/// A remark.
pub(crate) fn note(text: &str) {
    errln!("{} {text}", paint("note:", BOLD));
}

/// Messages about a file, each with its line.
pub(crate) fn diagnostics(diagnostics: &Diagnostics, source: &str) {
    let lines: Vec<&str> = source.lines().collect();
    for item in &diagnostics.items {
        let (word, colour) = match item.severity {
            Severity::Error => ("error", RED),
            Severity::Warning => ("warning", YELLOW),
        };
        let place = item
            .position
            .map_or_else(String::new, |at| format!(":{}:{}", at.line, at.column));
        errln!(
            "{}{place}: {}: {}",
            diagnostics.origin,
            paint(&format!("{word}[{}]", item.code), colour),
            item.message
        );
        if let Some((at, line)) = item
            .position
            .and_then(|at| Some((at, lines.get(at.line - 1)?)))
        {
            errln!("  | {line}");
            errln!("  | {}{}", " ".repeat(at.column - 1), paint("^", colour));
        }
        if let Some(help) = &item.help {
            errln!("  = help: {help}");
        }
    }
}

/// The observer for this terminal.
pub(crate) fn observer(json: bool) -> Arc<dyn Observer> {
    if json {
        Arc::new(plain::Quiet)
    } else if std::io::stderr().is_terminal() && std::io::stdout().is_terminal() {
        Arc::new(live::Live::default())
    } else {
        Arc::new(plain::Plain)
    }
}

/// The last words about a run.
pub(crate) fn summary(result: &RunResult) {
    for step in result
        .steps
        .iter()
        .filter(|step| !step.message.is_empty() && step.status != StepStatus::Skipped)
    {
        if !step.backtrace.is_empty() {
            errln!("{}: the component was here:", step.name);
            step.backtrace
                .iter()
                .for_each(|frame| errln!("    {frame}"));
        }
    }
    for step in &result.steps {
        for denial in &step.denials {
            errln!(
                "{}: refused {}: {}; a policy grants it with  {}",
                step.name,
                denial.capability,
                denial.target,
                denial.hint
            );
        }
    }
    let status = paint(&format!("{:?}", result.status), colour_of(result.status));
    errln!(
        "{status} {} ({} steps), outputs in {}",
        result.document,
        result.steps.len(),
        result.output_directory
    );
    if result.reboot_required {
        errln!(
            "restart this machine, then: capstan run --resume {}",
            result.run_id
        );
    }
}
