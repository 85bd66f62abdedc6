//! Where the master key comes from: a file, a text, or the database, where a key service (AWS KMS or what speaks as it)
//! sealed it.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use capstan_store::{Migration, Store, Transaction, params};

use crate::error::ServerError;
use crate::keys::MasterKey;

/// The name of the master key in the state folder.
const FILE: &str = "master.key";

/// Tells whether the master key is the one that the database was made with.
pub(crate) const FINGERPRINT: Migration = Migration {
    component: "master-key",
    version: 1,
    sql: "CREATE TABLE master_key (id BIGINT NOT NULL PRIMARY KEY, fingerprint TEXT NOT NULL)",
};

/// The master key as a key service sealed it: servers of one database need nothing but the service.
pub(crate) const SEALED: Migration = Migration {
    component: "master-key",
    version: 2,
    sql: "CREATE TABLE sealed_master_key (
        id BIGINT NOT NULL PRIMARY KEY,
        key_id TEXT NOT NULL,
        sealed BLOB NOT NULL
    )",
};

/// Where the master key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file in the state folder, which is made if there is none.
    State,
    /// Another file.
    File(PathBuf),
    /// Its text, as of an environment variable.
    Text(String),
}

/// Seals and opens a few bytes under a key that never leaves it, as AWS KMS does with `Encrypt` and `Decrypt`.
#[async_trait]
pub trait KeyService: Debug + Send + Sync {
    /// The key: an id, an alias or an ARN, as the operator names it.
    fn key_id(&self) -> &str;

    /// Seals.
    ///
    /// # Errors
    /// When the service refuses or cannot be reached.
    async fn encrypt(&self, plain: &[u8]) -> Result<Vec<u8>, KeyServiceError>;

    /// Opens what was sealed, under whichever key of the service.
    ///
    /// # Errors
    /// When the service refuses or cannot be reached.
    async fn decrypt(&self, sealed: &[u8]) -> Result<Vec<u8>, KeyServiceError>;
}

/// The key service refused, or cannot be reached.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct KeyServiceError(
    /// What it said, or what is wrong.
    pub String,
);

/// A row of `sealed_master_key`.
struct Sealed {
    key_id: String,
    bytes: Vec<u8>,
}

fn sealed(tx: &mut Transaction<'_>) -> Result<Option<Sealed>, ServerError> {
    let row = tx.query_one(
        "SELECT key_id, sealed FROM sealed_master_key WHERE id = 1",
        params![],
    )?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Sealed {
        key_id: row.get(0)?,
        bytes: row.get(1)?,
    }))
}

fn fingerprint(tx: &mut Transaction<'_>) -> Result<Option<String>, ServerError> {
    let row = tx.query_one("SELECT fingerprint FROM master_key WHERE id = 1", params![])?;
    Ok(row.map(|row| row.get(0)).transpose()?)
}

/// The master key of a database. A new one is made for a new database alone.
pub(crate) async fn find(
    source: &KeySource,
    service: Option<&Arc<dyn KeyService>>,
    state: &Path,
    store: &Store,
) -> Result<MasterKey, ServerError> {
    let kept = store.read(sealed).await?;
    let file = state.join(FILE);
    match (service, kept) {
        (Some(service), Some(kept)) => open(service.as_ref(), kept, store).await,
        (Some(service), None) => {
            let key = match store.read(fingerprint).await? {
                None => MasterKey::random()
                    .map_err(|error| ServerError::Configuration(error.to_string()))?,
                // Made before there was a key service: from now on it keeps that key.
                Some(_) if *source == KeySource::State && !file.exists() => {
                    return Err(ServerError::Configuration(format!(
                        "the database was made with a master key that is not in {}: give that one once more \
                         (--master-key), so that the key service can seal it",
                        file.display()
                    )));
                }
                Some(_) => given(source, &file)?,
            };
            keep(service.as_ref(), key, store).await
        }
        (None, Some(kept)) if *source == KeySource::State && !file.exists() => {
            Err(ServerError::Configuration(format!(
                "the master key of this database is sealed under {} of a key service: start the server with that \
                 (--master-key-kms)",
                kept.key_id
            )))
        }
        (None, _) => given(source, &file),
    }
}

