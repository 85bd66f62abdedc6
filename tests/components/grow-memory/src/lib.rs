//! Takes memory without end.

use capstan_sdk::{Failure, action};

#[action(manifest = "../manifest.json")]
fn grow() -> Result<(), Failure> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    loop {
        all.push(std::hint::black_box(vec![1; 1 << 20]));
    }
}
