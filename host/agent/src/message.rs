//! Messages of the control plane. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// A command for this node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Command {
    /// Its id, and that of its run.
    pub id: String,
    /// The message that brought it, which replies name.
    pub message_id: String,
    /// The document's name.
    pub document: String,
    /// The document's text.
    pub source: String,
    /// The caller's parameters, in the API's form.
    pub parameters: BTreeMap<String, Value>,
    /// Where outputs are to go in S3; empty for nowhere.
    pub output_bucket: String,
    /// The prefix of their keys.
    pub output_prefix: String,
}

/// What came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Incoming {
    /// A command.
    Send(Box<Command>),
    /// A command is to be stopped.
    Cancel { message_id: String, command: String },
    /// A command that cannot be read: this is what the sender is told.
    Unreadable { message_id: String, why: String },
    /// Nothing that this agent knows.
    Unknown { message_id: String, topic: String },
    /// Not for this node, or no message at all.
    Foreign(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    message_id: String,
    #[serde(default)]
    destination: String,
    topic: String,
    payload: String,
    #[serde(default)]
    payload_digest: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendPayload {
    #[serde(default)]
    parameters: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    document_content: Value,
    /// The text as the operator wrote it, whose hash a policy may name. AWS does not send it.
    #[serde(default)]
    document_source: Option<String>,
    command_id: String,
    #[serde(default)]
    document_name: String,
    #[serde(rename = "OutputS3BucketName", default)]
    output_bucket: Option<String>,
    #[serde(rename = "OutputS3KeyPrefix", default)]
    output_prefix: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CancelPayload {
    cancel_message_id: String,
}

/// Reads a message for a node.
pub(crate) fn read(message: Value, node: &str) -> Incoming {
    let message: Message = match serde_json::from_value(message) {
        Ok(message) => message,
        Err(error) => return Incoming::Foreign(format!("it is no message: {error}")),
    };
    if !message.destination.is_empty() && message.destination != node {
        return Incoming::Foreign(format!("it is for {}", message.destination));
    }
    let message_id = message.message_id;
    let Some(id) = command_of(&message_id, node) else {
        return Incoming::Foreign(format!("{message_id} is no id of a message for this node"));
    };
    let unreadable = |why: String| Incoming::Unreadable {
        message_id: message_id.clone(),
        why,
    };
    let digest = hex(&Sha256::digest(message.payload.as_bytes()));
    if !message.payload_digest.is_empty() && !message.payload_digest.eq_ignore_ascii_case(&digest) {
        return unreadable("the message was changed on its way: its digest is another".to_owned());
    }
    if message.topic.starts_with("aws.ssm.sendCommand") {
        match send(&message.payload, &message_id, id) {
            Ok(command) => Incoming::Send(Box::new(command)),
            Err(why) => unreadable(why),
        }
    } else if message.topic.starts_with("aws.ssm.cancelCommand") {
        match serde_json::from_str::<CancelPayload>(&message.payload) {
            Ok(payload) => match command_of(&payload.cancel_message_id, node) {
                Some(command) => Incoming::Cancel {
                    command: command.to_owned(),
                    message_id,
                },
                None => unreadable("it cancels no command of this node".to_owned()),
            },
            Err(error) => unreadable(format!("the message cannot be read: {error}")),
        }
    } else {
        Incoming::Unknown {
            topic: message.topic,
            message_id,
        }
    }
}

fn send(payload: &str, message_id: &str, id: &str) -> Result<Command, String> {
    let payload: SendPayload = serde_json::from_str(payload)
        .map_err(|error| format!("the message cannot be read: {error}"))?;
    if payload.command_id != id {
        return Err(format!(
            "the message is for the command {id} and holds {}",
            payload.command_id
        ));
    }
    let source = match (payload.document_source, payload.document_content) {
        (Some(text), _) => text,
        (None, Value::String(text)) => text,
        (None, Value::Null) => return Err("the message holds no document".to_owned()),
        (None, content) => content.to_string(),
    };
    Ok(Command {
        id: payload.command_id,
        message_id: message_id.to_owned(),
        document: payload.document_name,
        source,
        parameters: payload.parameters.unwrap_or_default(),
        output_bucket: payload.output_bucket.unwrap_or_default(),
        output_prefix: payload.output_prefix.unwrap_or_default(),
    })
}

/// The command of the id of a message, which becomes a file's name.
pub(crate) fn command_of<'a>(message_id: &'a str, node: &str) -> Option<&'a str> {
    let (command, of) = message_id.strip_prefix("aws.ssm.")?.rsplit_once('.')?;
    let is_id = (1..=64).contains(&command.len())
        && command
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-');
    (of == node && is_id).then_some(command)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "tests")]

    use serde_json::{Value, json};
    use sha2::{Digest as _, Sha256};

    use super::{Incoming, hex, read};

    const NODE: &str = "mi-0123456789abcdef0";

    fn message(topic: &str, payload: &Value) -> Value {
        let payload = payload.to_string();
        json!({
            "MessageId": format!("aws.ssm.c-1.{NODE}"),
            "Destination": NODE,
            "CreatedDate": "2026-01-01T00:00:00Z",
            "Topic": topic,
            "PayloadDigest": hex(&Sha256::digest(payload.as_bytes())),
            "Payload": payload,
        })
    }

    #[test]
    fn a_command_is_read_in_our_form_and_in_awss() {
        let ours = json!({
            "Parameters": {"commands": ["id"]}, "DocumentContent": {"schemaVersion": "2.2"},
            "DocumentSource": "schemaVersion: '2.2'\n", "CommandId": "c-1", "DocumentName": "D",
            "OutputS3KeyPrefix": "p", "OutputS3BucketName": "b",
        });
        let Incoming::Send(command) = read(message("aws.ssm.sendCommand.c-1", &ours), NODE) else {
            panic!("no command");
        };
        assert_eq!(command.source, "schemaVersion: '2.2'\n");
        assert_eq!(command.parameters["commands"], json!(["id"]));
        assert_eq!(
            (command.document.as_str(), command.output_bucket.as_str()),
            ("D", "b")
        );
        let theirs = json!({"DocumentContent": {"schemaVersion": "2.2"}, "CommandId": "c-1"});
        let Incoming::Send(command) = read(message("aws.ssm.sendCommand.us.c-1", &theirs), NODE)
        else {
            panic!("no command");
        };
        assert_eq!(command.source, r#"{"schemaVersion":"2.2"}"#);
    }

    #[test]
    fn what_is_wrong_is_told_or_passed_over() {
        let good = json!({"DocumentContent": {}, "CommandId": "c-1"});
        let change = |name: &str, value: &str| {
            let mut message = message("aws.ssm.sendCommand.c-1", &good);
            message[name] = json!(value);
            read(message, NODE)
        };
        let unreadable = |incoming: Incoming| matches!(incoming, Incoming::Unreadable { .. });
        let foreign = |incoming: Incoming| matches!(incoming, Incoming::Foreign(_));
        assert!(unreadable(change("PayloadDigest", "00")));
        assert!(foreign(change("Destination", "mi-other")));
        assert!(foreign(change("MessageId", "aws.ssm.c-1.mi-other")));
        assert!(foreign(change(
            "MessageId",
            &format!("aws.ssm.../x.{NODE}")
        )));
        assert!(matches!(
            change("Topic", "aws.ssm.x"),
            Incoming::Unknown { .. }
        ));
        let other = json!({"DocumentContent": {}, "CommandId": "c-2"});
        assert!(unreadable(read(
            message("aws.ssm.sendCommand.c", &other),
            NODE
        )));
        assert!(unreadable(read(
            message("aws.ssm.sendCommand.c", &json!({"CommandId": "c-1"})),
            NODE
        )));
        assert!(foreign(read(json!([]), NODE)));
    }

    #[test]
    fn a_cancellation_names_its_command() {
        let payload = json!({"CancelMessageId": format!("aws.ssm.c-9.{NODE}")});
        assert_eq!(
            read(message("aws.ssm.cancelCommand.c-9", &payload), NODE),
            Incoming::Cancel {
                message_id: format!("aws.ssm.c-1.{NODE}"),
                command: "c-9".to_owned()
            }
        );
    }
}
