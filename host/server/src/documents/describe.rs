//! Looking at a document: its text, its description, its versions.

use capstan_document::{parse_value, to_yaml};
use capstan_store::Transaction;
use serde::{Deserialize, Serialize};

use super::KIND;
use super::record::{self, COLUMNS, ParameterWire, Record, Requires};
use crate::api::Call;
use crate::error::ApiError;
use crate::paging::page;
use crate::sql::Query;
use crate::tags;
use crate::wire::{Epoch, Tag};

/// A document as the API describes it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Description {
    hash: String,
    hash_type: &'static str,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_name: Option<String>,
    owner: String,
    created_date: Epoch,
    status: &'static str,
    document_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parameters: Vec<ParameterWire>,
    platform_types: Vec<String>,
    document_type: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    schema_version: String,
    latest_version: String,
    default_version: String,
    document_format: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_type: Option<String>,
    tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    requires: Vec<Requires>,
}

impl Description {
    pub(super) fn new(record: Record, tags: Vec<Tag>) -> Self {
        Self {
            hash: record.sha256,
            hash_type: "Sha256",
            name: record.name,
            display_name: record.display_name,
            version_name: record.version_name,
            owner: record.owner,
            created_date: Epoch::of_millis(record.created),
            status: "Active",
            document_version: record.version.to_string(),
            description: record.description,
            parameters: record.parameters,
            platform_types: record.platforms,
            document_type: record.kind,
            schema_version: record.schema_version,
            latest_version: record.latest.to_string(),
            default_version: record.default_version.to_string(),
            document_format: record.format,
            target_type: record.target_type,
            tags,
            requires: record.requires,
        }
    }

    /// Of a version with the tags of its document.
    pub(super) fn read(tx: &mut Transaction<'_>, record: Record) -> Result<Self, ApiError> {
        let tags = tags::of(tx, KIND, &record.name)?;
        Ok(Self::new(record, tags))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Describe {
    name: String,
    document_version: Option<String>,
    version_name: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Described {
    document: Description,
}

pub(crate) async fn describe(call: Call, input: Describe) -> Result<Described, ApiError> {
    call.server
        .store
        .read(move |tx| {
            let (version, named) = (&input.document_version, &input.version_name);
            let record = record::find(tx, &input.name, version.as_deref(), named.as_deref())?;
            Ok(Described {
                document: Description::read(tx, record)?,
            })
        })
        .await
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Get {
    name: String,
    document_version: Option<String>,
    version_name: Option<String>,
    document_format: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Got {
    name: String,
    created_date: Epoch,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_name: Option<String>,
    document_version: String,
    status: &'static str,
    content: String,
    document_type: String,
    document_format: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    requires: Vec<Requires>,
}

pub(crate) async fn get(call: Call, input: Get) -> Result<Got, ApiError> {
    let asked = input.document_format.clone();
    let record = call
        .server
        .store
        .read(move |tx| {
            let (version, named) = (&input.document_version, &input.version_name);
            record::find(tx, &input.name, version.as_deref(), named.as_deref())
        })
        .await?;
    // What is neither JSON nor YAML is not asked for as JSON by who says nothing.
    let asked = asked.unwrap_or_else(|| match record.format.as_str() {
        "TEXT" => "TEXT".to_owned(),
        _ => "JSON".to_owned(),
    });
    let content = converted(&record, &asked)?;
    Ok(Got {
        name: record.name,
        created_date: Epoch::of_millis(record.created),
        display_name: record.display_name,
        version_name: record.version_name,
        document_version: record.version.to_string(),
        status: "Active",
        content,
        document_type: record.kind,
        document_format: asked,
        requires: record.requires,
    })
}

/// The text of a document in a format: as it was stored, if it was in that.
fn converted(record: &Record, format: &str) -> Result<String, ApiError> {
    let cannot = || {
        ApiError::validation(format!(
            "The document {} is stored as {}, and cannot be written as {format}.",
            record.name, record.format
        ))
    };
    match (record.format.as_str(), format) {
        (stored, asked) if stored == asked => Ok(record.content.clone()),
        ("YAML", "JSON") => {
            let value = parse_value(&record.content, &record.name).map_err(|_| cannot())?;
            serde_json::to_string_pretty(&value).map_err(|_| cannot())
        }
        ("JSON", "YAML") => {
            let value = parse_value(&record.content, &record.name).map_err(|_| cannot())?;
            let text = to_yaml(&value);
            // It must mean the same.
            match parse_value(&text, &record.name) {
                Ok(read) if read == value => Ok(text),
                _ => Err(cannot()),
            }
        }
        _ => Err(cannot()),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListVersions {
    name: String,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Versions {
    document_versions: Vec<VersionInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct VersionInfo {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    document_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_name: Option<String>,
    created_date: Epoch,
    is_default_version: bool,
    document_format: String,
    status: &'static str,
}

/// The newest first.
pub(crate) async fn list_versions(call: Call, input: ListVersions) -> Result<Versions, ApiError> {
    let before: Option<i64> = call.cursor(input.next_token.as_deref())?;
    let size = input.max_results.unwrap_or(50);
    let records = call
        .server
        .store
        .read::<_, ApiError>(move |tx| {
            let default = record::find(tx, &input.name, None, None)?;
            if default.owner == record::AMAZON {
                return Ok(vec![default]);
            }
            let mut query = Query::new(&format!(
                "SELECT {COLUMNS} FROM documents d JOIN document_versions v ON v.name = d.name WHERE d.name = "
            ));
            query.bind(&default.name);
            if let Some(before) = before {
                query.push(" AND v.version < ").bind(before);
            }
            query
                .push(" ORDER BY v.version DESC LIMIT ")
                .bind(size as i64 + 1);
            query.run(tx)?.iter().map(record::of_row).collect()
        })
        .await?;
    let (records, next) = page(records, size, |last| last.version);
    Ok(Versions {
        document_versions: records
            .into_iter()
            .map(|record| VersionInfo {
                is_default_version: record.version == record.default_version,
                name: record.name,
                display_name: record.display_name,
                document_version: record.version.to_string(),
                version_name: record.version_name,
                created_date: Epoch::of_millis(record.created),
                document_format: record.format,
                status: "Active",
            })
            .collect(),
        next_token: call.token(next)?,
    })
}
