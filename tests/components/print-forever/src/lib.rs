//! Prints without end.

use capstan_sdk::{Action, Context, Failure, Outcome, Value, step};

struct PrintForever;

impl Action for PrintForever {
    fn start(_: &Context, _: Value) -> Result<Outcome, Failure> {
        loop {
            step::print("and again\n");
        }
    }
}

capstan_sdk::action!(PrintForever, "../manifest.json");
