//! Does nothing but read and write a little JSON.

use capstan_sdk::{Failure, Value, action, json};

#[action(manifest = "../manifest.json")]
fn nothing(inputs: Value) -> Result<Value, Failure> {
    Ok(json!({ "inputs": inputs }))
}
