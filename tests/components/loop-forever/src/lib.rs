//! Never ends.

use capstan_sdk::{Action, Context, Failure, Outcome, Value};

struct LoopForever;

impl Action for LoopForever {
    fn start(_: &Context, _: Value) -> Result<Outcome, Failure> {
        let mut number = 0_u64;
        loop {
            number = std::hint::black_box(number.wrapping_add(1));
        }
    }
}

capstan_sdk::action!(LoopForever, "../manifest.json");
