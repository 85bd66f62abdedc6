//! Does nothing but read and write a little JSON.

use capstan_sdk::{Action, Context, Failure, Outcome, Status, Value, json};

struct NoOp;

impl Action for NoOp {
    fn start(_: &Context, inputs: Value) -> Result<Outcome, Failure> {
        Ok(Outcome::Done {
            status: Status::Success,
            exit_code: 0,
            outputs: Some(json!({ "inputs": inputs })),
        })
    }
}

capstan_sdk::action!(NoOp, "../manifest.json");
