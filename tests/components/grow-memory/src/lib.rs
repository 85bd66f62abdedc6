//! Takes memory without end.

use capstan_sdk::{Action, Context, Failure, Outcome, Value};

struct GrowMemory;

impl Action for GrowMemory {
    fn start(_: &Context, _: Value) -> Result<Outcome, Failure> {
        let mut all: Vec<Vec<u8>> = Vec::new();
        loop {
            all.push(std::hint::black_box(vec![1; 1 << 20]));
        }
    }
}

capstan_sdk::action!(GrowMemory, "../manifest.json");
