//! Deleting documents and versions of them.

use capstan_store::params;
use serde::Deserialize;

use super::KIND;
use super::keep::{count, lock, refuse_program};
use super::record;
use crate::api::Call;
use crate::error::ApiError;
use crate::tags;
use crate::wire::Nothing;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Delete {
    name: String,
    document_version: Option<String>,
    version_name: Option<String>,
    #[serde(default)]
    force: bool,
}

/// One version, or all of it.
pub(crate) async fn delete(call: Call, input: Delete) -> Result<Nothing, ApiError> {
    refuse_program(&input.name, "InvalidDocumentOperation")?;
    let refused = |message| Err(ApiError::new("InvalidDocumentOperation", message));
    call.server
        .store
        .write(move |tx| {
            let name = &input.name;
            let state = lock(tx, name)?;
            if state.kind == "ApplicationConfigurationSchema" && !input.force {
                return refused(format!("{name} is a schema of configurations: deleting it needs Force."));
            }
            if input.document_version.is_some() || input.version_name.is_some() {
                let (version, named) = (&input.document_version, &input.version_name);
                let record = record::find(tx, name, version.as_deref(), named.as_deref())
                    .map_err(absent)?;
                if record.version == record.default_version {
                    return refused(format!(
                        "Default version of the document can't be deleted: that of {name} is {}.",
                        record.version
                    ));
                }
                tx.execute(
                    "DELETE FROM document_versions WHERE name = $1 AND version = $2",
                    params![name, record.version],
                )?;
                tx.execute(
                    "UPDATE documents SET latest = \
                     (SELECT MAX(v.version) FROM document_versions v WHERE v.name = documents.name) WHERE name = $1",
                    params![name],
                )?;
                return Ok(Nothing {});
            }
            let shares = count(
                tx,
                "SELECT COUNT(*) FROM document_shares WHERE name = $1",
                params![name],
            )?;
            if shares > 0 {
                return refused(format!(
                    "{name} is shared with {shares} accounts: stop sharing it before it is deleted."
                ));
            }
            for sql in [
                "DELETE FROM document_versions WHERE name = $1",
                "DELETE FROM documents WHERE name = $1",
            ] {
                tx.execute(sql, params![name])?;
            }
            tags::clear(tx, KIND, name)?;
            Ok(Nothing {})
        })
        .await
}

/// DeleteDocument has no code of its own for a version that there is not.
fn absent(error: ApiError) -> ApiError {
    if error.code == "InvalidDocumentVersion" {
        return ApiError::new("InvalidDocument", error.message);
    }
    error
}
