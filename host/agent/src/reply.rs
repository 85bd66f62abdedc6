//! Replies in the form of the SSM agent. Pure.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::executor::{Report, Status, StepReport};

/// Characters of both outputs together, as lists show them.
const OUTPUT: usize = 2_500;

/// What a node tells of a command.
pub(crate) fn payload(report: &Report, command: &str, now: Timestamp) -> Value {
    let steps = by_key(&report.steps);
    let mut counts = Map::new();
    let mut status = Map::new();
    for step in &steps {
        let word = step.status.word();
        let count = counts.get(word).and_then(Value::as_u64).unwrap_or(0);
        counts.insert(word.to_owned(), (count + 1).into());
        status.insert(step.key.clone(), of_step(step));
    }
    json!({
        "additionalInfo": {
            "agent": {
                "lang": "en-US",
                "name": "capstan",
                "os": "",
                "osver": "",
                "ver": env!("CARGO_PKG_VERSION"),
            },
            "dateTime": now.to_string(),
            "runId": command,
            "runtimeStatusCounts": counts,
        },
        "documentStatus": report.status.word(),
        "documentTraceOutput": report.trace,
        "runtimeStatus": status,
    })
}

fn of_step(step: &StepReport) -> Value {
    json!({
        "status": step.status.word(),
        "code": step.code,
        "name": step.action,
        "stepName": step.key,
        "output": combined(&step.stdout, &step.stderr),
        "startDateTime": step.started,
        "endDateTime": step.ended,
        "outputS3BucketName": step.output_bucket,
        "outputS3KeyPrefix": step.output_prefix,
        "standardOutput": step.stdout,
        "standardError": step.stderr,
    })
}

/// Steps that are reported as one, as those of a plugin are in documents of schema 1.x, are put together.
fn by_key(steps: &[StepReport]) -> Vec<StepReport> {
    let mut merged: Vec<StepReport> = Vec::new();
    for step in steps {
        match merged.iter_mut().find(|other| other.key == step.key) {
            None => merged.push(step.clone()),
            Some(other) => {
                other.stdout.push_str(&step.stdout);
                other.stderr.push_str(&step.stderr);
                if other.code == 0 {
                    other.code = step.code;
                }
                other.status = worse(other.status, step.status);
                other.ended.clone_from(&step.ended);
                if other.started.is_empty() {
                    other.started.clone_from(&step.started);
                }
            }
        }
    }
    merged
}

fn worse(a: Status, b: Status) -> Status {
    let rank = |status| match status {
        Status::Skipped => 0,
        Status::Success => 1,
        Status::SuccessAndReboot => 2,
        Status::InProgress => 3,
        Status::Failed => 4,
        Status::Cancelled => 5,
        Status::TimedOut => 6,
    };
    if rank(b) > rank(a) { b } else { a }
}

fn combined(stdout: &str, stderr: &str) -> String {
    let all = if stderr.is_empty() {
        stdout.to_owned()
    } else {
        format!("{stdout}\n----------ERROR-------\n{stderr}")
    };
    all.chars().take(OUTPUT).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::payload;
    use crate::executor::{Report, Status, StepReport};

    fn step(key: &str, status: Status, code: i32, stdout: &str) -> StepReport {
        StepReport {
            key: key.to_owned(),
            action: "aws:runShellScript".to_owned(),
            status,
            code,
            stdout: stdout.to_owned(),
            started: "2026-01-01T00:00:00Z".to_owned(),
            ended: "2026-01-01T00:00:01Z".to_owned(),
            ..StepReport::default()
        }
    }

    #[test]
    fn steps_of_one_plugin_are_one_and_the_worst_counts() {
        let report = Report {
            status: Status::Failed,
            trace: String::new(),
            steps: vec![
                step("aws:runShellScript", Status::Success, 0, "a\n"),
                step("aws:runShellScript", Status::Failed, 3, "b\n"),
                step("other", Status::Success, 0, ""),
            ],
        };
        let value = payload(&report, "c", Timestamp::UNIX_EPOCH);
        let shell = &value["runtimeStatus"]["aws:runShellScript"];
        assert_eq!(value["documentStatus"], "Failed");
        assert_eq!(shell["status"], "Failed");
        assert_eq!(shell["code"], 3);
        assert_eq!(shell["standardOutput"], "a\nb\n");
        assert_eq!(value["additionalInfo"]["runtimeStatusCounts"]["Success"], 1);
    }
}
