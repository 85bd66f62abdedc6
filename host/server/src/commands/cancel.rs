//! CancelCommand.

use std::collections::BTreeSet;

use capstan_store::{Transaction, params};
use serde::Deserialize;

use super::dispatch::{self, advance, lock};
use super::status::State;
use crate::api::Call;
use crate::delivery;
use crate::error::ApiError;
use crate::wire::Nothing;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Cancel {
    command_id: String,
    #[serde(default)]
    instance_ids: Vec<String>,
}

/// What did not reach its node is cancelled here and now; a node that has it is asked to stop. A command that is over
/// stays as it is, and that is no error.
pub(crate) async fn cancel(call: Call, input: Cancel) -> Result<Nothing, ApiError> {
    let ids: BTreeSet<&String> = input.instance_ids.iter().collect();
    if ids.len() < input.instance_ids.len() {
        return Err(ApiError::new(
            "DuplicateInstanceId",
            "InstanceIds names a node twice.",
        ));
    }
    let now = call.millis();
    call.server
        .store
        .write(move |tx| {
            let known = tx.query_one(
                "SELECT 1 FROM commands WHERE id = $1",
                params![&input.command_id],
            )?;
            if known.is_none() {
                return Err(no_command(&input.command_id));
            }
            for node in &input.instance_ids {
                let row = tx.query_one(
                    "SELECT 1 FROM invocations WHERE command_id = $1 AND node_id = $2",
                    params![&input.command_id, node],
                )?;
                if row.is_none() {
                    return Err(ApiError::new(
                        "InvalidInstanceId",
                        format!("The command {} was not sent to {node}.", input.command_id),
                    ));
                }
            }
            if !lock(tx, &input.command_id)? {
                return Ok(());
            }
            if input.instance_ids.is_empty() {
                everywhere(tx, &input.command_id, now)?;
            } else {
                for node in &input.instance_ids {
                    on_node(tx, &input.command_id, node, now)?;
                }
            }
            advance(tx, &input.command_id, now)?;
            Ok(())
        })
        .await?;
    call.server.wake();
    Ok(Nothing {})
}

/// There is no such command.
pub(super) fn no_command(id: &str) -> ApiError {
    ApiError::new("InvalidCommandId", format!("There is no command {id}."))
}

fn everywhere(tx: &mut Transaction<'_>, id: &str, now: i64) -> Result<(), ApiError> {
    let waiting = tx.execute(
        "UPDATE invocations SET state = $2, is_open = 0, finished = $3 \
         WHERE command_id = $1 AND dispatched = 0 AND is_open = 1",
        params![id, State::Cancelled.details(), now],
    )?;
    tx.execute(
        "UPDATE commands SET cancelled = 1, status = 'Cancelling', details = 'Cancelling', completed = completed + $2, \
         ended = ended + targets - started, started = targets WHERE id = $1",
        params![id, waiting as i64],
    )?;
    let rows = tx.query(
        "SELECT node_id FROM invocations WHERE command_id = $1 AND is_open = 1 ORDER BY position",
        params![id],
    )?;
    for row in rows {
        on_node(tx, id, &row.get::<String>(0)?, now)?;
    }
    Ok(())
}

fn on_node(tx: &mut Transaction<'_>, id: &str, node: &str, now: i64) -> Result<(), ApiError> {
    let row = tx.query_one(
        "SELECT dispatched, state FROM invocations WHERE command_id = $1 AND node_id = $2 AND is_open = 1",
        params![id, node],
    )?;
    let Some(row) = row else { return Ok(()) };
    let (dispatched, state): (bool, String) = (row.get(0)?, row.get(1)?);
    if !dispatched || delivery::take_back(tx, id, node)? {
        dispatch::end(tx, id, node, State::Cancelled, now)?;
    } else if state != State::Cancelling.details() {
        tx.execute(
            "UPDATE invocations SET state = $3 WHERE command_id = $1 AND node_id = $2",
            params![id, node, State::Cancelling.details()],
        )?;
        delivery::send_cancel(tx, id, node, now)?;
    }
    Ok(())
}
