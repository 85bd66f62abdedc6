//! Running a script: what `aws:runShellScript` and `aws:runPowerShellScript` have in common.

use std::time::Duration;

use capstan_sdk::process::{Command, ExitStatus};
use capstan_sdk::{
    Context, Failure, Outcome, Status, Value, Wake, files, input, input_text, step, text_input,
};

/// Seconds without a `timeoutSeconds`, or with one that is out of range: SSM passes over such a value.
const DEFAULT_TIMEOUT: u64 = 3600;
const TIMEOUTS: std::ops::RangeInclusive<u64> = 5..=172_800;
/// What SSM reports for a script that was ended.
const KILLED: i32 = 137;
/// The script asks for a restart.
const REBOOT: i32 = 194;

/// Runs the script of a step.
pub fn run(context: &Context, inputs: &Value) -> Result<Outcome, Failure> {
    let lines = lines(inputs)?;
    let (directory, environment) = (directory(context, inputs)?, environment(context, inputs)?);
    let path = format!("{}/_script.sh", context.work_directory);
    files::write(&path, 0o700, format!("{}\n", lines.join("\n")).as_bytes())?;
    // What `sh -c PATH` comes to, without a shell that only waits: a first line with #! names the program that reads
    // the script, and without one the shell reads it.
    let own = lines.first().is_some_and(|line| line.starts_with("#!"));
    let mut command = if own {
        Command::new("own-interpreter")
            .args(["-c", "exec \"$0\""])
            .arg(&path)
    } else {
        Command::new("shell").arg(&path)
    }
    .current_dir(&directory);
    for (name, value) in environment {
        command = command.env(&name, value);
    }
    let status = command
        .timeout(Duration::from_secs(timeout(inputs)))
        .status()?;
    Ok(outcome(status, inputs))
}

/// The lines of the script. A reference to a list within a list leaves one list inside of the other.
pub fn lines(inputs: &Value) -> Result<Vec<String>, Failure> {
    fn flatten(value: &Value, lines: &mut Vec<String>) -> bool {
        match value {
            Value::String(text) => lines.push(text.clone()),
            Value::Number(number) => lines.push(number.to_string()),
            Value::Bool(value) => lines.push(value.to_string()),
            Value::Array(items) => return items.iter().all(|item| flatten(item, lines)),
            Value::Null | Value::Object(_) => return false,
        }
        true
    }
    let mut lines = Vec::new();
    match input(inputs, "runCommand") {
        Some(value) if flatten(value, &mut lines) => Ok(lines),
        Some(_) => Err(Failure::invalid(
            "runCommand is a list of texts, the lines of the script",
        )),
        None => Err(Failure::invalid(
            "the step has no runCommand; it is a list of texts, the lines of the script",
        )),
    }
}

/// Absolute as it is; relative or none is below the downloads folder, if that is there, else the work folder.
pub fn directory(context: &Context, inputs: &Value) -> Result<String, Failure> {
    let wanted = text_input(inputs, "workingDirectory")?.unwrap_or_default();
    if wanted.starts_with('/') {
        let trimmed = wanted.trim_end_matches('/');
        return Ok(if trimmed.is_empty() {
            "/".to_owned()
        } else {
            trimmed.to_owned()
        });
    }
    let downloads = if wanted.is_empty() {
        context.downloads_directory.clone()
    } else {
        format!(
            "{}/{}",
            context.downloads_directory,
            wanted.trim_matches('/')
        )
    };
    Ok(match files::stat(&downloads) {
        Ok(metadata) if metadata.kind == files::Kind::Directory => downloads,
        _ => context.work_directory.clone(),
    })
}

/// Seconds.
pub fn timeout(inputs: &Value) -> u64 {
    input_text(inputs, "timeoutSeconds")
        .and_then(|text| text.trim().parse().ok())
        .filter(|seconds| TIMEOUTS.contains(seconds))
        .unwrap_or(DEFAULT_TIMEOUT)
}

/// The document's variables, then the step's own. A variable that is null is not set.
pub fn environment(context: &Context, inputs: &Value) -> Result<Vec<(String, String)>, Failure> {
    let mut list = context.environment.clone();
    list.extend(variables(inputs)?);
    Ok(list)
}

fn variables(inputs: &Value) -> Result<Vec<(String, String)>, Failure> {
    let map = match input(inputs, "environment") {
        None => return Ok(Vec::new()),
        Some(Value::String(text)) if text.is_empty() => return Ok(Vec::new()),
        Some(Value::Object(map)) => map,
        Some(_) => {
            return Err(Failure::invalid(
                "environment is a mapping of names to values, such as {LEVEL: high}",
            ));
        }
    };
    Ok(map
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            (name.clone(), value)
        })
        .collect())
}

/// What the end of the script means.
pub fn outcome(status: ExitStatus, inputs: &Value) -> Outcome {
    match status {
        ExitStatus::Code(0) => Outcome::success(),
        ExitStatus::Code(REBOOT) => Outcome::Suspended {
            state: inputs.to_string().into_bytes(),
            wake: Wake::Reboot,
            reason: "the script asked for a restart of the machine (exit code 194)".to_owned(),
        },
        ExitStatus::Code(code) => {
            step::print_error(&format!("failed to run commands: exit status {code}\n"));
            Outcome::done(Status::Failed, code)
        }
        ExitStatus::Signal(signal) => {
            // As a shell tells it.
            let code = 128 + signal;
            step::print_error(&format!("failed to run commands: exit status {code}\n"));
            Outcome::done(Status::Failed, code)
        }
        ExitStatus::TimedOut => {
            step::print_error(&format!(
                "the script was ended after {} seconds\n",
                timeout(inputs)
            ));
            Outcome::done(Status::TimedOut, KILLED)
        }
        ExitStatus::Cancelled => Outcome::done(Status::Cancelled, KILLED),
        ExitStatus::LimitExceeded(what) | ExitStatus::Other(what) => {
            step::print_error(&format!("failed to run commands: {what}\n"));
            Outcome::done(Status::Failed, 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use capstan_sdk::json;

    use super::variables;

    #[test]
    fn variables_are_a_mapping_and_null_is_none() {
        let inputs = json!({ "environment": { "A": "x", "B": null, "C": 1 } });
        let found = variables(&inputs).unwrap();
        assert_eq!(found, [("A".into(), "x".into()), ("C".into(), "1".into())]);
        assert!(variables(&json!({ "environment": ["A=1"] })).is_err());
        assert!(variables(&json!({})).unwrap().is_empty());
    }
}
