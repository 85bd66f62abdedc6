//! The action {{action}}.

use capstan_sdk::{Context, Failure, action, files, step};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a document gives to the step.
#[derive(Deserialize, JsonSchema)]
struct Inputs {
    /// Where the greeting goes. What was there is replaced.
    file: String,
    /// Whom to greet.
    #[serde(default = "world")]
    name: String,
}

fn world() -> String {
    "world".to_owned()
}

/// What the result of the step holds.
#[derive(Serialize)]
struct Outputs {
    path: String,
    length: usize,
}

/// Writes a greeting into a file.
#[action("{{action}}")]
#[files("${inputs.file}", access = ["read-write"], reason = "puts the greeting there")]
fn greet(_: &Context, inputs: Inputs) -> Result<Outputs, Failure> {
    let text = greeting(&inputs.name)?;
    files::write(&inputs.file, 0o644, text.as_bytes())?;
    step::log_with(
        step::Level::Info,
        "greeted",
        &capstan_sdk::json!({ "name": inputs.name }),
    );
    print!("{text}");
    Ok(Outputs {
        path: inputs.file,
        length: text.len(),
    })
}

fn greeting(name: &str) -> Result<String, Failure> {
    if name.trim().is_empty() {
        return Err(Failure::invalid("name is empty; say whom to greet"));
    }
    Ok(format!("hello {name}\n"))
}

#[cfg(test)]
mod tests {
    use super::greeting;

    #[test]
    fn somebody_is_greeted() {
        assert_eq!(greeting("Ada").unwrap(), "hello Ada\n");
        assert!(greeting(" ").unwrap_err().message.contains("whom to greet"));
    }
}
