//! What nodes tell of the commands that they run.

use std::collections::BTreeMap;

use capstan_store::{Transaction, params};
use jiff::Timestamp;
use serde::Deserialize;

use super::dispatch;
use super::record::{StepReport, StepReports};
use super::status::State;
use crate::error::ApiError;
use crate::wire::{json, of_json};

/// Characters of standard output that are kept of a step, as GetCommandInvocation gives them.
const STDOUT: usize = 24_000;
/// Characters of standard error.
const STDERR: usize = 8_000;
/// Characters of a trace.
const TRACE: usize = 2_500;

/// A reply of a node, in the form of the SSM agent.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reply {
    #[serde(default)]
    document_status: String,
    #[serde(default)]
    document_trace_output: Option<String>,
    /// By step, or by plugin in documents of schema 1.2.
    #[serde(default)]
    runtime_status: Option<BTreeMap<String, ReplyStep>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReplyStep {
    #[serde(default)]
    status: String,
    #[serde(default)]
    code: i64,
    #[serde(default)]
    output: String,
    #[serde(default)]
    start_date_time: String,
    #[serde(default)]
    end_date_time: String,
    #[serde(default)]
    standard_output: String,
    #[serde(default)]
    standard_error: String,
}

impl ReplyStep {
    fn report(&self) -> StepReport {
        let time = |text: &str| {
            text.parse::<Timestamp>()
                .ok()
                .map(|time| time.as_millisecond())
                .filter(|time| *time > 0)
        };
        let stdout = if self.standard_output.is_empty() && self.standard_error.is_empty() {
            &self.output
        } else {
            &self.standard_output
        };
        StepReport {
            started: time(&self.start_date_time),
            finished: time(&self.end_date_time),
            status: self.status.clone(),
            code: self.code,
            stdout: cut(stdout.clone(), STDOUT),
            stderr: cut(self.standard_error.clone(), STDERR),
        }
    }
}

/// The first `length` characters.
pub(super) fn cut(mut text: String, length: usize) -> String {
    if let Some((at, _)) = text.char_indices().nth(length) {
        text.truncate(at);
    }
    text
}

/// Takes a node's reply. Replies for what is over, or never was, are dropped. The state that the invocation ended
/// with, if it did.
pub(crate) fn take(
    tx: &mut Transaction<'_>,
    command: &str,
    node: &str,
    reply: &Reply,
    now: i64,
) -> Result<Option<State>, ApiError> {
    if !dispatch::lock(tx, command)? {
        return Ok(None);
    }
    let row = tx.query_one(
        "SELECT steps FROM invocations WHERE command_id = $1 AND node_id = $2 AND is_open = 1 AND dispatched = 1",
        params![command, node],
    )?;
    let Some(row) = row else { return Ok(None) };
    let mut steps: StepReports = match row.get::<Option<String>>(0)? {
        Some(text) => of_json(&text)?,
        None => StepReports::new(),
    };
    for (name, step) in reply.runtime_status.iter().flatten() {
        steps.insert(name.clone(), step.report());
    }
    let trace = cut(
        reply.document_trace_output.clone().unwrap_or_default(),
        TRACE,
    );
    tx.execute(
        "UPDATE invocations SET started = COALESCE(started, $3), steps = $4, trace = $5, \
         state = CASE WHEN state = 'Cancelling' THEN state ELSE 'InProgress' END \
         WHERE command_id = $1 AND node_id = $2",
        params![command, node, now, &json(&steps)?, &trace],
    )?;
    let state = State::of_node(&reply.document_status);
    if !state.is_terminal() {
        return Ok(None);
    }
    let ended = dispatch::end(tx, command, node, state, now)?;
    dispatch::advance(tx, command, now)?;
    Ok(ended.then_some(state))
}

/// A node has the command and will run it.
pub(crate) fn accepted(
    tx: &mut Transaction<'_>,
    command: &str,
    node: &str,
    now: i64,
) -> Result<(), ApiError> {
    tx.execute(
        "UPDATE invocations SET state = $3, started = COALESCE(started, $4) \
         WHERE command_id = $1 AND node_id = $2 AND is_open = 1 AND state IN ('Pending', 'Delayed')",
        params![command, node, State::InProgress.details(), now],
    )?;
    Ok(())
}

/// A node did not take the command the first time.
pub(crate) fn delayed(tx: &mut Transaction<'_>, command: &str, node: &str) -> Result<(), ApiError> {
    tx.execute(
        "UPDATE invocations SET state = $3 WHERE command_id = $1 AND node_id = $2 AND is_open = 1 AND state = 'Pending'",
        params![command, node, State::Delayed.details()],
    )?;
    Ok(())
}

/// A node cannot handle the command.
pub(crate) fn refused(
    tx: &mut Transaction<'_>,
    command: &str,
    node: &str,
    why: &str,
    now: i64,
) -> Result<(), ApiError> {
    if !dispatch::lock(tx, command)? {
        return Ok(());
    }
    tx.execute(
        "UPDATE invocations SET trace = $3 WHERE command_id = $1 AND node_id = $2 AND is_open = 1",
        params![command, node, &cut(why.to_owned(), TRACE)],
    )?;
    dispatch::end(tx, command, node, State::Undeliverable, now)?;
    dispatch::advance(tx, command, now)?;
    Ok(())
}
