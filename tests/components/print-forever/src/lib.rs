//! Prints without end.

use capstan_sdk::{Failure, action, step};

#[action(manifest = "../manifest.json")]
fn print() -> Result<(), Failure> {
    loop {
        step::print("and again\n");
    }
}
