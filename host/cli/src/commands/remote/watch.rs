//! Watching a command until it ends.

use std::collections::{BTreeMap, HashSet};
use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::Result;
use capstan_client::ClientError;
use serde_json::Value;

use super::client::{Remote, items};
use super::command::whole;
use super::table::{number, text};
use crate::arguments::Output;
use crate::exit::Exit;
use crate::render::{self, GREEN, RED, YELLOW, paint, shown};

/// How often the server is asked at first.
const FIRST: Duration = Duration::from_secs(1);
/// And at last: whoever waits for hours does not see the difference.
const LAST: Duration = Duration::from_secs(10);
/// How long a server that does not answer any more is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// Watches a command until it ends, and says how it did.
pub(super) async fn watch(remote: &Remote, id: &str) -> Result<Exit> {
    let mut view = View::new(remote.output);
    tokio::select! {
        ended = follow(remote, id, &mut view) => {
            let answer = ended?;
            if remote.output == Output::Json {
                outln!("{answer:#}");
            }
            let command = items(&answer, "Commands").first().unwrap_or(&Value::Null);
            if text(command, "StatusDetails") == "NoInstancesInTag" {
                render::warning(&format!(
                    "the command {id} ran nowhere: its targets match no node (`capstan node list --tag KEY=VALUE` shows which do)"
                ));
            }
            Ok(outcome(&text(command, "Status"), &text(command, "StatusDetails")))
        }
        _ = tokio::signal::ctrl_c() => {
            // What is drawn there has to go first.
            if render::is_live() {
                err!("\r\x1b[2K");
            }
            render::note(&format!("the command goes on; `capstan command watch {id}` watches it again, `capstan command cancel {id}` ends it"));
            Ok(Exit::Cancelled)
        }
    }
}

/// How a command ended, as an exit code.
fn outcome(status: &str, details: &str) -> Exit {
    match (status, details) {
        // Nothing was done, and whoever waited for it wants to know.
        (_, "NoInstancesInTag") => Exit::Failure,
        ("Success", _) => Exit::Success,
        ("Cancelled", _) => Exit::Cancelled,
        _ => Exit::Failure,
    }
}

fn is_over(status: &str) -> bool {
    !matches!(
        status,
        "Pending" | "Delayed" | "InProgress" | "Cancelling" | ""
    )
}

/// Once a second at first, then less often the longer it lasts; and a server that needs long for its answer
/// is left alone for longer.
fn pause(lasts: Duration, answer: Duration) -> Duration {
    (lasts / 30).clamp(FIRST, LAST).max(answer * 4)
}

/// Asks until the command is over; its last answer.
async fn follow(remote: &Remote, id: &str, view: &mut View) -> Result<Value> {
    let began = Instant::now();
    let mut silent: Option<Instant> = None;
    loop {
        let asked = Instant::now();
        match whole(remote, id).await {
            Ok(answer) => {
                silent = None;
                view.show(&answer);
                let command = items(&answer, "Commands").first();
                if command.is_none_or(|command| is_over(&text(command, "Status"))) {
                    view.end(&answer);
                    return Ok(answer);
                }
            }
            // A server that is started anew is waited for, unless it never was there.
            Err(error) => {
                let is_transient = error
                    .downcast_ref::<ClientError>()
                    .is_some_and(ClientError::is_transient);
                let waited = silent.is_some_and(|since| since.elapsed() > PATIENCE);
                if !is_transient || waited || !view.has_begun {
                    view.clear();
                    return Err(error);
                }
                if silent.is_none() {
                    view.clear();
                    render::warning(&format!("{error:#}; trying again"));
                    silent = Some(Instant::now());
                }
            }
        }
        tokio::time::sleep(pause(began.elapsed(), asked.elapsed())).await;
    }
}

/// What is seen of the progress: nodes that ended a line each, and how far the fleet is. On a terminal that is the last
/// line, which is drawn anew; elsewhere it is a line whenever it changes.
#[derive(Debug)]
struct View {
    output: Output,
    is_live: bool,
    has_begun: bool,
    ended: HashSet<String>,
    last: String,
}

impl View {
    fn new(output: Output) -> Self {
        Self {
            output,
            is_live: output == Output::Text && render::is_live(),
            has_begun: false,
            ended: HashSet::new(),
            last: String::new(),
        }
    }

