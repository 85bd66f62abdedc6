//! Run Command: commands, their invocations on nodes, and how far they are.
//!
//! A command is stored before it is answered. Its targets are found ([`targets`]), invocations start as rate control
//! allows ([`rate`], [`dispatch`]), nodes report ([`reports`]), and time runs out ([`due`]). Every change
//! locks the command's row first, so that two servers on one database never disagree.

mod cancel;
pub(crate) mod dispatch;
pub(crate) mod due;
mod rate;
mod read;
mod record;
pub(crate) mod reports;
mod send;
mod settings;
mod status;
pub(crate) mod targets;

use capstan_store::{Migration, Transaction, params};

pub(crate) use cancel::cancel;
pub(crate) use read::{get_invocation, list, list_invocations};
pub(crate) use record::payload;
pub(crate) use send::send;

use crate::error::ApiError;

/// The tables of commands and invocations.
pub(crate) const MIGRATION: Migration = Migration {
    component: "commands",
    version: 1,
    sql: "CREATE TABLE commands (
        id TEXT NOT NULL PRIMARY KEY,
        document_name TEXT NOT NULL,
        content TEXT NOT NULL,
        request TEXT NOT NULL,
        requested BIGINT NOT NULL,
        deliver_until BIGINT NOT NULL,
        expires BIGINT NOT NULL,
        phase BIGINT NOT NULL,
        resolved_to TEXT NOT NULL,
        cancelled BIGINT NOT NULL,
        status TEXT NOT NULL,
        details TEXT NOT NULL,
        targets BIGINT NOT NULL,
        started BIGINT NOT NULL,
        ended BIGINT NOT NULL,
        completed BIGINT NOT NULL,
        errors BIGINT NOT NULL,
        delivery_timed_out BIGINT NOT NULL,
        revision BIGINT NOT NULL
    );
    CREATE INDEX commands_by_time ON commands (requested, id);
    CREATE INDEX commands_open ON commands (expires) WHERE phase < 2;
    CREATE TABLE invocations (
        command_id TEXT NOT NULL,
        node_id TEXT NOT NULL,
        position BIGINT NOT NULL,
        requested BIGINT NOT NULL,
        state TEXT NOT NULL,
        is_open BIGINT NOT NULL,
        dispatched BIGINT NOT NULL,
        started BIGINT,
        finished BIGINT,
        trace TEXT NOT NULL,
        steps TEXT,
        PRIMARY KEY (command_id, node_id)
    );
    CREATE UNIQUE INDEX invocations_by_position ON invocations (command_id, position);
    CREATE INDEX invocations_by_node ON invocations (node_id, requested, command_id);
    CREATE INDEX invocations_by_time ON invocations (requested, command_id, node_id)",
};

/// Targets are being found.
pub(crate) const RESOLVING: i64 = 0;
/// Invocations start and end.
pub(crate) const RUNNING: i64 = 1;
/// Nothing changes any more.
pub(crate) const FINISHED: i64 = 2;

/// A node was deregistered: what it has not begun it will not.
pub(crate) fn node_left(tx: &mut Transaction<'_>, node_id: &str, now: i64) -> Result<(), ApiError> {
    let open = tx.query(
        "SELECT command_id FROM invocations WHERE node_id = $1 AND is_open = 1 AND dispatched = 1 ORDER BY command_id",
        params![node_id],
    )?;
    for row in open {
        let command: String = row.get(0)?;
        dispatch::lock(tx, &command)?;
        dispatch::end(tx, &command, node_id, status::State::Undeliverable, now)?;
        dispatch::advance(tx, &command, now)?;
    }
    Ok(())
}
