//! Message delivery to nodes by long poll: the service `ec2messages` as the SSM agent speaks it.
//!
//! A message waits in the store until its node fetches it; one that was fetched and not acknowledged in time is given
//! out again. The acknowledgement decides: a message that was taken back before (cancelled, or too late) cannot be
//! acknowledged any more, and the node does not run it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use capstan_store::{Migration, Transaction, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use crate::api::Call;
use crate::auth::{Caller, hex};
use crate::commands;
use crate::error::ApiError;
use crate::server::Server;
use crate::wire::Nothing;

/// The table of messages.
pub(crate) const MIGRATION: Migration = Migration {
    component: "messages",
    version: 1,
    sql: "CREATE TABLE messages (
        id TEXT NOT NULL PRIMARY KEY,
        node_id TEXT NOT NULL,
        command_id TEXT NOT NULL,
        is_cancel BIGINT NOT NULL,
        created BIGINT NOT NULL,
        visible BIGINT NOT NULL,
        expires BIGINT NOT NULL,
        deliveries BIGINT NOT NULL,
        acknowledged BIGINT NOT NULL
    );
    CREATE INDEX messages_by_node ON messages (node_id, visible);
    CREATE INDEX messages_by_command ON messages (command_id)",
};

/// How long a poll is held.
const HOLD: Duration = Duration::from_secs(20);
/// Messages that one poll gives.
const MOST: i64 = 5;
/// Milliseconds until a message that was not acknowledged is given out again, unless the poll says so.
const VISIBILITY: i64 = 10_000;
/// How long a cancellation waits for its node, in milliseconds.
const CANCEL_WAITS: i64 = 3_600_000;
/// Bytes of a notice's payload.
const NOTICE: usize = 7_000;
/// The channel of notices that nodes have messages.
pub(crate) const CHANNEL: &str = "messages";

fn message_id(command: &str, node: &str) -> String {
    format!("aws.ssm.{command}.{node}")
}

/// Puts the message of a command for each of these nodes, and wakes their polls.
pub(crate) fn send(
    tx: &mut Transaction<'_>,
    command: &str,
    nodes: &[String],
    until: i64,
    now: i64,
) -> Result<(), ApiError> {
    for node in nodes {
        put(
            tx,
            &message_id(command, node),
            command,
            node,
            false,
            until,
            now,
        )?;
    }
    // As many as one notice holds.
    let mut payload = String::new();
    for node in nodes {
        if payload.len() + node.len() >= NOTICE {
            tx.notify(CHANNEL, std::mem::take(&mut payload))?;
        }
        if !payload.is_empty() {
            payload.push(' ');
        }
        payload.push_str(node);
    }
    if !payload.is_empty() {
        tx.notify(CHANNEL, payload)?;
    }
    Ok(())
}

/// Asks a node to stop a command.
pub(crate) fn send_cancel(
    tx: &mut Transaction<'_>,
    command: &str,
    node: &str,
    now: i64,
) -> Result<(), ApiError> {
    let id = format!("aws.ssm.{}.{node}", uuid::Uuid::new_v4());
    put(tx, &id, command, node, true, now + CANCEL_WAITS, now)?;
    tx.notify(CHANNEL, node)?;
    Ok(())
}

fn put(
    tx: &mut Transaction<'_>,
    id: &str,
    command: &str,
    node: &str,
    is_cancel: bool,
    until: i64,
    now: i64,
) -> Result<(), ApiError> {
    tx.execute(
        "INSERT INTO messages (id, node_id, command_id, is_cancel, created, visible, expires, deliveries, acknowledged) \
         VALUES ($1, $2, $3, $4, $5, $5, $6, 0, 0) ON CONFLICT DO NOTHING",
        params![id, node, command, is_cancel, now, until],
    )?;
    Ok(())
}

