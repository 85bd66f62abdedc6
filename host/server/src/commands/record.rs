//! What is kept of a command and of the steps of an invocation.

use std::collections::BTreeMap;

use capstan_document::output_folders;
use capstan_store::{Row, Transaction, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::wire::{Epoch, of_json};

/// A target of a request: the nodes that a key and its values say.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Target {
    #[serde(default)]
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) values: Vec<String>,
}

/// A step of the document, as results name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StepName {
    pub(crate) name: String,
    pub(crate) plugin: String,
    /// The step that [`output_folders`] needs, where it is not the name: in documents of schema 1.x that is the plugin's.
    pub(crate) output: Option<String>,
}

/// What was asked for. Never changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    pub(crate) document_version: String,
    pub(crate) comment: String,
    pub(crate) parameters: BTreeMap<String, Vec<String>>,
    pub(crate) instance_ids: Vec<String>,
    pub(crate) targets: Vec<Target>,
    pub(crate) timeout_seconds: i64,
    pub(crate) max_concurrency: String,
    pub(crate) max_errors: String,
    pub(crate) output_bucket: String,
    pub(crate) output_prefix: String,
    pub(crate) service_role: String,
    pub(crate) notification: Option<Value>,
    pub(crate) cloud_watch: Option<Value>,
    pub(crate) alarms: Option<Value>,
    /// The steps of the document, in its order.
    pub(crate) steps: Vec<StepName>,
    /// Platforms that the document is for; none for all.
    pub(crate) platforms: Vec<String>,
}

impl Request {
    /// `CloudWatchOutputConfig`, which answers always have.
    pub(crate) fn cloud_watch(&self) -> Value {
        self.cloud_watch.clone().unwrap_or_else(
            || json!({"CloudWatchLogGroupName": "", "CloudWatchOutputEnabled": false}),
        )
    }

    /// Where the output of a step is in S3; nothing if it goes nowhere.
    pub(crate) fn output_url(
        &self,
        region: &str,
        command: &str,
        node: &str,
        step: &StepName,
        stream: &str,
    ) -> String {
        if self.output_bucket.is_empty() {
            return String::new();
        }
        let prefix = self.output_prefix.trim_matches('/');
        let slash = if prefix.is_empty() { "" } else { "/" };
        let [plugin, name] =
            output_folders(&step.plugin, step.output.as_deref().unwrap_or(&step.name));
        format!(
            "https://s3.{region}.amazonaws.com/{}{slash}{prefix}/{command}/{node}/{plugin}/{name}/{stream}",
            self.output_bucket
        )
    }
}

/// A command.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    pub(crate) id: String,
    pub(crate) document_name: String,
    pub(crate) request: Request,
    pub(crate) requested: i64,
    pub(crate) expires: i64,
    pub(crate) status: String,
    pub(crate) details: String,
    pub(crate) targets: i64,
    pub(crate) completed: i64,
    pub(crate) errors: i64,
    pub(crate) delivery_timed_out: i64,
}

/// The columns of [`Command`].
pub(crate) const COLUMNS: &str = "c.id, c.document_name, c.request, c.requested, c.expires, c.status, c.details, \
                                  c.targets, c.completed, c.errors, c.delivery_timed_out";

impl Command {
    /// Of a row that begins with [`COLUMNS`].
    pub(crate) fn of_row(row: &Row) -> Result<Self, ApiError> {
        Ok(Self {
            id: row.get(0)?,
            document_name: row.get(1)?,
            request: of_json(&row.get::<String>(2)?)?,
            requested: row.get(3)?,
            expires: row.get(4)?,
            status: row.get(5)?,
            details: row.get(6)?,
            targets: row.get(7)?,
            completed: row.get(8)?,
            errors: row.get(9)?,
            delivery_timed_out: row.get(10)?,
        })
    }

    /// As AWS answers with it.
    pub(crate) fn wire(&self, region: &str) -> Value {
        let request = &self.request;
        let mut command = json!({
            "CommandId": self.id,
            "DocumentName": self.document_name,
            "DocumentVersion": request.document_version,
            "Comment": request.comment,
            "ExpiresAfter": Epoch::of_millis(self.expires),
            "Parameters": request.parameters,
            "InstanceIds": request.instance_ids,
            "Targets": request.targets,
            "RequestedDateTime": Epoch::of_millis(self.requested),
            "Status": self.status,
            "StatusDetails": self.details,
            "OutputS3Region": region,
            "OutputS3BucketName": request.output_bucket,
            "OutputS3KeyPrefix": request.output_prefix,
            "MaxConcurrency": request.max_concurrency,
            "MaxErrors": request.max_errors,
            "TargetCount": self.targets,
            "CompletedCount": self.completed,
            "ErrorCount": self.errors,
            "DeliveryTimedOutCount": self.delivery_timed_out,
            "ServiceRole": request.service_role,
            "NotificationConfig": request.notification(),
            "CloudWatchOutputConfig": request.cloud_watch(),
            "TimeoutSeconds": request.timeout_seconds,
            "TriggeredAlarms": [],
        });
        if let (Some(alarms), Value::Object(command)) = (&request.alarms, &mut command) {
            command.insert("AlarmConfiguration".to_owned(), alarms.clone());
        }
        command
    }
}

impl Request {
    /// `NotificationConfig`, which answers always have.
    pub(crate) fn notification(&self) -> Value {
        self.notification.clone().unwrap_or_else(
            || json!({"NotificationArn": "", "NotificationEvents": [], "NotificationType": ""}),
        )
    }
}

/// What a node told of a step. Times are its own, in milliseconds since 1970.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StepReport {
    /// The node's word.
    pub(crate) status: String,
    pub(crate) code: i64,
    pub(crate) started: Option<i64>,
    pub(crate) finished: Option<i64>,
    /// The beginning of its standard output.
    pub(crate) stdout: String,
    /// The beginning of its standard error.
    pub(crate) stderr: String,
}

/// The steps of an invocation by name.
pub(crate) type StepReports = BTreeMap<String, StepReport>;

/// The message that sends a command to a node: its topic's word and its payload. Nothing if there is no such command.
pub(crate) fn payload(
    tx: &mut Transaction<'_>,
    command_id: &str,
) -> Result<Option<Value>, ApiError> {
    let Some(row) = tx.query_one(
        "SELECT document_name, content, request FROM commands WHERE id = $1",
        params![command_id],
    )?
    else {
        return Ok(None);
    };
    let (name, content): (String, String) = (row.get(0)?, row.get(1)?);
    let request: Request = of_json(&row.get::<String>(2)?)?;
    let document = crate::documents::as_json(&content)?;
    let cloud_watch = request.cloud_watch();
    Ok(Some(json!({
        "Parameters": request.parameters,
        "DocumentContent": document,
        // Beyond what AWS sends: the text as it was stored, whose hash a node's policy may name.
        "DocumentSource": content,
        "DocumentVersion": request.document_version,
        "CommandId": command_id,
        "DocumentName": name,
        "OutputS3KeyPrefix": request.output_prefix,
        "OutputS3BucketName": request.output_bucket,
        "CloudWatchLogGroupName": cloud_watch["CloudWatchLogGroupName"],
        "CloudWatchOutputEnabled": cloud_watch["CloudWatchOutputEnabled"].to_string(),
    })))
}
