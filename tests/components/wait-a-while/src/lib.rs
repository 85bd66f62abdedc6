//! Waits for a number of seconds or for the signal `continue`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use capstan_sdk::{Action, Context, Event, Failure, Outcome, Value, Wake, input, step};

struct WaitAWhile;

impl Action for WaitAWhile {
    fn start(_: &Context, inputs: Value) -> Result<Outcome, Failure> {
        let seconds = input(&inputs, "seconds")
            .and_then(Value::as_f64)
            .unwrap_or(1.0);
        let at = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            + Duration::from_secs_f64(seconds);
        step::print("waiting\n");
        Ok(Outcome::Suspended {
            state: b"here I was".to_vec(),
            wake: Wake::Either((
                u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
                vec!["continue".to_owned()],
            )),
            reason: format!("waiting for {seconds} s or the signal continue"),
        })
    }

    fn resume(_: &Context, state: Vec<u8>, event: Event) -> Result<Outcome, Failure> {
        let why = match event {
            Event::Timer => "timer".to_owned(),
            Event::Signal(signal) => signal.name,
            _ => "another event".to_owned(),
        };
        step::print(&format!(
            "resumed by {why}, state: {}\n",
            String::from_utf8_lossy(&state)
        ));
        Ok(Outcome::success())
    }
}

capstan_sdk::action!(WaitAWhile, "../manifest.json");