fn given(source: &KeySource, file: &Path) -> Result<MasterKey, ServerError> {
    match source {
        KeySource::State => MasterKey::of_file(file),
        KeySource::File(path) => MasterKey::of_file(path),
        KeySource::Text(text) => MasterKey::parse(text, "the environment"),
    }
}

fn said(service: &dyn KeyService) -> impl Fn(KeyServiceError) -> ServerError {
    let key = service.key_id().to_owned();
    move |error| ServerError::Configuration(format!("the master key, sealed under {key}: {error}"))
}

/// Opens what is kept, and seals it anew when the operator names another key than the one that it was sealed under.
async fn open(
    service: &dyn KeyService,
    kept: Sealed,
    store: &Store,
) -> Result<MasterKey, ServerError> {
    let bytes = service.decrypt(&kept.bytes).await.map_err(said(service))?;
    let key = MasterKey::of_bytes(&bytes)?;
    if kept.key_id != service.key_id() {
        demand(&key, store).await?;
        let bytes = service.encrypt(key.bytes()).await.map_err(said(service))?;
        let key_id = service.key_id().to_owned();
        let to = key_id.clone();
        store
            .write::<_, ServerError>(move |tx| {
                tx.execute(
                    "UPDATE sealed_master_key SET key_id = $1, sealed = $2 WHERE id = 1",
                    params![&to, &bytes],
                )?;
                Ok(())
            })
            .await?;
        tracing::info!(
            from = kept.key_id,
            to = key_id,
            "the master key is sealed anew"
        );
    }
    Ok(key)
}

/// Keeps a key, sealed. When another server was first with a new database, its key is the one.
async fn keep(
    service: &dyn KeyService,
    key: MasterKey,
    store: &Store,
) -> Result<MasterKey, ServerError> {
    let ours = service.encrypt(key.bytes()).await.map_err(said(service))?;
    let (key_id, bytes) = (service.key_id().to_owned(), ours.clone());
    let fingerprint = key.fingerprint();
    let kept = store
        .write::<_, ServerError>(move |tx| {
            demand_in(tx, &fingerprint)?;
            tx.execute(
                "INSERT INTO sealed_master_key (id, key_id, sealed) VALUES (1, $1, $2) ON CONFLICT DO NOTHING",
                params![&key_id, &bytes],
            )?;
            sealed(tx)
        })
        .await;
    match kept {
        Ok(Some(kept)) if kept.bytes != ours => open(service, kept, store).await,
        Ok(_) => {
            tracing::info!(
                key = service.key_id(),
                "the key service keeps the master key"
            );
            Ok(key)
        }
        Err(error) => match store.read(sealed).await? {
            Some(kept) => open(service, kept, store).await,
            None => Err(error),
        },
    }
}

/// Refuses a key that the database was not made with. A new database is made with it.
pub(crate) async fn demand(key: &MasterKey, store: &Store) -> Result<(), ServerError> {
    let fingerprint = key.fingerprint();
    store
        .write::<_, ServerError>(move |tx| demand_in(tx, &fingerprint))
        .await
}

fn demand_in(tx: &mut Transaction<'_>, ours: &str) -> Result<(), ServerError> {
    tx.execute(
        "INSERT INTO master_key (id, fingerprint) VALUES (1, $1) ON CONFLICT DO NOTHING",
        params![ours],
    )?;
    if fingerprint(tx)?.as_deref() == Some(ours) {
        return Ok(());
    }
    Err(ServerError::Configuration(
        "the database was made with another master key: start the server with that one (--master-key), or with an \
         empty database"
            .to_owned(),
    ))
}
