//! Documents: those that are stored, in versions, and those that are a part of the program.

mod change;
mod content;
mod delete;
mod describe;
mod filter;
mod keep;
mod list;
mod parsed;
mod record;
mod share;

use capstan_store::{Migration, StoreError, Transaction, params};
use serde_json::Value;

use crate::error::ApiError;

pub(crate) use change::{create, update, update_default};
pub(crate) use delete::delete;
pub(crate) use describe::{describe, get, list_versions};
pub(crate) use list::list;
pub(crate) use parsed::Parsed;
pub(crate) use share::{describe as describe_permission, modify as modify_permission};

/// What documents are as resources that have tags.
const KIND: &str = "Document";

/// The tables of documents.
pub(crate) const MIGRATION: Migration = Migration {
    component: "documents",
    version: 1,
    sql: "CREATE TABLE documents (
        name TEXT NOT NULL PRIMARY KEY,
        kind TEXT NOT NULL,
        owner TEXT NOT NULL,
        created BIGINT NOT NULL,
        default_version BIGINT NOT NULL,
        latest BIGINT NOT NULL,
        highest BIGINT NOT NULL,
        revision BIGINT NOT NULL
    );
    CREATE TABLE document_versions (
        name TEXT NOT NULL,
        version BIGINT NOT NULL,
        version_name TEXT,
        display_name TEXT,
        format TEXT NOT NULL,
        content TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        schema_version TEXT NOT NULL,
        description TEXT NOT NULL,
        parameters TEXT NOT NULL,
        platforms TEXT NOT NULL,
        target_type TEXT,
        requires TEXT NOT NULL,
        created BIGINT NOT NULL,
        PRIMARY KEY (name, version)
    );
    CREATE UNIQUE INDEX document_versions_by_name ON document_versions (name, version_name);
    CREATE TABLE document_shares (
        name TEXT NOT NULL,
        account TEXT NOT NULL,
        version TEXT NOT NULL,
        PRIMARY KEY (name, account)
    );
    CREATE TABLE document_limits (id BIGINT NOT NULL PRIMARY KEY, revision BIGINT NOT NULL);
    INSERT INTO document_limits (id, revision) VALUES (1, 0)",
};

/// A version of a document, to run it.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) name: String,
    /// `Command`, `Automation`, …
    pub(crate) kind: String,
    /// Its text as it was stored: YAML or JSON.
    pub(crate) content: String,
    /// Its SHA-256 in hexadecimal.
    pub(crate) sha256: String,
    /// Platforms that it is for: of `Linux`, `MacOS`, `Windows`; none for all.
    pub(crate) platforms: Vec<String>,
}

/// A document by name or ARN, and a version of it.
pub(crate) fn find(
    tx: &mut Transaction<'_>,
    name: &str,
    version: Option<&str>,
) -> Result<Found, ApiError> {
    let record = record::find(tx, name, version, None)?;
    Ok(Found {
        name: record.name,
        kind: record.kind,
        content: record.content,
        sha256: record.sha256,
        platforms: record.platforms,
    })
}

/// Refuses a document whose hash is not the one that was given.
pub(crate) fn demand_hash(
    found: &Found,
    hash: Option<&str>,
    kind: Option<&str>,
) -> Result<(), ApiError> {
    let Some(hash) = hash.filter(|hash| !hash.is_empty()) else {
        return Ok(());
    };
    let invalid = |message| Err(ApiError::new("InvalidDocument", message));
    if kind.is_some_and(|kind| kind != "Sha256") {
        return invalid("Documents have hashes of the type Sha256 alone.".to_owned());
    }
    if !hash.eq_ignore_ascii_case(&found.sha256) {
        return invalid(format!(
            "The document {} has the Sha256 hash {}, not the one that was given.",
            found.name, found.sha256
        ));
    }
    Ok(())
}

/// The text of a document, which is YAML or JSON, as a value.
pub(crate) fn as_json(content: &str) -> Result<Value, ApiError> {
    capstan_document::parse_value(content, "the document").map_err(|why| {
        ApiError::new(
            "InvalidDocument",
            format!("The document cannot be read: {why}"),
        )
    })
}

/// Whether there is a stored document of this name: those of the program have no tags.
pub(crate) fn is_stored(tx: &mut Transaction<'_>, name: &str) -> Result<bool, StoreError> {
    Ok(tx
        .query_one("SELECT 1 FROM documents WHERE name = $1", params![name])?
        .is_some())
}
