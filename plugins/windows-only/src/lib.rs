//! The actions that only exist on Windows. The runner skips or fails such steps by the platforms of the manifest;
//! this is what is left if it does not.

use capstan_sdk::{Action, Context, Failure, Outcome, Value};

struct WindowsOnly;

impl Action for WindowsOnly {
    fn start(context: &Context, _: Value) -> Result<Outcome, Failure> {
        Err(Failure::failed(format!(
            "{} works on Windows only; give the step a precondition on platformType",
            context.action
        )))
    }
}

capstan_sdk::action!(WindowsOnly, "../manifest.json");
