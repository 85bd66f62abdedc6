//! What a collector found: checked, and given its time.

use capstan_inventory::{Item, Types, check};
use capstan_runtime::{FailureKind, StepOutcome, StepReport};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The outputs of a step that collects.
#[derive(Serialize, Deserialize)]
struct Outputs {
    items: Vec<Item>,
}

/// Puts the time into the items that a worker reports. Those that do not keep to the limits fail the step.
pub fn settle(report: &mut StepReport, types: Types, now: Timestamp) {
    let StepOutcome::Done { outputs, .. } = &mut report.outcome else {
        return;
    };
    match settled(outputs.take().unwrap_or_default(), types, now) {
        Ok(settled) => *outputs = Some(settled),
        Err(message) => {
            report.outcome = StepOutcome::Failure {
                kind: FailureKind::Failed,
                message,
                detail: None,
            };
        }
    }
}

fn settled(
    outputs: serde_json::Value,
    types: Types,
    now: Timestamp,
) -> Result<serde_json::Value, String> {
    let malformed = |error| format!("what the worker says of the collector is malformed: {error}");
    let mut outputs: Outputs = serde_json::from_value(outputs).map_err(malformed)?;
    let time = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    for item in &mut outputs.items {
        item.capture_time.clone_from(&time);
    }
    match check(&outputs.items, types) {
        Ok(()) => serde_json::to_value(outputs).map_err(malformed),
        Err(violations) => {
            let lines: Vec<String> = violations
                .iter()
                .map(|violation| format!("\n  {violation}"))
                .collect();
            Err(format!(
                "the inventory cannot be taken over:{}",
                lines.concat()
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use capstan_inventory::Types;
    use jiff::Timestamp;
    use serde_json::json;

    use super::settled;

    #[test]
    fn items_get_their_time_and_bad_ones_are_refused_together() {
        let now = Timestamp::from_millisecond(1_769_860_800_123).unwrap_or_default();
        let item = |name: &str| json!({ "TypeName": name, "SchemaVersion": "1.0", "Content": [{ "A": "1" }] });
        let found = settled(json!({ "items": [item("Custom:A")] }), Types::Custom, now);
        let found = found.unwrap_or_default();
        assert_eq!(found["items"][0]["CaptureTime"], "2026-01-31T12:00:00Z");
        assert_eq!(found["items"][0]["Content"], json!([{ "A": "1" }]));
        let bad = json!({ "items": [item("AWS:A"), item("x")] });
        let error = settled(bad, Types::Custom, now).err().unwrap_or_default();
        assert!(
            error.contains("`AWS:A` is AWS's") && error.contains("`x` is no type"),
            "{error}"
        );
        let number = json!({ "items": [{ "TypeName": "Custom:A", "SchemaVersion": "1.0", "Content": [{ "A": 1 }] }] });
        assert!(settled(number, Types::Custom, now).is_err());
    }
}
