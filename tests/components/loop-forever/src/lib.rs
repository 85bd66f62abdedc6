//! Never ends.

use capstan_sdk::{Failure, action};

#[action(manifest = "../manifest.json")]
fn turn() -> Result<(), Failure> {
    let mut number = 0_u64;
    loop {
        number = std::hint::black_box(number.wrapping_add(1));
    }
}
