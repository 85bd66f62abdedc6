//! The actions that only exist on Windows. The runner skips or fails such steps by the platforms of the manifest;
//! this is what is left if it does not.

use capstan_sdk::{Context, Failure, action};

#[action(manifest = "../manifest.json")]
fn refuse(context: &Context) -> Result<(), Failure> {
    Err(Failure::failed(format!(
        "{} works on Windows only; give the step a precondition on platformType",
        context.action
    )))
}
