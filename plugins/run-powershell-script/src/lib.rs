//! `aws:runPowerShellScript`.

use std::time::Duration;

use capstan_sdk::process::{Command, find};
use capstan_sdk::{Context, Event, Failure, Outcome, Step, Value, action, files, inputs};

use script::Inputs;

#[path = "../../run-shell-script/src/script.rs"]
#[allow(dead_code, reason = "the other of the two uses the rest")]
mod script;

#[action(manifest = "../manifest.json", resume = again)]
fn run(context: &Context, inputs: Inputs) -> Result<Step<Inputs, Outcome>, Failure> {
    let lines = script::lines(&inputs)?;
    let directory = script::directory(context, &inputs);
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
    let status = Command::new("powershell")
        .args(["-NoLogo", "-NonInteractive", "-f"])
        .arg(&path)
        .current_dir(&directory)
        .envs(script::environment(context, &inputs))
        .timeout(Duration::from_secs(script::timeout(&inputs)))
        .status()?;
    Ok(script::outcome(status, inputs))
}

fn again(context: &Context, state: Value, _: Event) -> Result<Step<Inputs, Outcome>, Failure> {
    run(context, inputs::typed(&state)?)
}
