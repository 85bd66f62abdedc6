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
/// Text of a last line that is cut to what most terminals have.
const WIDTH: usize = 60;

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
            err!(
                "\r\x1b[2K{frame} {} {:.1} s  {}",
                paint(name, BOLD),
                since.elapsed().as_secs_f64(),
                self.note
            );
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

fn cut(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(WIDTH)
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
                current.note = cut(line);
            }
        });
    }

    fn progress(&self, _: usize, done: u64, total: Option<u64>, note: &str) {
        let total = total.map_or_else(String::new, |total| format!("/{total}"));
        self.with(|current| current.note = cut(&format!("{done}{total} {note}")));
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
