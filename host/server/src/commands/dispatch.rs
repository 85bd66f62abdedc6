//! How a command goes on: the next invocations start, invocations end, time runs out, and the command is over.

use capstan_store::{Transaction, params};

use super::rate::{Control, Limit, Next, Progress};
use super::record::Request;
use super::status::{State, Tally};
use super::{FINISHED, RUNNING};
use crate::delivery;
use crate::error::ApiError;
use crate::nodes::NodeState;
use crate::wire::of_json;

/// The most invocations that start in one go, so that other work comes in between.
const BATCH: u64 = 500;

/// Locks a command for the rest of the transaction. Whether there is one that is not over.
pub(crate) fn lock(tx: &mut Transaction<'_>, id: &str) -> Result<bool, ApiError> {
    let locked = tx.execute(
        "UPDATE commands SET revision = revision + 1 WHERE id = $1 AND phase < $2",
        params![id, FINISHED],
    )?;
    Ok(locked == 1)
}

/// Ends an invocation, once: later ends of the same are nothing. The command has to be locked; [`advance`] has to
/// follow.
pub(crate) fn end(
    tx: &mut Transaction<'_>,
    command: &str,
    node: &str,
    state: State,
    now: i64,
) -> Result<bool, ApiError> {
    let ended = tx.execute(
        "UPDATE invocations SET state = $3, is_open = 0, finished = $4 \
         WHERE command_id = $1 AND node_id = $2 AND is_open = 1",
        params![command, node, state.details(), now],
    )?;
    if ended == 0 {
        return Ok(false);
    }
    delivery::withdraw(tx, command, node)?;
    tx.execute(
        "UPDATE commands SET completed = completed + 1, errors = errors + $3, delivery_timed_out = delivery_timed_out + $4, \
         ended = ended + (SELECT dispatched FROM invocations WHERE command_id = $1 AND node_id = $2) WHERE id = $1",
        params![command, node, state.is_error(), state == State::DeliveryTimedOut],
    )?;
    Ok(true)
}

/// A command as its dispatch sees it.
struct Running {
    id: String,
    request: Request,
    deliver_until: i64,
    cancelled: bool,
    control: Control,
    progress: Progress,
    completed: u64,
}

fn load(tx: &mut Transaction<'_>, id: &str) -> Result<Option<Running>, ApiError> {
    let row = tx.query_one(
        "SELECT request, deliver_until, cancelled, targets, started, ended, completed, errors FROM commands \
         WHERE id = $1 AND phase = $2",
        params![id, RUNNING],
    )?;
    let Some(row) = row else { return Ok(None) };
    let request: Request = of_json(&row.get::<String>(0)?)?;
    let count = |at: usize| {
        row.get::<i64>(at)
            .map(|count| u64::try_from(count).unwrap_or(0))
    };
    // What was accepted was checked.
    let limit = |text: &str, otherwise| text.parse().unwrap_or(Limit::Count(otherwise));
    Ok(Some(Running {
        id: id.to_owned(),
        control: Control::new(
            count(3)?,
            limit(&request.max_concurrency, 1),
            limit(&request.max_errors, 0),
        ),
        progress: Progress {
            started: count(4)?,
            ended: count(5)?,
            errors: count(7)?,
        },
        completed: count(6)?,
        deliver_until: row.get(1)?,
        cancelled: row.get(2)?,
        request,
    }))
}

/// Starts what may start, and ends the command if nothing is left. The command has to be locked. Whether more may
/// start at once, which another transaction should do.
pub(crate) fn advance(tx: &mut Transaction<'_>, id: &str, now: i64) -> Result<bool, ApiError> {
    let Some(mut running) = load(tx, id)? else {
        return Ok(false);
    };
    let before = running.progress;
    let mut budget = BATCH;
    loop {
        match running.control.next(&running.progress) {
            Next::Start(0) => break,
            Next::Start(_) if budget == 0 => break,
            Next::Start(count) => {
                let count = count.min(budget);
                budget -= count;
                start(tx, &mut running, count, now)?;
            }
            Next::Stop => stop(tx, &mut running, now)?,
        }
    }
    let over = running.completed >= running.control.targets;
    if running.progress != before || over {
        let status = if running.cancelled {
            "Cancelling"
        } else {
            "InProgress"
        };
        tx.execute(
            "UPDATE commands SET started = $2, ended = $3, completed = $4, errors = $5, status = $6, details = $6 WHERE id = $1",
            params![
                id,
                running.progress.started as i64,
                running.progress.ended as i64,
                running.completed as i64,
                running.progress.errors as i64,
                status
            ],
        )?;
    }
    if over {
        finish(tx, &running)?;
    }
    Ok(budget == 0 && !over)
}

