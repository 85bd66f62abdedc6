//! How the agent is, for those who ask on the machine.

use std::sync::{Arc, Mutex, PoisonError};

use capstan_clock::Clock;
use serde::{Deserialize, Serialize};

use crate::error::AgentError;
use crate::folder::{AgentFolder, PENDING, REPLIES};
use crate::identity::Identity;

const FILE: &str = "status.json";

/// How the agent is with its control plane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Connection {
    /// It has not heard of it yet.
    #[default]
    Connecting,
    /// It waits for messages.
    Online,
    /// It cannot reach it, and tries again.
    Offline,
    /// An operator has to do something.
    Refused,
}

/// What a running agent writes down of itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Written {
    connection: Connection,
    since: String,
    message: String,
    last_heartbeat: String,
    process: u32,
}

/// How the agent is.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusReport {
    /// The node's id; none if the machine is not registered.
    pub node_id: Option<String>,
    /// Where the control plane is.
    pub endpoint: Option<String>,
    /// When the machine was registered.
    pub registered: Option<String>,
    /// Whether an agent runs now, and its process.
    pub process: Option<u32>,
    /// How it is with its control plane.
    pub connection: Option<Connection>,
    /// Since when.
    pub since: String,
    /// Why.
    pub message: String,
    /// When the control plane last took a heartbeat.
    pub last_heartbeat: String,
    /// Commands that were accepted and are not over.
    pub pending: Vec<String>,
    /// Commands whose final replies were not delivered.
    pub undelivered: Vec<String>,
}

impl StatusReport {
    /// Looks.
    ///
    /// # Errors
    /// When what is kept cannot be read.
    pub fn read(folder: &AgentFolder) -> Result<Self, AgentError> {
        let identity = Identity::find(folder)?;
        let runs = folder.lock()?.is_none();
        let written: Written = folder.read(FILE)?.unwrap_or_default();
        Ok(Self {
            node_id: identity.as_ref().map(|identity| identity.node_id.clone()),
            endpoint: identity.as_ref().map(|identity| identity.endpoint.clone()),
            registered: identity.map(|identity| identity.registered),
            process: runs.then_some(written.process),
            connection: runs.then_some(written.connection),
            since: written.since,
            message: written.message,
            last_heartbeat: written.last_heartbeat,
            pending: folder.list(PENDING)?,
            undelivered: folder.list(REPLIES)?,
        })
    }
}

/// Writes down how the agent is, when it changes.
#[derive(Debug)]
pub(crate) struct StatusKeeper {
    folder: AgentFolder,
    clock: Arc<dyn Clock>,
    written: Mutex<Written>,
}

impl StatusKeeper {
    pub(crate) fn new(folder: AgentFolder, clock: Arc<dyn Clock>) -> Self {
        let written = Written {
            since: clock.now().to_string(),
            process: std::process::id(),
            ..Written::default()
        };
        let keeper = Self {
            folder,
            clock,
            written: Mutex::new(written),
        };
        keeper.change(|_| {});
        keeper
    }

    fn change(&self, change: impl FnOnce(&mut Written)) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut written);
        if let Err(error) = self.folder.write(FILE, &*written) {
            tracing::debug!(%error, "the agent's status cannot be written");
        }
    }

    fn is(&self, connection: Connection) -> bool {
        self.written
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .connection
            == connection
    }

    fn turn(&self, connection: Connection, message: String) {
        let now = self.clock.now().to_string();
        self.change(|written| {
            written.connection = connection;
            written.since = now;
            written.message = message;
        });
    }

    pub(crate) fn beat(&self) {
        let now = self.clock.now().to_string();
        self.change(|written| written.last_heartbeat = now);
    }

    pub(crate) fn online(&self) {
        if !self.is(Connection::Online) {
            tracing::info!("connected with the control plane");
            self.turn(Connection::Online, String::new());
        }
    }

    /// The first failure is told, those after it are more of the same.
    pub(crate) fn failed(&self, error: &AgentError) {
        if error.is_lasting() {
            tracing::error!("{error}");
            self.turn(Connection::Refused, error.to_string());
        } else if self.is(Connection::Offline) {
            tracing::debug!(%error, "still no connection with the control plane");
        } else {
            tracing::warn!(%error, "no connection with the control plane; it is tried again");
            self.turn(Connection::Offline, error.to_string());
        }
    }
}
