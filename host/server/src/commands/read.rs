//! ListCommands, ListCommandInvocations and GetCommandInvocation.

use capstan_store::{Row, params};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::cancel::no_command;
use super::record::{COLUMNS, Command, StepName, StepReport, StepReports};
use super::reports::cut;
use super::status::State;
use super::{FINISHED, RESOLVING};
use crate::api::Call;
use crate::error::ApiError;
use crate::paging::page;
use crate::sql::Query;
use crate::wire::{Epoch, of_json};

/// Characters of both outputs of a step in lists.
const OUTPUT: usize = 2_500;
/// What stands between the two.
const SEPARATOR: &str = "\n----------ERROR-------\n";
/// The size of a page that nobody chose.
const PAGE: usize = 50;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct List {
    command_id: Option<String>,
    instance_id: Option<String>,
    max_results: Option<usize>,
    next_token: Option<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    #[serde(default)]
    details: bool,
}

#[derive(Debug, Deserialize)]
struct Filter {
    key: String,
    value: String,
}

impl Filter {
    /// The time of InvokedAfter and InvokedBefore.
    fn time(&self) -> Result<i64, ApiError> {
        self.value
            .parse::<Timestamp>()
            .map(|time| time.as_millisecond())
            .map_err(|_| {
                ApiError::validation(format!(
                    "The value {} of the filter {} is not a time like 2026-01-31T08:00:00Z.",
                    self.value, self.key
                ))
            })
    }

    fn unknown(&self, keys: &str) -> ApiError {
        ApiError::new(
            "InvalidFilterKey",
            format!("The filter {} is not one of {keys}.", self.key),
        )
    }
}

