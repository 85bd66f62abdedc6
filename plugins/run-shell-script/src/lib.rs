//! `aws:runShellScript`.

use capstan_sdk::{Context, Event, Failure, Outcome, Step, Value, action, inputs};

use script::Inputs;

mod script;

#[action(manifest = "../manifest.json", resume = again)]
fn run(context: &Context, inputs: Inputs) -> Result<Step<Inputs, Outcome>, Failure> {
    script::run(context, inputs)
}

// After a restart the same script runs again from its beginning, as it does with SSM's own agent.
fn again(context: &Context, state: Value, _: Event) -> Result<Step<Inputs, Outcome>, Failure> {
    script::run(context, inputs::typed(&state)?)
}
