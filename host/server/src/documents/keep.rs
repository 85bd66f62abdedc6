//! What changes of documents have in common: locks, limits and storing a version.

use capstan_store::{Param, Transaction, params};

use super::content::Checked;
use super::describe::Description;
use super::record::{self, Requires, no_document, of_program_named, sha256};
use crate::error::ApiError;
use crate::wire::json;

/// A version that is to be stored.
pub(super) struct New {
    pub(super) name: String,
    pub(super) version_name: Option<String>,
    pub(super) display_name: Option<String>,
    pub(super) format: String,
    pub(super) content: String,
    pub(super) checked: Checked,
    pub(super) target_type: Option<String>,
    pub(super) requires: Vec<Requires>,
    pub(super) now: i64,
}

/// What of a document its changes depend on.
pub(super) struct State {
    pub(super) kind: String,
    pub(super) default_version: i64,
    pub(super) latest: i64,
    pub(super) highest: i64,
}

/// Keeps others from changing a document until the transaction ends.
pub(super) fn lock(tx: &mut Transaction<'_>, name: &str) -> Result<State, ApiError> {
    tx.execute(
        "UPDATE documents SET revision = revision + 1 WHERE name = $1",
        params![name],
    )?;
    let row = tx
        .query_one(
            "SELECT kind, default_version, latest, highest FROM documents WHERE name = $1",
            params![name],
        )?
        .ok_or_else(|| no_document(name))?;
    Ok(State {
        kind: row.get(0)?,
        default_version: row.get(1)?,
        latest: row.get(2)?,
        highest: row.get(3)?,
    })
}

/// Keeps others from making documents until the transaction ends, so that they can be counted. Before [`lock`].
pub(super) fn lock_limits(tx: &mut Transaction<'_>) -> Result<(), ApiError> {
    tx.execute(
        "UPDATE document_limits SET revision = revision + 1 WHERE id = 1",
        params![],
    )?;
    Ok(())
}

/// What a `SELECT COUNT(*)` answers.
pub(super) fn count(
    tx: &mut Transaction<'_>,
    sql: &str,
    parameters: &[Param<'_>],
) -> Result<i64, ApiError> {
    let row = tx.query_one(sql, parameters)?;
    Ok(row.map(|row| row.get(0)).transpose()?.unwrap_or(0))
}

/// Stores a version of a document that is locked.
pub(super) fn insert(tx: &mut Transaction<'_>, new: &New, version: i64) -> Result<(), ApiError> {
    let made = tx.execute(
        "INSERT INTO document_versions (name, version, version_name, display_name, format, content, sha256, \
         schema_version, description, parameters, platforms, target_type, requires, created) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT DO NOTHING",
        params![
            &new.name,
            version,
            new.version_name.as_deref(),
            new.display_name.as_deref(),
            &new.format,
            &new.content,
            &sha256(&new.content),
            &new.checked.schema_version,
            &new.checked.description,
            &json(&new.checked.parameters)?,
            &json(&new.checked.platforms)?,
            new.target_type.as_deref(),
            &json(&new.requires)?,
            new.now
        ],
    )?;
    if made == 1 {
        return Ok(());
    }
    // The number is new: the document is locked.
    Err(ApiError::new(
        "DuplicateDocumentVersionName",
        format!(
            "{} has a version that is named {} already.",
            new.name,
            new.version_name.as_deref().unwrap_or_default()
        ),
    ))
}

/// A version as the API describes it.
pub(super) fn described(
    tx: &mut Transaction<'_>,
    name: &str,
    version: i64,
) -> Result<Description, ApiError> {
    let record = record::find(tx, name, Some(&version.to_string()), None)?;
    Description::read(tx, record)
}

/// Refuses to change a document of the program.
pub(super) fn refuse_program(name: &str, code: &'static str) -> Result<(), ApiError> {
    if of_program_named(name).is_none() {
        return Ok(());
    }
    Err(ApiError::new(
        code,
        format!(
            "The document {name} is a part of the program: it cannot be changed, deleted or shared."
        ),
    ))
}
