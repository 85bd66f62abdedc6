//! Running a script: what `aws:runShellScript` and `aws:runPowerShellScript` have in common.

use std::time::Duration;

use capstan_sdk::process::{Command, ExitStatus};
use capstan_sdk::{Context, Failure, Outcome, Status, Step, Value, files, serde_json::Map, step};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// What a step gives, and what it is run again with after a restart.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Inputs {
    run_command: Option<Lines>,
    working_directory: String,
    timeout_seconds: Value,
    environment: Map<String, Value>,
}

/// The lines of a script. A reference to a list within a list leaves one list inside of the other.
#[derive(Debug, Clone, Serialize)]
struct Lines(Vec<String>);

impl<'de> Deserialize<'de> for Lines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fn flatten(value: Value, lines: &mut Vec<String>) -> bool {
            match value {
                Value::String(text) => lines.push(text),
                Value::Number(number) => lines.push(number.to_string()),
                Value::Bool(value) => lines.push(value.to_string()),
                Value::Array(items) => return items.into_iter().all(|item| flatten(item, lines)),
                Value::Null | Value::Object(_) => return false,
            }
            true
        }
        let mut lines = Vec::new();
        if flatten(Value::deserialize(deserializer)?, &mut lines) {
            Ok(Self(lines))
        } else {
            Err(D::Error::custom(
                "it is a list of texts, the lines of the script",
            ))
        }
    }
}

/// Seconds without a `timeoutSeconds`, or with one that is out of range: SSM passes over such a value.
const DEFAULT_TIMEOUT: u64 = 3600;
const TIMEOUTS: std::ops::RangeInclusive<u64> = 5..=172_800;
/// What SSM reports for a script that was ended.
const KILLED: i32 = 137;
/// The script asks for a restart.
const REBOOT: i32 = 194;

/// Runs the script of a step.
pub fn run(context: &Context, inputs: Inputs) -> Result<Step<Inputs, Outcome>, Failure> {
    let lines = lines(&inputs)?;
    let directory = directory(context, &inputs);
    let path = format!("{}/_script.sh", context.work_directory);
    files::write(&path, 0o700, format!("{}\n", lines.join("\n")).as_bytes())?;
    // What `sh -c PATH` comes to, without a shell that only waits: a first line with #! names the program that reads
    // the script, and without one the shell reads it.
    let own = lines.first().is_some_and(|line| line.starts_with("#!"));
    let command = if own {
        Command::new("own-interpreter").args(["-c", "exec \"$0\""])
    } else {
        Command::new("shell")
    };
    let status = command
        .arg(&path)
        .current_dir(&directory)
        .envs(environment(context, &inputs))
        .timeout(Duration::from_secs(timeout(&inputs)))
        .status()?;
    Ok(outcome(status, inputs))
}

/// The lines of the script.
pub fn lines(inputs: &Inputs) -> Result<&[String], Failure> {
    match &inputs.run_command {
        Some(Lines(lines)) => Ok(lines),
        None => Err(Failure::invalid(
            "the step has no runCommand; it is a list of texts, the lines of the script",
        )),
    }
}

/// Absolute as it is; relative or none is below the downloads folder, if that is there, else the work folder.
pub fn directory(context: &Context, inputs: &Inputs) -> String {
    let wanted = inputs.working_directory.as_str();
    if wanted.starts_with('/') {
        return match wanted.trim_end_matches('/') {
            "" => "/".to_owned(),
            trimmed => trimmed.to_owned(),
        };
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
    match files::stat(&downloads) {
        Ok(metadata) if metadata.kind == files::Kind::Directory => downloads,
        _ => context.work_directory.clone(),
    }
}

/// Seconds.
pub fn timeout(inputs: &Inputs) -> u64 {
    text(&inputs.timeout_seconds)
        .trim()
        .parse()
        .ok()
        .filter(|seconds| TIMEOUTS.contains(seconds))
        .unwrap_or(DEFAULT_TIMEOUT)
}

/// The document's variables, then the step's own. A variable that is null is not set.
pub fn environment(context: &Context, inputs: &Inputs) -> Vec<(String, String)> {
    let mut list = context.environment.clone();
    list.extend(variables(inputs));
    list
}

fn variables(inputs: &Inputs) -> impl Iterator<Item = (String, String)> {
    inputs
        .environment
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.clone(), text(value)))
}

/// Text as it is, everything else as JSON writes it.
fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// What the end of the script means.
pub fn outcome(status: ExitStatus, inputs: Inputs) -> Step<Inputs, Outcome> {
    let (status, code) = match status {
        ExitStatus::Code(0) => (Status::Success, 0),
        ExitStatus::Code(REBOOT) => {
            let reason = "the script asked for a restart of the machine (exit code 194)";
            return Step::reboot(inputs, reason);
        }
        ExitStatus::Code(code) => {
            step::print_error(&format!("failed to run commands: exit status {code}\n"));
            (Status::Failed, code)
        }
        ExitStatus::Signal(signal) => {
            // As a shell tells it.
            let code = 128 + signal;
            step::print_error(&format!("failed to run commands: exit status {code}\n"));
            (Status::Failed, code)
        }
        ExitStatus::TimedOut => {
            step::print_error(&format!(
                "the script was ended after {} seconds\n",
                timeout(&inputs)
            ));
            (Status::TimedOut, KILLED)
        }
        ExitStatus::Cancelled => (Status::Cancelled, KILLED),
        ExitStatus::LimitExceeded(what) | ExitStatus::Other(what) => {
            step::print_error(&format!("failed to run commands: {what}\n"));
            (Status::Failed, 1)
        }
    };
    Step::Done(Outcome::done(status, code))
}

#[cfg(test)]
mod tests {
    use capstan_sdk::{Value, inputs::typed, json};

    use super::{Inputs, lines, timeout, variables};

    fn read(value: Value) -> Inputs {
        typed(&value).unwrap()
    }

    #[test]
    fn variables_are_a_mapping_and_null_is_none() {
        let inputs = read(json!({ "environment": { "A": "x", "B": null, "C": 1 } }));
        let found: Vec<_> = variables(&inputs).collect();
        assert_eq!(found, [("A".into(), "x".into()), ("C".into(), "1".into())]);
        assert!(typed::<Inputs>(&json!({ "environment": ["A=1"] })).is_err());
        for none in [json!({}), json!({ "environment": "" })] {
            assert_eq!(variables(&read(none)).count(), 0);
        }
    }

    #[test]
    fn a_script_is_a_text_or_lists_of_texts() {
        let inputs = read(json!({ "RunCommand": ["a", ["b", 3], true] }));
        assert_eq!(lines(&inputs).unwrap(), ["a", "b", "3", "true"]);
        let inputs = read(json!({ "runCommand": "[ -f /a ]" }));
        assert_eq!(lines(&inputs).unwrap(), ["[ -f /a ]"]);
        for bad in [json!({ "a": 1 }), json!([null])] {
            let failure = typed::<Inputs>(&json!({ "runCommand": bad })).unwrap_err();
            assert!(failure.message.contains("runCommand"), "{failure}");
        }
        assert!(lines(&read(json!({ "runCommand": null }))).is_err());
    }

    #[test]
    fn a_time_that_is_out_of_range_is_passed_over() {
        for (given, seconds) in [
            (json!(60), 60),
            (json!(" 60 "), 60),
            (json!("4"), 3600),
            (json!(["60"]), 3600),
            (json!(null), 3600),
        ] {
            let inputs = read(json!({ "timeoutSeconds": given }));
            assert_eq!(timeout(&inputs), seconds, "{given}");
        }
    }
}
