//! What the agent has on its disk of commands: those that were accepted, and final replies.
//!
//! A command's file is written before its message is acknowledged and removed after its final reply was written. A
//! reply's file is moved once it was delivered; for a while it tells that the command is done, and is there to be
//! delivered again should the control plane have lost it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::AgentError;
use crate::folder::{AgentFolder, DONE, PENDING, REPLIES};
use crate::message::Command;

/// A command that was received and is not over.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pending {
    pub(crate) command: Command,
    /// When it came.
    pub(crate) received: Timestamp,
    /// The control plane knows that this node has it: it is run.
    #[serde(default)]
    pub(crate) acknowledged: bool,
    /// It is to be stopped.
    #[serde(default)]
    pub(crate) cancelled: bool,
    /// It waits for a restart of the machine, which was started as this says then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) restart_from: Option<String>,
}

/// The last reply of a command.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FinalReply {
    pub(crate) message_id: String,
    pub(crate) payload: Value,
    pub(crate) made: Timestamp,
}

fn file(folder: &str, command: &str) -> String {
    format!("{folder}/{command}.json")
}

/// The records of commands.
#[derive(Debug)]
pub(crate) struct Records {
    folder: AgentFolder,
}

impl Records {
    pub(crate) fn new(folder: AgentFolder) -> Self {
        Self { folder }
    }

    /// The commands that are not over, in the order in which they came. One whose file is damaged is passed over.
    pub(crate) fn pending(&self) -> Result<Vec<Pending>, AgentError> {
        let mut found = Vec::new();
        for name in self.folder.list(PENDING)? {
            match self.folder.read::<Pending>(&file(PENDING, &name)) {
                // The process died when it had written the reply down.
                Ok(Some(pending)) if self.has_reply(&pending.command.id) => {
                    self.drop_pending(&name)?
                }
                Ok(Some(pending)) => found.push(pending),
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(command = name, %error, "a command cannot be taken up")
                }
            }
        }
        found.sort_by_key(|pending| pending.received);
        Ok(found)
    }

    fn has_reply(&self, command: &str) -> bool {
        [REPLIES, DONE]
            .iter()
            .any(|folder| self.folder.path(&file(folder, command)).exists())
    }

    pub(crate) fn put(&self, pending: &Pending) -> Result<(), AgentError> {
        self.folder
            .write(&file(PENDING, &pending.command.id), pending)
    }

    pub(crate) fn drop_pending(&self, command: &str) -> Result<(), AgentError> {
        self.folder.remove(&file(PENDING, command))
    }

    /// The command is over, with this reply, which has to be delivered.
    pub(crate) fn finish(&self, command: &str, reply: &FinalReply) -> Result<(), AgentError> {
        self.folder.write(&file(REPLIES, command), reply)?;
        self.drop_pending(command)
    }

    /// Commands whose final replies were not delivered.
    pub(crate) fn undelivered(&self) -> Result<Vec<String>, AgentError> {
        self.folder.list(REPLIES)
    }

    pub(crate) fn reply(&self, command: &str) -> Result<Option<FinalReply>, AgentError> {
        self.folder.read(&file(REPLIES, command))
    }

    pub(crate) fn delivered(&self, command: &str) -> Result<(), AgentError> {
        self.folder
            .rename(&file(REPLIES, command), &file(DONE, command))?;
        Ok(())
    }

    /// Whether the command is over. Its reply is to be delivered again: who sends a command once more does not know
    /// of it.
    pub(crate) fn is_done(&self, command: &str) -> Result<bool, AgentError> {
        if self.folder.path(&file(REPLIES, command)).exists() {
            return Ok(true);
        }
        self.folder
            .rename(&file(DONE, command), &file(REPLIES, command))
    }

    /// Forgets what was done longer ago than this.
    pub(crate) fn forget(&self, now: Timestamp, after: SignedDuration) -> Result<(), AgentError> {
        for name in self.folder.list(DONE)? {
            let name = file(DONE, &name);
            let old = match self.folder.read::<FinalReply>(&name) {
                Ok(reply) => reply.is_none_or(|reply| now.duration_since(reply.made) > after),
                Err(_) => true,
            };
            if old {
                self.folder.remove(&name)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use jiff::{SignedDuration, Timestamp};
    use serde_json::json;

    use super::{FinalReply, Pending, Records};
    use crate::folder::AgentFolder;
    use crate::message::Command;

    #[test]
    fn a_command_goes_from_pending_to_its_reply_to_done() {
        let root = std::env::temp_dir().join(format!("capstan-records-{}", std::process::id()));
        let records = Records::new(AgentFolder::open(&root).unwrap());
        let now = Timestamp::from_second(1_000_000).unwrap();
        let pending = Pending {
            command: Command {
                id: "c-1".into(),
                message_id: "m".into(),
                document: "D".into(),
                source: "{}".into(),
                parameters: [("a".to_owned(), json!(["b"]))].into(),
                output_bucket: String::new(),
                output_prefix: String::new(),
            },
            received: now,
            acknowledged: false,
            cancelled: false,
            restart_from: None,
        };
        records.put(&pending).unwrap();
        assert_eq!(records.pending().unwrap()[0].command, pending.command);
        assert!(!records.is_done("c-1").unwrap());
        let reply = FinalReply {
            message_id: "m".into(),
            payload: json!({}),
            made: now,
        };
        records.finish("c-1", &reply).unwrap();
        assert!(records.pending().unwrap().is_empty());
        // The process died in between.
        records.put(&pending).unwrap();
        assert!(records.pending().unwrap().is_empty());
        assert_eq!(records.undelivered().unwrap(), ["c-1"]);
        records.delivered("c-1").unwrap();
        assert!(records.undelivered().unwrap().is_empty());
        // Sent again: it is done, and its reply is delivered again.
        assert!(records.is_done("c-1").unwrap());
        assert_eq!(records.undelivered().unwrap(), ["c-1"]);
        records.delivered("c-1").unwrap();
        let week = SignedDuration::from_hours(24 * 7);
        records.forget(now + week, week).unwrap();
        assert!(records.folder.path("done/c-1.json").exists());
        records
            .forget(now + week + SignedDuration::from_secs(1), week)
            .unwrap();
        assert!(!records.is_done("c-1").unwrap());
        std::fs::remove_dir_all(&root).unwrap();
    }
}
