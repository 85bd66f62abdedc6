//! Telling how a command gets on, while it does. What does not get through is not repeated: the next report has it.

use std::collections::HashMap;
use std::time::Duration;

use crate::api::Api;
use crate::backoff::{Backoff, pause};
use crate::executor::{Report, Status, StepReport};
use crate::message::Command;
use crate::progress::Progress;
use crate::reply;

/// How much sooner than later what a step prints is told at first: most commands are short.
const SOONER: u32 = 10;

/// Reports until it is dropped: at once that the command is here, then each step that ends, and what a step prints
/// from time to time, in the end once in this time.
pub(crate) async fn run(api: &Api, command: &Command, progress: &Progress, every: Duration) {
    let mut told: HashMap<String, StepReport> = HashMap::new();
    let mut backoff = Backoff::default();
    let mut first = true;
    let mut wait = every / SOONER;
    loop {
        if !first && !progress.changed().await {
            tokio::select! {
                biased;
                () = pause(&*api.clock, wait) => wait = (wait * 2).min(every),
                () = progress.urgent() => {}
            }
        }
        let steps = progress.take();
        let mut keys: Vec<&str> = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            if told.get(&place(index, step)) != Some(step) {
                keys.push(&step.key);
            }
        }
        if !std::mem::take(&mut first) && keys.is_empty() {
            continue;
        }
        // All that are reported as one are told together.
        let news: Vec<StepReport> = steps
            .iter()
            .filter(|step| keys.contains(&step.key.as_str()))
            .cloned()
            .collect();
        let report = Report {
            status: Status::InProgress,
            trace: String::new(),
            steps: news,
        };
        let payload = reply::payload(&report, &command.id, api.clock.now());
        match api.reply(&command.message_id, &payload).await {
            Ok(()) => {
                backoff.reset();
                told = steps
                    .into_iter()
                    .enumerate()
                    .map(|(index, step)| (place(index, &step), step))
                    .collect();
            }
            Err(error) => {
                tracing::debug!(command = command.id, %error, "a report did not get through");
                pause(&*api.clock, backoff.next(&api.chance)).await;
                // Whatever it was, it is told with what comes next, or now.
                first = progress.is_quiet();
            }
        }
    }
}

fn place(index: usize, step: &StepReport) -> String {
    format!("{index} {}", step.key)
}