/// The invocation is over: its message is not needed any more.
pub(crate) fn withdraw(
    tx: &mut Transaction<'_>,
    command: &str,
    node: &str,
) -> Result<(), ApiError> {
    tx.execute(
        "DELETE FROM messages WHERE id = $1",
        params![&message_id(command, node)],
    )?;
    Ok(())
}

/// The command is over.
pub(crate) fn withdraw_all(tx: &mut Transaction<'_>, command: &str) -> Result<(), ApiError> {
    tx.execute(
        "DELETE FROM messages WHERE command_id = $1 AND is_cancel = 0",
        params![command],
    )?;
    Ok(())
}

/// Takes a message back that its node did not acknowledge. False if it did.
pub(crate) fn take_back(
    tx: &mut Transaction<'_>,
    command: &str,
    node: &str,
) -> Result<bool, ApiError> {
    let taken = tx.execute(
        "DELETE FROM messages WHERE id = $1 AND acknowledged = 0",
        params![&message_id(command, node)],
    )?;
    Ok(taken == 1)
}

/// Forgets messages that nobody may have any more.
pub(crate) fn forget(tx: &mut Transaction<'_>, now: i64) -> Result<(), ApiError> {
    tx.execute(
        "DELETE FROM messages WHERE expires <= $1 AND acknowledged = 0",
        params![now],
    )?;
    Ok(())
}

/// Polls that wait, by node.
#[derive(Debug, Default)]
pub(crate) struct Polls {
    waiting: Mutex<HashMap<String, Arc<Notify>>>,
}

impl Polls {
    fn wait(&self, node: &str) -> Arc<Notify> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.entry(node.to_owned()).or_default().clone()
    }

    /// Forgets a node that no poll waits for any more.
    fn done(&self, node: &str) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // One is the map's, one that of the poll that is done.
        if waiting
            .get(node)
            .is_some_and(|notify| Arc::strong_count(notify) <= 2)
        {
            waiting.remove(node);
        }
    }

    /// Wakes the polls of these nodes, whose ids spaces part.
    pub(crate) fn wake(&self, nodes: &str) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for node in nodes.split(' ') {
            if let Some(notify) = waiting.get(node) {
                notify.notify_waiters();
            }
        }
    }

    /// Wakes all polls: something may have been missed, or the server ends.
    pub(crate) fn wake_all(&self) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for notify in waiting.values() {
            notify.notify_waiters();
        }
    }
}

/// A poll that waits. It ends when its client goes, too.
struct Poll<'a> {
    server: &'a Server,
    node: &'a str,
    notify: Arc<Notify>,
}

impl<'a> Poll<'a> {
    fn new(server: &'a Server, node: &'a str) -> Self {
        server.metrics.polling.inc();
        Self {
            server,
            node,
            notify: server.polls.wait(node),
        }
    }
}

