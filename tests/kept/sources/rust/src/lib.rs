//! A component that is kept to be run by later hosts: it uses a little of everything.

use capstan_sdk::process::Command;
use capstan_sdk::{Context, Event, Failure, Step, action, files, parameters, step};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a document gives to the step.
#[derive(Deserialize, JsonSchema)]
struct Inputs {
    /// A file to read.
    file: Option<String>,
    /// A word for `echo`.
    word: Option<String>,
    /// The name of a parameter.
    parameter: Option<String>,
    /// Whether it waits for the signal `go`.
    #[serde(default)]
    wait: bool,
}

#[derive(Serialize)]
struct Outputs {
    said: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Waiting {
    said: Vec<String>,
}

/// Uses a little of everything.
#[action("kept:rust", resume = again)]
#[files("${inputs.file}", access = ["read"], reason = "reads it", optional)]
#[program("echo", paths = ["/bin/echo", "/usr/bin/echo"], arguments = ["{word}"], reason = "says it", optional)]
#[parameter("${inputs.parameter}", reason = "tells it", optional)]
fn kept(_: &Context, inputs: Inputs) -> Result<Step<Waiting, Outputs>, Failure> {
    let mut said = Vec::new();
    if let Some(file) = inputs.file {
        said.push(files::read_to_string(&file)?);
    }
    if let Some(word) = inputs.word {
        said.push(
            Command::new("echo")
                .arg(word)
                .output()?
                .success()?
                .text()?
                .to_owned(),
        );
    }
    if let Some(name) = inputs.parameter {
        said.push(parameters::text(&name)?);
    }
    step::log(step::Level::Info, "used");
    println!("said {}", said.len());
    if inputs.wait {
        return Ok(Step::wait_for(["go"], Waiting { said }, "waits for go"));
    }
    Ok(Step::Done(Outputs { said }))
}

fn again(_: &Context, state: Waiting, event: Event) -> Result<Step<Waiting, Outputs>, Failure> {
    let Waiting { mut said } = state;
    if let Event::Signal(signal) = event {
        said.push(signal.name);
    }
    Ok(Step::Done(Outputs { said }))
}
