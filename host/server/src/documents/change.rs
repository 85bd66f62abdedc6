//! Making documents and versions of them.

use capstan_store::params;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::KIND;
use super::content::check;
use super::describe::Description;
use super::keep::{New, count, described, insert, lock, lock_limits, refuse_program};
use super::record::{self, Requires, number_of};
use crate::api::Call;
use crate::error::ApiError;
use crate::tags;
use crate::wire::Tag;

/// Documents of an account.
const MOST: i64 = 500;
/// Versions of a document.
const MOST_VERSIONS: i64 = 1000;
/// What names of an account's own documents do not begin with.
const RESERVED: [&str; 3] = ["aws", "amazon", "amzn"];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Create {
    content: String,
    #[serde(default)]
    requires: Vec<Requires>,
    #[serde(default)]
    attachments: Vec<Value>,
    name: String,
    display_name: Option<String>,
    version_name: Option<String>,
    document_type: Option<String>,
    document_format: Option<String>,
    target_type: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Changed {
    document_description: Description,
}

pub(crate) async fn create(call: Call, input: Create) -> Result<Changed, ApiError> {
    let lower = input.name.to_ascii_lowercase();
    if let Some(start) = RESERVED.iter().find(|start| lower.starts_with(**start)) {
        return Err(ApiError::validation(format!(
            "The document name {} begins with {start}, which is reserved for the documents of AWS.",
            input.name
        )));
    }
    refuse_attachments(&input.attachments)?;
    tags::check(&input.tags)?;
    let kind = input.document_type.unwrap_or_else(|| "Command".to_owned());
    if !input.requires.is_empty() && !kind.starts_with("ApplicationConfiguration") {
        return Err(ApiError::validation(format!(
            "Requires is for documents of the type ApplicationConfiguration, and not {kind}.",
        )));
    }
    let format = input.document_format.unwrap_or_else(|| "JSON".to_owned());
    let new = New {
        checked: check(&input.name, &kind, &format, &input.content)?,
        name: input.name,
        version_name: input.version_name,
        display_name: input.display_name,
        format,
        content: input.content,
        target_type: input.target_type,
        requires: input.requires,
        now: call.millis(),
    };
    let (tags, owner) = (input.tags, call.server.config.account.clone());
    let document_description = call
        .server
        .store
        .write(move |tx| {
            lock_limits(tx)?;
            let made = tx.execute(
                "INSERT INTO documents (name, kind, owner, created, default_version, latest, highest, revision) \
                 VALUES ($1, $2, $3, $4, 1, 1, 1, 0) ON CONFLICT DO NOTHING",
                params![&new.name, &kind, &owner, new.now],
            )?;
            if made == 0 {
                return Err(ApiError::new(
                    "DocumentAlreadyExists",
                    format!("The specified document already exists: {}.", new.name),
                ));
            }
            if count(tx, "SELECT COUNT(*) FROM documents", &[])? > MOST {
                return Err(ApiError::new(
                    "DocumentLimitExceeded",
                    format!("You can have at most {MOST} documents: delete one that is not used."),
                ));
            }
            insert(tx, &new, 1)?;
            // One that was deleted may have been tagged at that moment.
            tags::clear(tx, KIND, &new.name)?;
            tags::put(tx, KIND, &new.name, &tags)?;
            described(tx, &new.name, 1)
        })
        .await?;
    Ok(Changed {
        document_description,
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Update {
    content: String,
    #[serde(default)]
    attachments: Vec<Value>,
    name: String,
    display_name: Option<String>,
    version_name: Option<String>,
    document_version: Option<String>,
    document_format: Option<String>,
    target_type: Option<String>,
}

/// Makes the latest version; the default stays.
pub(crate) async fn update(call: Call, input: Update) -> Result<Changed, ApiError> {
    refuse_attachments(&input.attachments)?;
    refuse_program(&input.name, "InvalidDocumentOperation")?;
    let now = call.millis();
    let format = input.document_format.unwrap_or_else(|| "JSON".to_owned());
    let name = input.name.clone();
    let kind = call
        .server
        .store
        .read(move |tx| record::find(tx, &name, None, None))
        .await?
        .kind;
    let checked = check(&input.name, &kind, &format, &input.content)?;
    let document_description = call
        .server
        .store
        .write(move |tx| {
            let state = lock(tx, &input.name)?;
            if state.kind != kind {
                return Err(ApiError::new(
                    "InvalidDocument",
                    format!("Another document was made as {} in this moment.", input.name),
                ));
            }
            let (default_version, latest) = (state.default_version, state.latest);
            let said = input.document_version.as_deref().unwrap_or("$LATEST");
            if number_of(said, default_version, latest) != Some(latest) {
                return Err(ApiError::new(
                    "InvalidDocumentVersion",
                    format!(
                        "The document version is not valid or does not exist: {said} of {} cannot be updated, only the \
                         latest version, which is {latest} or $LATEST.",
                        input.name
                    ),
                ));
            }
            let before = record::find(tx, &input.name, Some("$LATEST"), None)?;
            let new = New {
                checked: checked.clone(),
                name: input.name.clone(),
                version_name: input.version_name.clone(),
                display_name: input.display_name.clone().or(before.display_name),
                format: format.clone(),
                content: input.content.clone(),
                target_type: input.target_type.clone().or(before.target_type),
                requires: before.requires,
                now,
            };
            if new.content == before.content {
                return Err(ApiError::new(
                    "DuplicateDocumentContent",
                    format!("The content is that of the latest version of {}, {latest}.", new.name),
                ));
            }
            let versions = count(
                tx,
                "SELECT COUNT(*) FROM document_versions WHERE name = $1",
                params![&new.name],
            )?;
            if versions >= MOST_VERSIONS {
                return Err(ApiError::new(
                    "DocumentVersionLimitExceeded",
                    format!(
                        "The document has too many versions: {} has {versions}. Delete one and try again.",
                        new.name
                    ),
                ));
            }
            let version = state.highest + 1;
            insert(tx, &new, version)?;
            tx.execute(
                "UPDATE documents SET latest = $1, highest = $1 WHERE name = $2",
                params![version, &new.name],
            )?;
            described(tx, &new.name, version)
        })
        .await?;
    Ok(Changed {
        document_description,
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateDefault {
    name: String,
    document_version: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DefaultChanged {
    description: DefaultVersion,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DefaultVersion {
    name: String,
    default_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_version_name: Option<String>,
}

pub(crate) async fn update_default(
    call: Call,
    input: UpdateDefault,
) -> Result<DefaultChanged, ApiError> {
    refuse_program(&input.name, "InvalidDocument")?;
    let record = call
        .server
        .store
        .write(move |tx| {
            lock(tx, &input.name)?;
            let record = record::find(tx, &input.name, Some(&input.document_version), None)?;
            tx.execute(
                "UPDATE documents SET default_version = $1 WHERE name = $2",
                params![record.version, &input.name],
            )?;
            Ok::<_, ApiError>(record)
        })
        .await?;
    Ok(DefaultChanged {
        description: DefaultVersion {
            name: record.name,
            default_version: record.version.to_string(),
            default_version_name: record.version_name,
        },
    })
}

/// Attachments would have to be fetched from where they are.
fn refuse_attachments(attachments: &[Value]) -> Result<(), ApiError> {
    let Some(first) = attachments.first() else {
        return Ok(());
    };
    let key = first.get("Key").and_then(Value::as_str).unwrap_or("none");
    Err(ApiError::validation(format!(
        "Attachments (here one by {key}) are not served: this server fetches nothing by SourceUrl, S3FileUrl or \
         AttachmentReference. Let the document's steps fetch what they need.",
    )))
}