impl Drop for Poll<'_> {
    fn drop(&mut self) {
        self.server.metrics.polling.dec();
        self.server.polls.done(self.node);
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetMessages {
    destination: String,
    messages_request_id: String,
    visibility_timeout_in_seconds: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Messages {
    destination: String,
    messages_request_id: String,
    messages: Vec<Message>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    message_id: String,
    destination: String,
    created_date: String,
    topic: String,
    payload: String,
    payload_digest: String,
}

/// The caller, who can only be a node.
fn node(call: &Call) -> Result<String, ApiError> {
    match &call.caller {
        Caller::Node(id) => Ok(id.clone()),
        other => Err(crate::api::denied(
            other,
            &call.server.config.account,
            call.operation,
        )),
    }
}

/// Answers when there is a message, or with none after a while.
pub(crate) async fn get_messages(call: Call, input: GetMessages) -> Result<Messages, ApiError> {
    let node = node(&call)?;
    if node != input.destination {
        return Err(ApiError::new(
            "AccessDeniedException",
            format!("{node} cannot fetch the messages of {}.", input.destination),
        ));
    }
    let server = &call.server;
    let visibility = input
        .visibility_timeout_in_seconds
        .map_or(VISIBILITY, |seconds| seconds.clamp(1, 3600) * 1000);
    let until = tokio::time::Instant::now() + HOLD;
    let poll = Poll::new(server, &node);
    let messages = loop {
        let woken = poll.notify.notified();
        tokio::pin!(woken);
        // From here on nothing is missed.
        woken.as_mut().enable();
        let next = match look(&call, &node).await? {
            Some(wait) if wait.is_zero() => {
                let messages = fetch(&call, &node, visibility).await?;
                if !messages.is_empty() {
                    break messages;
                }
                HOLD
            }
            // One was given out before: it is to be had again then.
            Some(wait) => wait,
            None => HOLD,
        };
        let now = tokio::time::Instant::now();
        if server.is_stopping() || now >= until {
            break Vec::new();
        }
        let _ = tokio::time::timeout_at(until.min(now + next), woken).await;
    };
    Ok(Messages {
        messages,
        destination: input.destination,
        messages_request_id: input.messages_request_id,
    })
}

/// How long it is until a message can be had; nothing if there is none. Looking costs less than writing, and nearly
/// always there is none.
async fn look(call: &Call, node: &str) -> Result<Option<Duration>, ApiError> {
    let now = call.server.clock.now().as_millisecond();
    let id = node.to_owned();
    let first = call
        .server
        .store
        .read::<_, ApiError>(move |tx| {
            let row = tx.query_one(
                "SELECT MIN(visible) FROM messages WHERE node_id = $1 AND acknowledged = 0 AND expires > $2",
                params![&id, now],
            )?;
            Ok(row.map(|row| row.get::<Option<i64>>(0)).transpose()?.flatten())
        })
        .await?;
    Ok(first.map(|visible| Duration::from_millis(u64::try_from(visible - now).unwrap_or(0))))
}

/// Takes the messages that can be had, and hides them for a while.
async fn fetch(call: &Call, node: &str, visibility: i64) -> Result<Vec<Message>, ApiError> {
    let now = call.server.clock.now().as_millisecond();
    let id = node.to_owned();
    call.server
        .store
        .write(move |tx| {
            let rows = tx.query(
                "SELECT id, command_id, is_cancel, created, deliveries FROM messages \
                 WHERE node_id = $1 AND acknowledged = 0 AND visible <= $2 AND expires > $2 \
                 ORDER BY created, id LIMIT $3",
                params![&id, now, MOST],
            )?;
            let mut messages = Vec::new();
            for row in rows {
                let (message, command): (String, String) = (row.get(0)?, row.get(1)?);
                let (cancel, created, deliveries): (bool, i64, i64) =
                    (row.get(2)?, row.get(3)?, row.get(4)?);
                tx.execute(
                    "UPDATE messages SET visible = $2, deliveries = deliveries + 1 WHERE id = $1",
                    params![&message, now + visibility],
                )?;
                if deliveries > 0 && !cancel {
                    commands::reports::delayed(tx, &command, &id)?;
                }
                let (topic, payload) = if cancel {
                    (
                        "cancelCommand",
                        json!({"CancelMessageId": message_id(&command, &id)}),
                    )
                } else if let Some(payload) = commands::payload(tx, &command)? {
                    ("sendCommand", payload)
                } else {
                    continue;
                };
                messages.push(message_of(message, &id, topic, &command, created, &payload));
            }
            Ok::<_, ApiError>(messages)
        })
        .await
}

fn message_of(
    id: String,
    node: &str,
    topic: &str,
    command: &str,
    created: i64,
    payload: &Value,
) -> Message {
    let payload = payload.to_string();
    Message {
        message_id: id,
        destination: node.to_owned(),
        created_date: jiff::Timestamp::from_millisecond(created)
            .unwrap_or_default()
            .to_string(),
        topic: format!("aws.ssm.{topic}.{command}"),
        payload_digest: hex(&Sha256::digest(payload.as_bytes())),
        payload,
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct OfMessage {
    message_id: String,
    #[serde(default)]
    failure_type: String,
    #[serde(default)]
    payload: String,
}

/// The command and the node of the message of a command, which has to be the caller's.
fn of_message<'a>(id: &'a str, node: &str) -> Result<&'a str, ApiError> {
    id.strip_prefix("aws.ssm.")
        .and_then(|rest| rest.rsplit_once('.'))
        .filter(|(_, of)| *of == node)
        .map(|(command, _)| command)
        .ok_or_else(|| {
            ApiError::new(
                "AccessDeniedException",
                format!("The message {id} is not one of {node}."),
            )
        })
}

/// From here on the message is the node's: it will run what it says.
pub(crate) async fn acknowledge(call: Call, input: OfMessage) -> Result<Nothing, ApiError> {
    let node = node(&call)?;
    let command = of_message(&input.message_id, &node)?.to_owned();
    let now = call.millis();
    call.server
        .store
        .write(move |tx| {
            let known = tx.execute(
                "UPDATE messages SET acknowledged = 1 WHERE id = $1 AND (acknowledged = 1 OR expires > $2)",
                params![&input.message_id, now],
            )?;
            if known == 0 {
                return Err(ApiError::new(
                    "InvalidMessageId",
                    format!("The message {} is not to be had any more: it was taken back, or is over.", input.message_id),
                ));
            }
            commands::reports::accepted(tx, &command, &node, now)
        })
        .await?;
    Ok(Nothing {})
}

/// The node cannot do what the message says.
pub(crate) async fn fail(call: Call, input: OfMessage) -> Result<Nothing, ApiError> {
    let node = node(&call)?;
    let command = of_message(&input.message_id, &node)?.to_owned();
    let now = call.millis();
    call.server
        .store
        .write(move |tx| {
            tx.execute(
                "DELETE FROM messages WHERE id = $1",
                params![&input.message_id],
            )?;
            let why = format!("the node cannot handle the message: {}", input.failure_type);
            commands::reports::refused(tx, &command, &node, &why, now)
        })
        .await?;
    call.server.wake();
    Ok(Nothing {})
}

/// What a node tells of the command that a message brought.
pub(crate) async fn reply(call: Call, input: OfMessage) -> Result<Nothing, ApiError> {
    let node = node(&call)?;
    let command = of_message(&input.message_id, &node)?.to_owned();
    let reply: commands::reports::Reply =
        serde_json::from_str(&input.payload).map_err(|error| {
            ApiError::validation(format!("Payload is not a reply of an agent: {error}"))
        })?;
    let now = call.millis();
    let ended = call
        .server
        .store
        .write(move |tx| commands::reports::take(tx, &command, &node, &reply, now))
        .await?;
    if let Some(state) = ended {
        call.server.metrics.invocation(state.details());
        call.server.wake();
    }
    Ok(Nothing {})
}

/// The node is done with a message.
pub(crate) async fn delete(call: Call, input: OfMessage) -> Result<Nothing, ApiError> {
    let node = node(&call)?;
    of_message(&input.message_id, &node)?;
    call.server
        .store
        .write::<_, ApiError>(move |tx| {
            tx.execute(
                "DELETE FROM messages WHERE id = $1 AND acknowledged = 1",
                params![&input.message_id],
            )?;
            Ok(())
        })
        .await?;
    Ok(Nothing {})
}

#[derive(Debug, Deserialize)]
pub(crate) struct GetEndpoint {}

/// AWS redirects agents to other hosts with it; here the one that they asked is the right one.
pub(crate) async fn get_endpoint(call: Call, _: GetEndpoint) -> Result<Value, ApiError> {
    Ok(
        json!({"Endpoint": {"Protocol": "ec2messages", "Endpoint": ""}, "Destination": node(&call)?}),
    )
}