    fn clear(&self) {
        if self.is_live {
            err!("\r\x1b[2K");
        }
    }

    fn show(&mut self, answer: &Value) {
        self.has_begun = true;
        if self.output == Output::Json {
            return;
        }
        self.clear();
        for invocation in items(answer, "CommandInvocations") {
            let node = text(invocation, "InstanceId");
            if is_over(&text(invocation, "Status")) && self.ended.insert(node) {
                outln!("{}", self.painted(invocation, &node_line(invocation)));
            }
        }
        let line = progress(answer);
        if self.is_live {
            err!("{}", render::cut(&line, render::width()));
            let _ = std::io::stderr().flush();
        } else if line != self.last && !is_finished(answer) {
            outln!("{line}");
        }
        self.last = line;
    }

    fn end(&self, answer: &Value) {
        if self.output == Output::Json {
            return;
        }
        self.clear();
        if let Some(command) = items(answer, "Commands").first() {
            outln!("{}", self.painted(command, &progress(answer)));
        }
    }

    /// In the colour of its status.
    fn painted(&self, of: &Value, line: &str) -> String {
        let colour = match text(of, "Status").as_str() {
            "Success" => GREEN,
            "Cancelled" => YELLOW,
            _ => RED,
        };
        match self.is_live {
            true => paint(line, colour),
            false => line.to_owned(),
        }
    }
}

fn is_finished(answer: &Value) -> bool {
    items(answer, "Commands")
        .iter()
        .all(|command| is_over(&text(command, "Status")))
}

/// A node that ended.
fn node_line(invocation: &Value) -> String {
    let mut line = format!(
        "{}  {}",
        text(invocation, "InstanceId"),
        text(invocation, "StatusDetails")
    );
    for member in ["InstanceName", "TraceOutput"] {
        let words = text(invocation, member);
        if !words.is_empty() {
            line.push_str("  ");
            line.push_str(words.lines().next().unwrap_or_default());
        }
    }
    shown(&line)
}

/// `InProgress: 2 of 5 nodes  Success 2, InProgress 3`.
fn progress(answer: &Value) -> String {
    let command = items(answer, "Commands").first().unwrap_or(&Value::Null);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for invocation in items(answer, "CommandInvocations") {
        *counts.entry(text(invocation, "StatusDetails")).or_default() += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(status, count)| format!("{status} {count}"))
        .collect();
    let line = format!(
        "{}: {} of {} nodes  {}",
        text(command, "StatusDetails"),
        number(command, "CompletedCount"),
        number(command, "TargetCount"),
        counts.join(", ")
    );
    shown(line.trim_end())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::{Exit, outcome, pause, progress};

    #[test]
    fn a_command_ends_the_program_as_it_ended() {
        for (status, details, expected) in [
            ("Success", "Success", Exit::Success),
            ("Success", "NoInstancesInTag", Exit::Failure),
            ("Failed", "Incomplete", Exit::Failure),
            ("TimedOut", "DeliveryTimedOut", Exit::Failure),
            ("Cancelled", "Cancelled", Exit::Cancelled),
        ] {
            assert_eq!(outcome(status, details), expected, "{details}");
        }
    }

    #[test]
    fn what_lasts_is_asked_for_less_often() {
        for (lasts, answer, expected) in [
            (0, 0, 1_000),
            (20, 0, 1_000),
            (90, 0, 3_000),
            (9_000, 0, 10_000),
            (0, 2_000, 8_000),
        ] {
            let found = pause(Duration::from_secs(lasts), Duration::from_millis(answer));
            assert_eq!(found, Duration::from_millis(expected), "{lasts} {answer}");
        }
    }

    #[test]
    fn progress_counts_the_nodes_by_status() {
        let node = |status| json!({ "StatusDetails": status });
        let command =
            json!({ "StatusDetails": "InProgress", "CompletedCount": 1, "TargetCount": 3 });
        let nodes = [node("Success"), node("InProgress"), node("InProgress")];
        assert_eq!(
            progress(&json!({ "Commands": [command], "CommandInvocations": nodes })),
            "InProgress: 1 of 3 nodes  InProgress 2, Success 1"
        );
    }
}
