//! Calls itself without end.

use capstan_sdk::{Failure, Outcome, Status, action};

#[allow(unconditional_recursion, reason = "what it is for")]
fn deeper(depth: u64) -> u64 {
    std::hint::black_box(deeper(std::hint::black_box(depth + 1)) + 1)
}

#[action(manifest = "../manifest.json")]
fn recurse() -> Result<Outcome, Failure> {
    Ok(Outcome::done(Status::Success, i32::from(deeper(0) == 7)))
}
