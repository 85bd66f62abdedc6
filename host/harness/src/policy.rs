//! What the step may do.

use capstan_policy::Policy;
use serde_json::{Map, Value, json};

use crate::error::HarnessError;
use crate::request::Request;

const EVERY_ACCESS: [&str; 4] = ["read-write", "execute", "replace", "append"];

/// The policy of a request. One that grants everything leaves a component with all that its manifest requests, since a
/// component never gets more than that.
pub(crate) fn policy(request: &Request) -> Result<Policy, HarnessError> {
    if let Some(text) = &request.policy {
        if request.deny.is_some() || request.limits.is_some() {
            return Err(HarnessError::Request(
                "`deny` and `limits` go with the grants of the manifest; with a `policy`, write them there".into(),
            ));
        }
        return parse(text, "policy");
    }
    let everything = json!({
        "id": "what the manifest requests",
        "grants": {
            "files": [{ "path": "/", "access": EVERY_ACCESS }],
            "hosts": [{ "host": "*", "private": true }],
            "programs": ["/"],
            "parameters": ["*"],
            "secrets": ["*"],
            "documents": ["*"],
            "signing": ["*"],
        },
    });
    let mut rules = vec![everything];
    if let Some(denied) = &request.deny {
        rules.push(json!({ "id": "deny", "effect": "deny", "grants": denied_grants(denied) }));
    }
    let mut policy = json!({ "version": 1, "rules": rules });
    if let Some(limits) = &request.limits {
        policy["limits"] = Value::Object(limits.clone());
    }
    parse(&policy.to_string(), "deny and limits")
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
