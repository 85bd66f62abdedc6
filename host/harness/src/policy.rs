//! What the step may do.

use capstan_policy::{Decision, Manifest, Policy, StepNeeds, Subject};
use serde_json::{Map, Value, json};

use crate::error::HarnessError;
use crate::request::Request;

const EVERY_ACCESS: [&str; 4] = ["read-write", "execute", "replace", "append"];

/// What a step of the request may do.
pub(crate) fn decide(
    request: &Request,
    subject: &Subject,
    manifest: &Manifest,
    needs: &StepNeeds,
) -> Result<Decision, HarnessError> {
    if let Some(text) = &request.policy {
        if request.deny.is_some() || request.limits.is_some() {
            return Err(HarnessError::Request(
                "`deny` and `limits` go with the grants of the manifest; with a `policy`, write them there".into(),
            ));
        }
        return Ok(parse(text, "policy")?.decide(subject, manifest, needs));
    }
    let mut policy = json!({ "version": 1 });
    if let Some(denied) = &request.deny {
        policy["rules"] = json!([{ "effect": "deny", "grants": denied_grants(denied) }]);
    }
    if let Some(limits) = &request.limits {
        policy["limits"] = Value::Object(limits.clone());
    }
    let policy = parse(&policy.to_string(), "deny and limits")?;
    Ok(policy.decide_as_requested(subject, manifest, needs))
}

fn parse(text: &str, origin: &str) -> Result<Policy, HarnessError> {
    Policy::parse(text, origin).map_err(|problems| HarnessError::Request(problems.to_string()))
}

/// A path alone is every access to it.
fn denied_grants(denied: &Map<String, Value>) -> Value {
    let mut grants = denied.clone();
    if let Some(Value::Array(files)) = grants.get_mut("files") {
        for file in files.iter_mut().filter(|file| file.is_string()) {
            *file = json!({ "path": file.take(), "access": EVERY_ACCESS });
        }
    }
    Value::Object(grants)
}
