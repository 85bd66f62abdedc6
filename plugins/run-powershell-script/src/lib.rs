//! `aws:runPowerShellScript`.

use std::time::Duration;

use capstan_sdk::process::{Command, find};
use capstan_sdk::{Action, Context, Event, Failure, Outcome, Value, files};

#[path = "../../run-shell-script/src/script.rs"]
#[allow(dead_code, reason = "the other of the two uses the rest")]
mod script;

struct RunPowerShellScript;

fn run(context: &Context, inputs: &Value) -> Result<Outcome, Failure> {
    let lines = script::lines(inputs)?;
    let directory = script::directory(context, inputs)?;
    let environment = script::environment(context, inputs)?;
    if find("powershell").is_none() {
        return Err(Failure::failed(
            "PowerShell is not on this machine: there is no pwsh where it is usually installed; install the package powershell",
        ));
    }
    let path = format!("{}/_script.ps1", context.work_directory);
    // PowerShell takes a script without the mark for one in the machine's own encoding.
    files::write(
        &path,
        0o700,
        format!("\u{feff}{}\n", lines.join("\n")).as_bytes(),
    )?;
    let mut command = Command::new("powershell")
        .args(["-NoLogo", "-NonInteractive", "-f"])
        .arg(&path)
        .current_dir(&directory);
    for (name, value) in environment {
        command = command.env(&name, value);
    }
    let status = command
        .timeout(Duration::from_secs(script::timeout(inputs)))
        .status()?;
    Ok(script::outcome(status, inputs))
}

impl Action for RunPowerShellScript {
    fn start(context: &Context, inputs: Value) -> Result<Outcome, Failure> {
        run(context, &inputs)
    }

    fn resume(context: &Context, state: Vec<u8>, _: Event) -> Result<Outcome, Failure> {
        let inputs = capstan_sdk::serde_json::from_slice(&state).map_err(|error| {
            Failure::failed(format!(
                "the state of the suspended script is damaged: {error}"
            ))
        })?;
        run(context, &inputs)
    }
}

capstan_sdk::action!(RunPowerShellScript, "../manifest.json");
