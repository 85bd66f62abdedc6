//! What is due without anybody asking: commands whose time is over, those that a crash left standing, and old ones.

use capstan_store::{Transaction, params};

use super::dispatch::{advance, lock};
use super::status::State;
use super::{FINISHED, RUNNING};
use crate::delivery;
use crate::error::ApiError;

/// How long a command is kept after it was sent, in milliseconds: 30 days, as AWS has it.
const KEPT: i64 = 30 * 24 * 3600 * 1000;

/// Whether the time of a command is over.
pub(crate) fn is_due(tx: &mut Transaction<'_>, now: i64) -> Result<bool, ApiError> {
    let command = tx.query_one(
        "SELECT 1 FROM commands WHERE phase < 2 AND expires <= $1 LIMIT 1",
        params![now],
    )?;
    Ok(command.is_some())
}

/// Ends what is still open of commands whose time is over; at most `count` of them.
pub(crate) fn expire(tx: &mut Transaction<'_>, count: i64, now: i64) -> Result<(), ApiError> {
    let due = tx.query(
        "SELECT id FROM commands WHERE phase < 2 AND expires <= $1 ORDER BY expires, id LIMIT $2",
        params![now, count],
    )?;
    for row in due {
        let id: String = row.get(0)?;
        if !lock(tx, &id)? {
            continue;
        }
        let timed_out = tx.execute(
            "UPDATE invocations SET state = $2, is_open = 0, finished = $3 WHERE command_id = $1 AND is_open = 1",
            params![&id, State::DeliveryTimedOut.details(), now],
        )?;
        delivery::withdraw_all(tx, &id)?;
        tx.execute(
            "UPDATE commands SET phase = $2, started = targets, ended = targets, completed = completed + $3, \
             delivery_timed_out = delivery_timed_out + $3 WHERE id = $1",
            params![&id, RUNNING, timed_out as i64],
        )?;
        advance(tx, &id, now)?;
    }
    Ok(())
}

/// Commands of which nothing runs although something may, as after a crash; at most `count` of them.
pub(crate) fn stalled(tx: &mut Transaction<'_>, count: i64) -> Result<Vec<String>, ApiError> {
    let rows = tx.query(
        "SELECT id FROM commands WHERE phase < 2 AND phase = $1 AND started < targets AND ended >= started \
         ORDER BY requested, id LIMIT $2",
        params![RUNNING, count],
    )?;
    rows.iter().map(|row| Ok(row.get(0)?)).collect()
}

/// Forgets a command that is kept no longer. Whether there was one.
pub(crate) fn purge(tx: &mut Transaction<'_>, now: i64) -> Result<bool, ApiError> {
    let oldest = tx.query_one(
        "SELECT id FROM commands WHERE requested < $1 AND phase = $2 ORDER BY requested, id LIMIT 1",
        params![now - KEPT, FINISHED],
    )?;
    let Some(row) = oldest else { return Ok(false) };
    let id: String = row.get(0)?;
    tx.execute(
        "DELETE FROM invocations WHERE command_id = $1",
        params![&id],
    )?;
    tx.execute("DELETE FROM messages WHERE command_id = $1", params![&id])?;
    tx.execute("DELETE FROM commands WHERE id = $1", params![&id])?;
    Ok(true)
}
