//! Calls itself without end.

use capstan_sdk::{Action, Context, Failure, Outcome, Value};

struct RecurseForever;

#[allow(unconditional_recursion, reason = "what it is for")]
fn deeper(depth: u64) -> u64 {
    std::hint::black_box(deeper(std::hint::black_box(depth + 1)) + 1)
}

impl Action for RecurseForever {
    fn start(_: &Context, _: Value) -> Result<Outcome, Failure> {
        Ok(Outcome::done(
            capstan_sdk::Status::Success,
            i32::from(deeper(0) == 7),
        ))
    }
}

capstan_sdk::action!(RecurseForever, "../manifest.json");
