//! SendCommand.

use std::collections::{BTreeMap, BTreeSet};

use capstan_document::Document;
use capstan_store::{Transaction, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::record::{Command, Request, StepName, Target};
use super::{RESOLVING, RUNNING, dispatch, settings, targets};
use crate::api::Call;
use crate::documents;
use crate::error::ApiError;
use crate::nodes;
use crate::wire::json;

/// Seconds in which a command has to begin on its node, unless it says so.
const TIMEOUT: i64 = 3600;
/// Seconds that a step may take, unless its document says so.
const EXECUTION: i64 = 3600;
/// Bytes of a document with its parameters.
const LARGEST: usize = 64 * 1024;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Send {
    #[serde(default)]
    instance_ids: Vec<String>,
    #[serde(default)]
    targets: Vec<Target>,
    document_name: String,
    document_version: Option<String>,
    document_hash: Option<String>,
    document_hash_type: Option<String>,
    timeout_seconds: Option<i64>,
    #[serde(default)]
    comment: String,
    #[serde(default)]
    parameters: BTreeMap<String, Vec<String>>,
    #[serde(rename = "OutputS3BucketName", default)]
    output_bucket: String,
    #[serde(rename = "OutputS3KeyPrefix", default)]
    output_prefix: String,
    max_concurrency: Option<String>,
    max_errors: Option<String>,
    #[serde(default)]
    service_role_arn: String,
    notification_config: Option<Value>,
    cloud_watch_output_config: Option<Value>,
    alarm_configuration: Option<Value>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Sent {
    command: Value,
}

/// The command is stored when this answers. With tags as targets it does not tell its nodes yet, as with AWS.
pub(crate) async fn send(call: Call, input: Send) -> Result<Sent, ApiError> {
    check(&input)?;
    let now = call.millis();
    let region = call.server.config.region.clone();
    // All that can be done before the one writer is: other commands wait for it.
    let (name, version) = (input.document_name.clone(), input.document_version.clone());
    let found = call
        .server
        .store
        .read(move |tx| documents::find(tx, &name, version.as_deref()))
        .await?;
    let (request, execution) = request(&input, &found, &call.server.documents)?;
    let text = json(&request)?;
    let timeout = request.timeout_seconds;
    let sent = Command {
        id: uuid::Uuid::new_v4().to_string(),
        document_name: found.name,
        requested: now,
        expires: now + (timeout + execution) * 1000,
        status: "Pending".to_owned(),
        details: "Pending".to_owned(),
        targets: request.instance_ids.len() as i64,
        completed: 0,
        errors: 0,
        delivery_timed_out: 0,
        request,
    };
    let (command, content) = (sent.clone(), found.content);
    let all = call
        .server
        .store
        .write(move |tx| {
            let request = &command.request;
            let by_id = request.targets.is_empty();
            tx.execute(
                "INSERT INTO commands (id, document_name, content, request, requested, deliver_until, expires, phase, \
                 resolved_to, cancelled, status, details, targets, started, ended, completed, errors, \
                 delivery_timed_out, revision) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '', 0, 'Pending', 'Pending', $9, 0, 0, 0, 0, 0, 0)",
                params![
                    &command.id,
                    &command.document_name,
                    &content,
                    &text,
                    now,
                    now + timeout * 1000,
                    command.expires,
                    if by_id { RUNNING } else { RESOLVING },
                    command.targets
                ],
            )?;
            if !by_id {
                targets::demand_groups(tx, &request.targets)?;
                return targets::resolve(tx, &command.id, targets::FIRST, now);
            }
            nodes_are_fit(tx, request)?;
            for (position, node) in (0..).zip(&request.instance_ids) {
                targets::insert(tx, &command.id, node, position, now)?;
            }
            dispatch::advance(tx, &command.id, now)?;
            Ok::<_, ApiError>(true)
        })
        .await?;
    if !all {
        // The rest of its targets is found after this is answered.
        call.server.wake();
    }
    tracing::info!(
        command = sent.id,
        document = sent.document_name,
        by = call.caller.arn(&call.server.config.account),
        "a command was sent"
    );
    Ok(Sent {
        command: sent.wire(&region),
    })
}

/// What can be told without the store.
fn check(input: &Send) -> Result<(), ApiError> {
    match (input.instance_ids.is_empty(), input.targets.is_empty()) {
        (true, true) => {
            return Err(ApiError::validation(
                "Nothing to send the command to: give InstanceIds or Targets.",
            ));
        }
        (false, false) => {
            return Err(ApiError::validation(
                "InstanceIds and Targets cannot be given together.",
            ));
        }
        _ => {}
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = input
        .instance_ids
        .iter()
        .find(|id| !seen.insert(id.as_str()))
    {
        return Err(ApiError::new(
            "DuplicateInstanceId",
            format!("InstanceIds names {twice} twice."),
        ));
    }
    settings::check_bucket(&input.output_bucket)?;
    settings::check_notices(&input.service_role_arn, input.notification_config.as_ref())?;
    targets::check(&input.targets)
}

/// The request as it is kept, and the seconds that its steps may take.
fn request(
    input: &Send,
    found: &documents::Found,
    parsed: &documents::Parsed,
) -> Result<(Request, i64), ApiError> {
    if found.kind != "Command" {
        return Err(ApiError::new(
            "InvalidDocument",
            format!(
                "The document {} is of the type {}; commands run those of the type Command.",
                found.name, found.kind
            ),
        ));
    }
    documents::demand_hash(
        found,
        input.document_hash.as_deref(),
        input.document_hash_type.as_deref(),
    )?;
    let size = found.content.len() + json(&input.parameters)?.len();
    if size > LARGEST {
        return Err(ApiError::new(
            "MaxDocumentSizeExceeded",
            format!("The document with its parameters has {size} bytes; {LARGEST} are allowed."),
        ));
    }
    let invalid =
        |error: &dyn std::fmt::Display| ApiError::new("InvalidParameters", error.to_string());
    let document = parsed.of(found)?;
    let arguments: BTreeMap<String, Value> = input
        .parameters
        .iter()
        .map(|(name, values)| (name.clone(), values.clone().into()))
        .collect();
    let bound = document.bind(&arguments).map_err(|error| invalid(&error))?;
    let by_plugin = document.schema_version().starts_with("1.");
    let mut steps: Vec<StepName> = Vec::new();
    for step in document.steps() {
        let name = if by_plugin { &step.action } else { &step.name };
        // Sets of properties of one plugin are reported as one, where the first of them leaves its outputs.
        if !steps.iter().any(|known| known.name == *name) {
            steps.push(StepName {
                name: name.clone(),
                plugin: step.action.clone(),
                output: by_plugin.then(|| step.name.clone()),
            });
        }
    }
    let request = Request {
        document_version: input
            .document_version
            .clone()
            .unwrap_or_else(|| "$DEFAULT".to_owned()),
        comment: input.comment.clone(),
        parameters: input.parameters.clone(),
        instance_ids: input.instance_ids.clone(),
        targets: input.targets.clone(),
        timeout_seconds: input.timeout_seconds.unwrap_or(TIMEOUT),
        max_concurrency: input
            .max_concurrency
            .clone()
            .unwrap_or_else(|| "50".to_owned()),
        max_errors: input.max_errors.clone().unwrap_or_else(|| "0".to_owned()),
        output_bucket: input.output_bucket.clone(),
        output_prefix: input.output_prefix.clone(),
        service_role: input.service_role_arn.clone(),
        notification: input.notification_config.clone(),
        cloud_watch: input.cloud_watch_output_config.clone(),
        alarms: input.alarm_configuration.clone(),
        platforms: found.platforms.clone(),
        steps,
    };
    Ok((request, execution_seconds(&document, bound.parameters())))
}

/// How long the steps may take, one after another: each what its `timeoutSeconds` says, or an hour.
fn execution_seconds(document: &Document, parameters: &BTreeMap<String, Value>) -> i64 {
    let number = |value: &Value| match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    document
        .steps()
        .iter()
        .flat_map(|step| &step.inputs)
        .map(|inputs| {
            let said = inputs.get("timeoutSeconds");
            let parameter = said
                .and_then(Value::as_str)
                .and_then(|text| text.trim().strip_prefix("{{")?.strip_suffix("}}"))
                .and_then(|name| parameters.get(name.trim()));
            parameter
                .or(said)
                .and_then(number)
                .unwrap_or(EXECUTION)
                .max(0)
        })
        .sum()
}

/// Refuses nodes that are named and cannot get the command.
fn nodes_are_fit(tx: &mut Transaction<'_>, request: &Request) -> Result<(), ApiError> {
    let mut unknown = Vec::new();
    for id in &request.instance_ids {
        let row = tx.query_one(
            &format!(
                "SELECT {} FROM nodes n WHERE n.id = $1 AND n.last_ping IS NOT NULL",
                nodes::STATE
            ),
            params![id],
        )?;
        match row.map(|row| nodes::state_of(&row)).transpose()? {
            None => unknown.push(id.as_str()),
            Some(node) => {
                let fits = request.platforms.is_empty()
                    || node
                        .platform
                        .as_ref()
                        .is_none_or(|platform| request.platforms.contains(platform));
                if !fits {
                    return Err(ApiError::new(
                        "UnsupportedPlatformType",
                        format!(
                            "The document is for {}, and {id} runs {}.",
                            request.platforms.join(", "),
                            node.platform.unwrap_or_default()
                        ),
                    ));
                }
            }
        }
    }
    if unknown.is_empty() {
        return Ok(());
    }
    Err(ApiError::new(
        "InvalidInstanceId",
        format!(
            "Instances [[{}]] not in a valid state for account",
            unknown.join(", ")
        ),
    ))
}