/// Where a page ended: the time and what is unique within it.
type Cursor = (i64, String, String);

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Commands {
    commands: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// Newest first.
pub(crate) async fn list(call: Call, input: List) -> Result<Commands, ApiError> {
    let after: Option<Cursor> = call.cursor(input.next_token.as_deref())?;
    let size = input.max_results.unwrap_or(PAGE);
    let mut query = Query::new("SELECT ");
    query.push(COLUMNS).push(" FROM commands c WHERE 1 = 1");
    if let Some(id) = &input.command_id {
        query.push(" AND c.id = ").bind(id);
    }
    if let Some(node) = &input.instance_id {
        query.push(" AND EXISTS (SELECT 1 FROM invocations i WHERE i.command_id = c.id AND i.node_id = ").bind(node).push(")");
    }
    for filter in &input.filters {
        match filter.key.as_str() {
            "InvokedAfter" => query.push(" AND c.requested >= ").bind(filter.time()?),
            "InvokedBefore" => query.push(" AND c.requested <= ").bind(filter.time()?),
            "DocumentName" => query.push(" AND c.document_name = ").bind(&filter.value),
            "Status" => {
                let word = if filter.value == "LimitExceeded" {
                    "RateExceeded"
                } else {
                    &filter.value
                };
                query
                    .push(" AND (c.status = ")
                    .bind(word)
                    .push(" OR c.details = ")
                    .bind(word)
                    .push(")")
            }
            "ExecutionStage" => match filter.value.as_str() {
                "Executing" => query.push(" AND c.phase < ").bind(FINISHED),
                "Complete" => query.push(" AND c.phase = ").bind(FINISHED),
                other => {
                    return Err(ApiError::validation(format!(
                        "The value {other} of the filter ExecutionStage is not one of Executing, Complete."
                    )));
                }
            },
            _ => {
                return Err(filter
                    .unknown("InvokedAfter, InvokedBefore, Status, ExecutionStage, DocumentName"));
            }
        };
    }
    if let Some((requested, id, _)) = &after {
        query
            .push(" AND (c.requested < ")
            .bind(*requested)
            .push(" OR (c.requested = ")
            .bind(*requested);
        query.push(" AND c.id < ").bind(id).push("))");
    }
    query
        .push(" ORDER BY c.requested DESC, c.id DESC LIMIT ")
        .bind(size as i64 + 1);
    let rows = call
        .server
        .store
        .read::<_, ApiError>(move |tx| Ok(query.run(tx)?))
        .await?;
    if let (true, Some(id)) = (rows.is_empty(), &input.command_id)
        && input.filters.is_empty()
        && input.instance_id.is_none()
    {
        return Err(no_command(id));
    }
    let commands = rows
        .iter()
        .map(Command::of_row)
        .collect::<Result<Vec<_>, _>>()?;
    let (commands, next) = page(commands, size, |last| {
        (last.requested, last.id.clone(), String::new())
    });
    Ok(Commands {
        commands: commands
            .iter()
            .map(|command| command.wire(&call.server.config.region))
            .collect(),
        next_token: call.token(next)?,
    })
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Invocations {
    command_invocations: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// An invocation with its command.
struct Invocation {
    command: Command,
    node: String,
    node_name: String,
    state: State,
    trace: String,
    steps: StepReports,
}

/// What follows [`COLUMNS`] in the rows of invocations.
const INVOCATION: &str = "i.node_id, i.state, i.trace, i.steps, n.name";
const FROM: &str = " FROM invocations i JOIN commands c ON c.id = i.command_id LEFT JOIN nodes n ON n.id = i.node_id WHERE 1 = 1";

impl Invocation {
    fn of_row(row: &Row) -> Result<Self, ApiError> {
        let state: String = row.get(12)?;
        Ok(Self {
            command: Command::of_row(row)?,
            node: row.get(11)?,
            state: State::of_details(&state).unwrap_or(State::InProgress),
            trace: row.get(13)?,
            steps: match row.get::<Option<String>>(14)? {
                Some(text) => of_json(&text)?,
                None => StepReports::new(),
            },
            node_name: row.get::<Option<String>>(15)?.unwrap_or_default(),
        })
    }

    fn url(&self, region: &str, step: &StepName, stream: &str) -> String {
        self.command
            .request
            .output_url(region, &self.command.id, &self.node, step, stream)
    }

    fn wire(&self, region: &str, details: bool) -> Value {
        let request = &self.command.request;
        let first = request.steps.first();
        let url = |stream| first.map_or_else(String::new, |step| self.url(region, step, stream));
        json!({
            "CommandId": self.command.id,
            "InstanceId": self.node,
            "InstanceName": self.node_name,
            "Comment": request.comment,
            "DocumentName": self.command.document_name,
            "DocumentVersion": request.document_version,
            "RequestedDateTime": Epoch::of_millis(self.command.requested),
            "Status": self.state.status(),
            "StatusDetails": self.state.details(),
            "TraceOutput": self.trace,
            "StandardOutputUrl": url("stdout"),
            "StandardErrorUrl": url("stderr"),
            "CommandPlugins": if details { self.plugins(region) } else { Vec::new() },
            "ServiceRole": request.service_role,
            "NotificationConfig": request.notification(),
            "CloudWatchOutputConfig": request.cloud_watch(),
        })
    }

    fn plugins(&self, region: &str) -> Vec<Value> {
        let request = &self.command.request;
        request
            .steps
            .iter()
            .map(|step| {
                let report = self.steps.get(&step.name);
                let state = self.step_state(report);
                let mut plugin = json!({
                    "Name": step.name,
                    "Status": plugin_status(state),
                    "StatusDetails": state.details(),
                    "ResponseCode": response_code(state, report),
                    "Output": report.map(output).unwrap_or_default(),
                    "StandardOutputUrl": self.url(region, step, "stdout"),
                    "StandardErrorUrl": self.url(region, step, "stderr"),
                    "OutputS3Region": region,
                    "OutputS3BucketName": request.output_bucket,
                    "OutputS3KeyPrefix": request.output_prefix,
                });
                if let (Value::Object(plugin), Some(report)) = (&mut plugin, report) {
                    for (member, time) in [
                        ("ResponseStartDateTime", report.started),
                        ("ResponseFinishDateTime", report.finished),
                    ] {
                        if let Some(time) = time {
                            plugin.insert(member.to_owned(), json!(Epoch::of_millis(time)));
                        }
                    }
                }
                plugin
            })
            .collect()
    }

    /// A step that its node told nothing of is what its invocation is.
    fn step_state(&self, report: Option<&StepReport>) -> State {
        match report {
            Some(report) => State::of_node(&report.status),
            None if self.state.is_terminal() => self.state,
            None => State::Pending,
        }
    }
}

/// Plugins have fewer words for their status.
fn plugin_status(state: State) -> &'static str {
    match state {
        State::Delayed => "Pending",
        State::Cancelling => "InProgress",
        other => other.status(),
    }
}

/// -1 until the step was run.
fn response_code(state: State, report: Option<&StepReport>) -> i64 {
    match report {
        Some(report) if state.is_terminal() => report.code,
        _ => -1,
    }
}

fn output(report: &StepReport) -> String {
    let mut text = report.stdout.clone();
    if !report.stderr.is_empty() {
        text.push_str(SEPARATOR);
        text.push_str(&report.stderr);
    }
    cut(text, OUTPUT)
}

/// Newest first.
pub(crate) async fn list_invocations(call: Call, input: List) -> Result<Invocations, ApiError> {
    let after: Option<Cursor> = call.cursor(input.next_token.as_deref())?;
    let size = input.max_results.unwrap_or(PAGE);
    let mut query = Query::new("SELECT ");
    query.push(COLUMNS).push(", ").push(INVOCATION).push(FROM);
    if let Some(id) = &input.command_id {
        query.push(" AND i.command_id = ").bind(id);
    }
    if let Some(node) = &input.instance_id {
        query.push(" AND i.node_id = ").bind(node);
    }
    for filter in &input.filters {
        match filter.key.as_str() {
            "InvokedAfter" => query.push(" AND i.requested >= ").bind(filter.time()?),
            "InvokedBefore" => query.push(" AND i.requested <= ").bind(filter.time()?),
            "DocumentName" => query.push(" AND c.document_name = ").bind(&filter.value),
            "Status" => {
                let states = State::ALL.into_iter().filter(|state| {
                    state.status() == filter.value || state.details() == filter.value
                });
                query
                    .push(" AND i.state")
                    .one_of(states.map(State::details))
            }
            _ => return Err(filter.unknown("InvokedAfter, InvokedBefore, Status, DocumentName")),
        };
    }
    if let Some((requested, command, node)) = &after {
        query
            .push(" AND (i.requested < ")
            .bind(*requested)
            .push(" OR (i.requested = ")
            .bind(*requested);
        query
            .push(" AND (i.command_id < ")
            .bind(command)
            .push(" OR (i.command_id = ")
            .bind(command);
        query.push(" AND i.node_id < ").bind(node).push("))))");
    }
    query
        .push(" ORDER BY i.requested DESC, i.command_id DESC, i.node_id DESC LIMIT ")
        .bind(size as i64 + 1);
    let rows = call
        .server
        .store
        .read::<_, ApiError>(move |tx| Ok(query.run(tx)?))
        .await?;
    let invocations = rows
        .iter()
        .map(Invocation::of_row)
        .collect::<Result<Vec<_>, _>>()?;
    let (invocations, next) = page(invocations, size, |last| {
        (
            last.command.requested,
            last.command.id.clone(),
            last.node.clone(),
        )
    });
    let region = &call.server.config.region;
    Ok(Invocations {
        command_invocations: invocations
            .iter()
            .map(|invocation| invocation.wire(region, input.details))
            .collect(),
        next_token: call.token(next)?,
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetInvocation {
    command_id: String,
    instance_id: String,
    plugin_name: Option<String>,
}

pub(crate) async fn get_invocation(call: Call, input: GetInvocation) -> Result<Value, ApiError> {
    let (command, node) = (input.command_id.clone(), input.instance_id.clone());
    let row = call
        .server
        .store
        .read::<_, ApiError>(move |tx| {
            let text = format!(
                "SELECT {COLUMNS}, {INVOCATION}{FROM} AND i.command_id = $1 AND i.node_id = $2"
            );
            // While targets are being found a command has none that count.
            let text = format!("{text} AND c.phase <> {RESOLVING}");
            Ok(tx.query_one(&text, params![&command, &node])?)
        })
        .await?;
    let Some(row) = row else {
        return Err(ApiError::new(
            "InvocationDoesNotExist",
            format!(
                "The command {} has no invocation on {}.",
                input.command_id, input.instance_id
            ),
        ));
    };
    let invocation = Invocation::of_row(&row)?;
    let request = &invocation.command.request;
    let step = match (&input.plugin_name, &request.steps[..]) {
        (Some(name), steps) => Some(steps.iter().find(|step| step.name == *name).ok_or_else(
            || {
                let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
                ApiError::new(
                    "InvalidPluginName",
                    format!(
                        "The document has no step {name}; its steps are {}.",
                        names.join(", ")
                    ),
                )
            },
        )?),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    let report = step.and_then(|step| invocation.steps.get(&step.name));
    let state = if step.is_some() {
        invocation.step_state(report)
    } else {
        invocation.state
    };
    let region = &call.server.config.region;
    let url = |stream| step.map_or_else(String::new, |step| invocation.url(region, step, stream));
    // Of a document of several steps: the first code that is none of success.
    let all = || {
        invocation
            .steps
            .values()
            .map(|step| step.code)
            .find(|code| *code != 0)
            .unwrap_or(0)
    };
    let code = match step {
        Some(_) => response_code(state, report),
        None if invocation.state.is_terminal() && !invocation.steps.is_empty() => all(),
        None => -1,
    };
    let (started, finished) =
        report.map_or((None, None), |report| (report.started, report.finished));
    let state = if input.plugin_name.is_some() {
        state
    } else {
        invocation.state
    };
    Ok(json!({
        "CommandId": invocation.command.id,
        "InstanceId": invocation.node,
        "Comment": request.comment,
        "DocumentName": invocation.command.document_name,
        "DocumentVersion": request.document_version,
        "PluginName": step.map(|step| step.name.as_str()).unwrap_or_default(),
        "ResponseCode": code,
        "ExecutionStartDateTime": time(started),
        "ExecutionElapsedTime": elapsed(started, finished),
        "ExecutionEndDateTime": time(finished),
        "Status": state.status(),
        "StatusDetails": state.details(),
        "StandardOutputContent": report.map(|report| report.stdout.as_str()).unwrap_or_default(),
        "StandardOutputUrl": url("stdout"),
        "StandardErrorContent": report.map(|report| report.stderr.as_str()).unwrap_or_default(),
        "StandardErrorUrl": url("stderr"),
        "CloudWatchOutputConfig": request.cloud_watch(),
    }))
}

/// A time in words, empty for none: not one of the API's timestamps.
fn time(millis: Option<i64>) -> String {
    millis
        .and_then(|millis| Timestamp::from_millisecond(millis).ok())
        .map_or_else(String::new, |time| {
            time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
        })
}

/// An ISO 8601 duration, empty for none: `PT2.5S`, `PT1H0.271S`.
fn elapsed(started: Option<i64>, finished: Option<i64>) -> String {
    let (Some(started), Some(finished)) = (started, finished) else {
        return String::new();
    };
    let millis = (finished - started).max(0);
    let (hours, minutes, rest) = (millis / 3_600_000, millis / 60_000 % 60, millis % 60_000);
    let mut text = "PT".to_owned();
    if hours > 0 {
        text.push_str(&format!("{hours}H"));
    }
    if minutes > 0 {
        text.push_str(&format!("{minutes}M"));
    }
    #[expect(clippy::cast_precision_loss, reason = "less than a minute")]
    text.push_str(&format!("{}S", rest as f64 / 1000.0));
    text
}

#[cfg(test)]
mod tests {
    use super::{elapsed, time};

    #[test]
    fn times_are_words() {
        assert_eq!(time(None), "");
        assert_eq!(time(Some(1_705_276_800_500)), "2024-01-15T00:00:00.500Z");
        for (millis, expected) in [
            (2_500, "PT2.5S"),
            (3_600_271, "PT1H0.271S"),
            (61_000, "PT1M1S"),
            (0, "PT0S"),
        ] {
            assert_eq!(elapsed(Some(5), Some(5 + millis)), expected);
        }
        assert_eq!(elapsed(Some(5), None), "");
    }
}
