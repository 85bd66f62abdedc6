//! Waits for a number of seconds or for the signal `continue`.

use std::time::{Duration, SystemTime};

use capstan_sdk::{Context, Event, Failure, Step, action, step};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Inputs {
    #[serde(default = "one")]
    seconds: f64,
}

fn one() -> f64 {
    1.0
}

#[derive(Serialize, Deserialize)]
struct Waiting {
    note: String,
}

#[action(manifest = "../manifest.json", resume = resume)]
fn wait(inputs: Inputs) -> Result<Step<Waiting>, Failure> {
    let seconds = inputs.seconds;
    step::print("waiting\n");
    Ok(Step::wait_for_until(
        ["continue"],
        SystemTime::now() + Duration::from_secs_f64(seconds),
        Waiting {
            note: "here I was".to_owned(),
        },
        format!("waiting for {seconds} s or the signal continue"),
    ))
}

fn resume(_: &Context, state: Waiting, event: Event) -> Result<Step<Waiting>, Failure> {
    let why = match event {
        Event::Timer => "timer".to_owned(),
        Event::Signal(signal) => signal.name,
        _ => "another event".to_owned(),
    };
    step::print(&format!("resumed by {why}, state: {}\n", state.note));
    Ok(Step::Done(()))
}
