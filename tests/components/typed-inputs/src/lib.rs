//! An action as the SDK's guide has it: its manifest comes from its code.

use capstan_sdk::{Context, Failure, action};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Greet {
    /// Whom to greet.
    names: Vec<String>,
    /// How often.
    #[serde(default = "once")]
    times: u8,
    tone: Option<Tone>,
    signed_by: Option<String>,
    #[serde(default)]
    panics: bool,
}

#[derive(Deserialize, JsonSchema)]
enum Tone {
    Warm,
    Cool,
}

fn once() -> u8 {
    1
}

#[derive(Serialize)]
struct Greeted {
    greeted: usize,
    variables: usize,
}

/// Greets people
/// as often as it is told.
///
/// What operators do not read.
#[action("test:typed-inputs", "test:other-name", version = "1.2.3")]
#[platforms("Linux", "MacOS")]
#[limits(fuel = 10_000_000)]
fn greet(context: &Context, inputs: Greet) -> Result<Greeted, Failure> {
    let mark = match inputs.tone {
        Some(Tone::Warm) => "!",
        Some(Tone::Cool) | None => ".",
    };
    for name in &inputs.names {
        for _ in 0..inputs.times {
            println!("{}: hello {name}{mark}", context.action);
        }
    }
    if let Some(name) = inputs.signed_by {
        println!("{name}");
    }
    assert!(!inputs.panics, "as it was asked to");
    Ok(Greeted {
        greeted: inputs.names.len(),
        variables: usize::from(std::env::var("PATH").is_ok()),
    })
}
