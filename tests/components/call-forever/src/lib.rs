//! Calls its host without end.

use capstan_sdk::{Failure, action, step};

#[action(manifest = "../manifest.json")]
fn call() -> Result<(), Failure> {
    while !step::cancelled() {}
    Ok(())
}
