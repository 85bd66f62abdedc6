//! Calls its host without end.

use capstan_sdk::{Action, Context, Failure, Outcome, Value, step};

struct CallForever;

impl Action for CallForever {
    fn start(_: &Context, _: Value) -> Result<Outcome, Failure> {
        while !step::cancelled() {}
        Ok(Outcome::success())
    }
}

capstan_sdk::action!(CallForever, "../manifest.json");
