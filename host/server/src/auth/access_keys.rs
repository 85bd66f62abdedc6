//! Access keys: who may call the API, and as what.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use capstan_store::{Migration, StoreError, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::keys::{Sealer, random};

/// The table of access keys.
pub(crate) const MIGRATION: Migration = Migration {
    component: "access-keys",
    version: 1,
    sql: "CREATE TABLE access_keys (
        id TEXT NOT NULL PRIMARY KEY,
        secret BLOB NOT NULL,
        name TEXT NOT NULL,
        role TEXT NOT NULL,
        created BIGINT NOT NULL,
        revoked BIGINT
    )",
};

/// What an access key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Look at everything but the plain text of SecureString parameters.
    ReadOnly,
    /// Also run commands, and change documents, parameters and tags.
    Operator,
    /// Also let nodes join and leave, and change how the installation works.
    Admin,
}

impl Role {
    /// As it is written in commands and answers.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The role of a word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::ReadOnly, Self::Operator, Self::Admin]
            .into_iter()
            .find(|role| role.word() == word)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// An access key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessKey {
    /// Its id: `AKIA…`.
    pub id: String,
    /// Whom it was made for.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it was made: milliseconds since 1970.
    pub created: i64,
    /// When it was revoked: milliseconds since 1970.
    pub revoked: Option<i64>,
}

/// A new access key with its secret, which is shown this once.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewAccessKey {
    /// The key.
    #[serde(flatten)]
    pub key: AccessKey,
    /// Its secret.
    pub secret: String,
}

/// RFC 4648's base 32, as the ids of AWS's keys are written.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A new id: a prefix that tells its kind, as AWS has them, and 16 characters of chance.
pub(crate) fn key_id(prefix: &str) -> Result<String, crate::keys::NoRandom> {
    let chance: [u8; 16] = random()?;
    Ok(chance.iter().fold(prefix.to_owned(), |mut id, byte| {
        id.push(char::from(BASE32[usize::from(byte % 32)]));
        id
    }))
}

/// Makes a key. `secret` and `id` come from outside so that the work can be done over.
pub(crate) fn insert(
    tx: &mut Transaction<'_>,
    sealer: &Sealer,
    key: &AccessKey,
    secret: &str,
) -> Result<(), ApiError> {
    let sealed = sealer.seal(&key.id, secret.as_bytes()).map_err(|error| {
        tracing::error!(%error, "an access key cannot be sealed");
        ApiError::internal()
    })?;
    tx.execute(
        "INSERT INTO access_keys (id, secret, name, role, created) VALUES ($1, $2, $3, $4, $5)",
        params![&key.id, &sealed, &key.name, key.role.word(), key.created],
    )?;
    Ok(())
}

/// A new key, not stored yet.
pub(crate) fn generate(
    name: &str,
    role: Role,
    now: i64,
) -> Result<NewAccessKey, crate::keys::NoRandom> {
    // 30 bytes are 40 characters of base 64, as AWS's secrets have.
    let secret: [u8; 30] = random()?;
    Ok(NewAccessKey {
        key: AccessKey {
            id: key_id("AKIA")?,
            name: name.to_owned(),
            role,
            created: now,
            revoked: None,
        },
        secret: BASE64_STANDARD.encode(secret),
    })
}

const COLUMNS: &str = "id, name, role, created, revoked";

fn of_row(row: &capstan_store::Row) -> Result<AccessKey, StoreError> {
    let role: String = row.get(2)?;
    Ok(AccessKey {
        id: row.get(0)?,
        name: row.get(1)?,
        // A role that a later version knows may do the least.
        role: Role::of_word(&role).unwrap_or(Role::ReadOnly),
        created: row.get(3)?,
        revoked: row.get(4)?,
    })
}

/// All keys, oldest first.
pub(crate) fn list(tx: &mut Transaction<'_>) -> Result<Vec<AccessKey>, StoreError> {
    tx.query(
        &format!("SELECT {COLUMNS} FROM access_keys ORDER BY created, id"),
        params![],
    )?
    .iter()
    .map(of_row)
    .collect()
}

/// Revokes a key. Whether there was one that was not revoked yet.
pub(crate) fn revoke(tx: &mut Transaction<'_>, id: &str, now: i64) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE access_keys SET revoked = $2 WHERE id = $1 AND revoked IS NULL",
        params![id, now],
    )?;
    Ok(changed > 0)
}

/// A key that was not revoked, and its sealed secret.
pub(crate) fn find(
    tx: &mut Transaction<'_>,
    id: &str,
) -> Result<Option<(AccessKey, Vec<u8>)>, StoreError> {
    let row = tx.query_one(
        &format!("SELECT {COLUMNS}, secret FROM access_keys WHERE id = $1 AND revoked IS NULL"),
        params![id],
    )?;
    row.map(|row| Ok((of_row(&row)?, row.get(5)?))).transpose()
}
