//! `aws:runShellScript`.

use capstan_sdk::{Action, Context, Event, Failure, Outcome, Value};

mod script;

struct RunShellScript;

impl Action for RunShellScript {
    fn start(context: &Context, inputs: Value) -> Result<Outcome, Failure> {
        script::run(context, &inputs)
    }

    // After a restart the same script runs again from its beginning, as it does with SSM's own agent.
    fn resume(context: &Context, state: Vec<u8>, _: Event) -> Result<Outcome, Failure> {
        let inputs = capstan_sdk::serde_json::from_slice(&state).map_err(|error| {
            Failure::failed(format!(
                "the state of the suspended script is damaged: {error}"
            ))
        })?;
        script::run(context, &inputs)
    }
}

capstan_sdk::action!(RunShellScript, "../manifest.json");
