//! What people see.

mod live;
mod plain;

use std::io::IsTerminal as _;
use std::sync::Arc;

use capstan_document::{Diagnostics, Severity};
use capstan_runner::{Observer, RunResult, StepStatus};

pub(crate) use live::{columns, cut, width};

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

/// A text of a plugin's author without what would change how a terminal shows it.
pub(crate) fn shown(text: &str) -> String {
    let hides = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars()
        .map(|c| if hides(c) { '\u{fffd}' } else { c })
        .collect()
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

/// Messages about one file that are printed; the first ones tell what is wrong.
const MAX_MESSAGES: usize = 50;
/// Characters of a line that are printed, around the place that is meant.
const MAX_LINE: usize = 100;

/// The part of a line around a column, and the column in that part; both count from 1.
fn excerpt(line: &str, column: usize) -> (String, usize) {
    let chars: Vec<char> = line.chars().collect();
    // A tab is as wide as the terminal likes, and the mark below it has to stand at its place.
    let plain = |chars: &[char]| -> String {
        chars
            .iter()
            .map(|c| if c.is_control() { ' ' } else { *c })
            .collect()
    };
    if chars.len() <= MAX_LINE {
        return (plain(&chars), column);
    }
    let last = chars.len() - MAX_LINE;
    let from = column.saturating_sub(MAX_LINE / 2).min(last);
    let (before, after) = (
        if from > 0 { "…" } else { "" },
        if from < last { "…" } else { "" },
    );
    let text = plain(&chars[from..from + MAX_LINE]);
    (
        format!("{before}{text}{after}"),
        column - from + before.chars().count(),
    )
}

/// Messages about a file, each with its line.
pub(crate) fn diagnostics(diagnostics: &Diagnostics, source: &str) {
    let lines: Vec<&str> = source.lines().collect();
    // Errors are not lost behind warnings that stand before them.
    let mut errors = diagnostics
        .items
        .iter()
        .filter(|item| item.severity == Severity::Error)
        .count()
        .min(MAX_MESSAGES);
    let mut warnings = MAX_MESSAGES - errors;
    let mut more = 0;
    for item in &diagnostics.items {
        let left = match item.severity {
            Severity::Error => &mut errors,
            Severity::Warning => &mut warnings,
        };
        if *left == 0 {
            more += 1;
            continue;
        }
        *left -= 1;
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
            let (line, column) = excerpt(line, at.column);
            errln!("  | {line}");
            errln!(
                "  | {}{}",
                " ".repeat(column.saturating_sub(1)),
                paint("^", colour)
            );
        }
        if let Some(help) = &item.help {
            errln!("  = help: {help}");
        }
    }
    if more > 0 {
        errln!("{}: and {more} more", diagnostics.origin);
    }
}

/// Whether a last line can be drawn again and again, and stays apart from what is printed.
pub(crate) fn is_live() -> bool {
    std::io::stderr().is_terminal()
        && std::io::stdout().is_terminal()
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// The observer for this terminal.
pub(crate) fn observer(json: bool) -> Arc<dyn Observer> {
    if json {
        Arc::new(plain::Quiet)
    } else if is_live() {
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

#[cfg(test)]
mod tests {
    use super::excerpt;

    #[test]
    fn a_long_line_is_cut_around_its_column() {
        let line: String = ('a'..='z').cycle().take(50_000).collect();
        for column in [1, 30, 60, 25_000, 49_990, 50_000, 50_001] {
            let (text, at) = excerpt(&line, column);
            assert!(text.chars().count() <= 102, "{column}: {text}");
            assert_eq!(
                text.chars().nth(at - 1),
                line.chars().nth(column - 1),
                "{column}"
            );
        }
        assert_eq!(excerpt("a\tb", 3), ("a b".into(), 3));
    }
}
