//! A terminal: output as it comes, and a last line with the step, its time and how far it is.

use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use capstan_runner::{Observer, RunResult, StepResult};
use capstan_runtime::{LogLevel, OutputStream};

use super::plain::{finished, write};
use super::{BOLD, YELLOW, colour_of, paint};

const REFRESH: Duration = Duration::from_millis(100);
const FRAMES: &[&str] = &["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
/// Of a terminal that does not say how wide it is.
const WIDTH: usize = 80;

#[derive(Debug, Default)]
pub(crate) struct Live {
    current: Arc<Mutex<Current>>,
}

#[derive(Debug, Default)]
struct Current {
    /// What runs, since when.
    step: Option<(String, Instant)>,
    note: String,
    /// The output ended in the middle of a line.
    broken: bool,
    frame: usize,
    ticking: bool,
}

impl Current {
    fn clear(&self) {
        if !self.broken {
            err!("\r\x1b[2K");
        }
    }

    fn draw(&self) {
        if let (Some((name, since)), false) = (&self.step, self.broken) {
            let frame = paint(FRAMES[self.frame % FRAMES.len()], YELLOW);
            // A line that wraps would leave its first half behind. The frame and a space come before.
            let room = width().saturating_sub(2);
            let name = cut(name, room);
            let time = format!(" {:.1} s  {}", since.elapsed().as_secs_f64(), self.note);
            let rest = cut(&time, room - columns(&name));
            err!("\r\x1b[2K{frame} {}{rest}", paint(&name, BOLD));
            let _ = std::io::stderr().flush();
        }
    }
}

impl Live {
    fn with(&self, change: impl FnOnce(&mut Current)) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.clear();
        change(&mut current);
        current.draw();
    }

    fn tick(&self) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut current.ticking, true) {
            return;
        }
        let shared = Arc::downgrade(&self.current);
        std::thread::spawn(move || {
            while let Some(current) = shared.upgrade() {
                let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
                current.frame += 1;
                current.draw();
                drop(current);
                std::thread::sleep(REFRESH);
            }
        });
    }
}

/// Columns of the terminal that may be written to: after the last one it would wrap.
pub(crate) fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stderr());
    let columns = size.map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { WIDTH - 1 } else { columns - 1 }
}

/// Columns that a character takes, at most: what is not of the alphabets that are narrow counts as wide.
fn column(c: char) -> usize {
    match u32::from(c) {
        0..0x1100 | 0x2000..0x2300 | 0x2500..0x2600 | 0x2800..0x2900 => 1,
        _ => 2,
    }
}

pub(crate) fn columns(text: &str) -> usize {
    text.chars().map(column).sum()
}

/// The beginning of a text that fits, without what would move the cursor.
pub(crate) fn cut(text: &str, room: usize) -> String {
    let mut used = 0;
    text.chars()
        .filter(|c| !c.is_control())
        .take_while(|c| {
            used += column(*c);
            used <= room
        })
        .collect()
}

impl Observer for Live {
    fn step_started(&self, _: usize, name: &str, action: &str) {
        self.tick();
        self.with(|current| {
            errln!("{} ({action})", paint(name, BOLD));
            current.step = Some((name.to_owned(), Instant::now()));
            current.note.clear();
        });
    }

    fn output(&self, _: usize, stream: OutputStream, data: &[u8]) {
        self.with(|current| {
            write(stream, data);
            current.broken = data.last().is_some_and(|byte| *byte != b'\n');
            if let Some(line) = String::from_utf8_lossy(data)
                .lines()
                .rev()
                .find(|line| !line.trim().is_empty())
            {
                line.clone_into(&mut current.note);
            }
        });
    }

    fn progress(&self, _: usize, done: u64, total: Option<u64>, note: &str) {
        let total = total.map_or_else(String::new, |total| format!("/{total}"));
        self.with(|current| current.note = format!("{done}{total} {note}"));
    }

    fn log(&self, _: usize, level: LogLevel, message: &str) {
        if level >= LogLevel::Info {
            self.with(|_| errln!("  {message}"));
        }
    }

    fn waiting(&self, _: usize, name: &str, reason: &str) {
        self.with(|current| {
            errln!("{} waiting: {reason}", paint(name, BOLD));
            current.note = "waiting".into();
        });
    }

    fn step_finished(&self, _: usize, result: &StepResult) {
        self.with(|current| {
            if std::mem::take(&mut current.broken) {
                errln!();
            }
            current.step = None;
            errln!("{}", paint(&finished(result), colour_of(result.status)));
        });
    }

    fn run_finished(&self, _: &RunResult) {
        self.with(|current| current.step = None);
    }
}

#[cfg(test)]
mod tests {
    use super::{columns, cut};

    #[test]
    fn a_line_is_cut_to_its_columns() {
        for (text, room, expected) in [
            ("abc", 5, "abc"),
            ("abcdef", 3, "abc"),
            ("日本語", 5, "日本"),
            ("a\x1b[2Jb\tc", 80, "a[2Jbc"),
            ("é→x", 3, "é→x"),
            ("🎉🎉", 3, "🎉"),
            ("x", 0, ""),
        ] {
            let found = cut(text, room);
            assert_eq!(found, expected, "{text} {room}");
            assert!(columns(&found) <= room);
        }
    }
}