/// Starts the next targets. Those that cannot be reached end at once.
fn start(
    tx: &mut Transaction<'_>,
    running: &mut Running,
    count: u64,
    now: i64,
) -> Result<(), ApiError> {
    let rows = tx.query(
        "SELECT i.node_id, i.is_open, n.id, n.platform_type, n.last_ping FROM invocations i \
         LEFT JOIN nodes n ON n.id = i.node_id \
         WHERE i.command_id = $1 AND i.position >= $2 AND i.position < $3 ORDER BY i.position",
        params![
            &running.id,
            running.progress.started as i64,
            (running.progress.started + count) as i64
        ],
    )?;
    let mut reached = Vec::new();
    for row in &rows {
        running.progress.started += 1;
        let id: String = row.get(0)?;
        let open: bool = row.get(1)?;
        if !open {
            // It was cancelled before its turn, and counted then.
            running.progress.ended += 1;
            continue;
        }
        let node = match row.get::<Option<String>>(2)? {
            Some(id) => Some(NodeState {
                id,
                platform: row.get(3)?,
                last_ping: row.get(4)?,
            }),
            None => None,
        };
        match obstacle(node.as_ref(), &running.request, now) {
            None => {
                tx.execute(
                    "UPDATE invocations SET dispatched = 1 WHERE command_id = $1 AND node_id = $2",
                    params![&running.id, &id],
                )?;
                reached.push(id);
            }
            Some(state) => {
                tx.execute(
                    "UPDATE invocations SET dispatched = 1, is_open = 0, state = $3, finished = $4 \
                     WHERE command_id = $1 AND node_id = $2",
                    params![&running.id, &id, state.details(), now],
                )?;
                running.progress.ended += 1;
                running.completed += 1;
            }
        }
    }
    // Rows cannot be missing, yet if they were, to go on would never end.
    running.progress.started += count.saturating_sub(rows.len() as u64);
    delivery::send(tx, &running.id, &reached, running.deliver_until, now)
}

/// What keeps a command from a node.
fn obstacle(node: Option<&NodeState>, request: &Request, now: i64) -> Option<State> {
    let Some(node) = node.filter(|node| node.is_online(now)) else {
        return Some(State::Undeliverable);
    };
    let runs_here = request.platforms.is_empty()
        || node
            .platform
            .as_ref()
            .is_none_or(|platform| request.platforms.contains(platform));
    (!runs_here).then_some(State::InvalidPlatform)
}

/// Those that did not start will not.
fn stop(tx: &mut Transaction<'_>, running: &mut Running, now: i64) -> Result<(), ApiError> {
    let terminated = tx.execute(
        "UPDATE invocations SET state = $3, is_open = 0, finished = $4 \
         WHERE command_id = $1 AND position >= $2 AND is_open = 1",
        params![
            &running.id,
            running.progress.started as i64,
            State::Terminated.details(),
            now
        ],
    )?;
    let left = running.control.targets - running.progress.started;
    running.progress.started += left;
    running.progress.ended += left;
    running.completed += terminated;
    Ok(())
}

/// The command is over: what it is called from now on.
fn finish(tx: &mut Transaction<'_>, running: &Running) -> Result<(), ApiError> {
    let mut tally = Tally::default();
    let rows = tx.query(
        "SELECT state, COUNT(*) FROM invocations WHERE command_id = $1 GROUP BY state",
        params![&running.id],
    )?;
    for row in rows {
        let (state, count): (String, i64) = (row.get(0)?, row.get(1)?);
        if let Some(state) = State::of_details(&state) {
            tally.add(state, u64::try_from(count).unwrap_or(0));
        }
    }
    let (status, details) = tally.outcome(running.cancelled, running.control.max_errors);
    tx.execute(
        "UPDATE commands SET phase = $2, status = $3, details = $4 WHERE id = $1",
        params![&running.id, FINISHED, status, details],
    )?;
    tx.notify("commands", running.id.as_str())?;
    Ok(())
}
