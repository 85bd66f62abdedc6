//! What a receipt says of a step attempt.

use capstan_policy::Decision;
use capstan_runtime::{StepOutcome, StepReport};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::result::StepResult;

/// The step that a receipt is for.
pub(crate) struct Attempt<'a> {
    /// RFC 3339, UTC.
    pub(crate) time: String,
    pub(crate) run_id: &'a str,
    pub(crate) document: &'a str,
    pub(crate) document_sha256: &'a str,
    pub(crate) policy_sha256: &'a str,
    pub(crate) result: &'a StepResult,
    pub(crate) decision: &'a Decision,
    /// Under this name the grant of the step's programs is kept beside the run's journal: it is long, and the same
    /// for most steps.
    pub(crate) children_grant: String,
}

fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}

/// The receipt; without a report the policy refused the step.
pub(crate) fn body(attempt: &Attempt<'_>, report: Option<&StepReport>) -> Map<String, Value> {
    let Attempt {
        result, decision, ..
    } = attempt;
    let mut body = Map::new();
    let mut set = |name: &str, value: Value| body.insert(name.to_owned(), value);
    set("time", attempt.time.clone().into());
    set("runId", attempt.run_id.into());
    set("document", attempt.document.into());
    set("documentSha256", attempt.document_sha256.into());
    set("policySha256", attempt.policy_sha256.into());
    set("step", result.name.clone().into());
    set("action", result.action.clone().into());
    set("component", result.component_digest.clone().into());
    set("attempt", result.attempt.into());
    set("rules", decision.rules.clone().into());
    set("componentGrant", value(&decision.component));
    set("childrenGrantSha256", attempt.children_grant.clone().into());
    let Some(report) = report else {
        set("outcome", json!({ "status": "AccessDenied" }));
        set("missing", value(&decision.missing));
        return body;
    };
    set("outcome", outcome(&report.outcome));
    set("usage", value(&report.usage));
    set("children", value(&report.children));
    set("filesWritten", value(&report.files_written));
    set("hostsContacted", value(&report.hosts_contacted));
    set("denials", value(&report.denials));
    set("enforced", value(&report.enforced));
    body
}

fn outcome(outcome: &StepOutcome) -> Value {
    match outcome {
        StepOutcome::Done {
            status, exit_code, ..
        } => json!({ "status": format!("{status:?}"), "exitCode": exit_code }),
        StepOutcome::Suspended { reason, .. } => {
            json!({ "status": "Suspended", "reason": reason })
        }
        StepOutcome::Failure { message, .. } => json!({ "status": "Failed", "reason": message }),
        StepOutcome::Stopped {
            reason, message, ..
        } => json!({ "status": format!("{reason:?}"), "reason": message }),
    }
}
