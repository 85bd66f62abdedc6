//! Managed nodes: how they join and leave, and what is known of them.

mod activations;
mod describe;
mod registration;

use capstan_store::{Migration, StoreError, Transaction, params};

pub(crate) use activations::{create_activation, delete_activation, describe_activations};
pub(crate) use describe::{
    describe_instance_information, describe_instance_properties, get_connection_status,
};
pub(crate) use registration::{
    deregister, register, request_role_token, update_information, update_public_key, update_role,
};

/// The tables of nodes and activations.
pub(crate) const MIGRATION: Migration = Migration {
    component: "nodes",
    version: 1,
    sql: "CREATE TABLE activations (
        id TEXT NOT NULL PRIMARY KEY,
        code BLOB NOT NULL,
        description TEXT NOT NULL,
        default_name TEXT NOT NULL,
        iam_role TEXT NOT NULL,
        registration_limit BIGINT NOT NULL,
        registrations BIGINT NOT NULL,
        expires BIGINT NOT NULL,
        created BIGINT NOT NULL,
        tags TEXT NOT NULL
    );
    CREATE TABLE nodes (
        id TEXT NOT NULL PRIMARY KEY,
        public_key BLOB NOT NULL,
        fingerprint TEXT NOT NULL,
        activation_id TEXT NOT NULL,
        iam_role TEXT NOT NULL,
        name TEXT NOT NULL,
        registered BIGINT NOT NULL,
        last_ping BIGINT,
        agent_name TEXT,
        agent_version TEXT,
        platform_type TEXT,
        platform_name TEXT,
        platform_version TEXT,
        ip_address TEXT,
        computer_name TEXT
    )",
};

/// When a node's key was changed last; never, if that is no time yet.
pub(crate) const KEY_AGE: Migration = Migration {
    component: "nodes",
    version: 2,
    sql: "ALTER TABLE nodes ADD COLUMN key_changed BIGINT NOT NULL DEFAULT 0",
};

/// A node that was not heard of for this long is lost: two heartbeats of five minutes, and a margin. Milliseconds.
pub(crate) const LOST_AFTER: i64 = 11 * 60 * 1000;

/// Whether this is the form of a node's id.
pub(crate) fn is_id(text: &str) -> bool {
    text.strip_prefix("mi-").is_some_and(|rest| {
        rest.len() == 17
            && rest
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Whether there is such a node.
pub(crate) fn is_registered(tx: &mut Transaction<'_>, id: &str) -> Result<bool, StoreError> {
    Ok(tx
        .query_one("SELECT 1 FROM nodes WHERE id = $1", params![id])?
        .is_some())
}

/// A node's public key in PKCS #1, as it is verified with.
pub(crate) fn public_key(
    tx: &mut Transaction<'_>,
    id: &str,
) -> Result<Option<Vec<u8>>, StoreError> {
    tx.query_one("SELECT public_key FROM nodes WHERE id = $1", params![id])?
        .map(|row| row.get(0))
        .transpose()
}

/// What the dispatch of commands has to know of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeState {
    pub(crate) id: String,
    /// `Linux`, `Windows` or `MacOS`; none before its first heartbeat.
    pub(crate) platform: Option<String>,
    /// When it was last heard of, in milliseconds since 1970.
    pub(crate) last_ping: Option<i64>,
}

impl NodeState {
    /// Whether it answers, as far as is known.
    pub(crate) fn is_online(&self, now: i64) -> bool {
        self.last_ping.is_some_and(|ping| ping + LOST_AFTER >= now)
    }
}

/// The columns of [`NodeState`].
pub(crate) const STATE: &str = "n.id, n.platform_type, n.last_ping";

/// Of a row of [`STATE`].
pub(crate) fn state_of(row: &capstan_store::Row) -> Result<NodeState, StoreError> {
    Ok(NodeState {
        id: row.get(0)?,
        platform: row.get(1)?,
        last_ping: row.get(2)?,
    })
}

#[cfg(test)]
mod tests {
    use super::is_id;

    #[test]
    fn ids_have_their_form() {
        assert!(is_id("mi-0123456789abcdef0"));
        for other in [
            "mi-0123456789abcdef",
            "mi-0123456789ABCDEF0",
            "i-0123456789abcdef0",
            "mi-",
            "",
        ] {
            assert!(!is_id(other), "{other}");
        }
    }
}
