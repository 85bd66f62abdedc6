//! Lists of documents.

use std::collections::{BTreeMap, BTreeSet};

use capstan_store::{Transaction, params};
use serde::{Deserialize, Serialize};

use super::KIND;
use super::filter::{Candidate, Filter, OldFilter, read_filters};
use super::record::{self, COLUMNS, Record, Requires, of_row};
use super::share::ALL;
use crate::api::Call;
use crate::error::ApiError;
use crate::paging::page;
use crate::wire::{Epoch, Tag};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct List {
    #[serde(default)]
    document_filter_list: Vec<OldFilter>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Identifiers {
    document_identifiers: Vec<Identifier>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Identifier {
    name: String,
    created_date: Epoch,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    owner: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_name: Option<String>,
    platform_types: Vec<String>,
    document_version: String,
    document_type: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    schema_version: String,
    document_format: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_type: Option<String>,
    tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    requires: Vec<Requires>,
}

impl From<Candidate> for Identifier {
    fn from(Candidate { record, tags, .. }: Candidate) -> Self {
        Self {
            name: record.name,
            created_date: Epoch::of_millis(record.created),
            display_name: record.display_name,
            owner: record.owner,
            version_name: record.version_name,
            platform_types: record.platforms,
            document_version: record.version.to_string(),
            document_type: record.kind,
            schema_version: record.schema_version,
            document_format: record.format,
            target_type: record.target_type,
            tags,
            requires: record.requires,
        }
    }
}

/// The documents of the account and of the program by name, each with its default version. There are few enough of them
/// to be looked at one by one.
pub(crate) async fn list(call: Call, input: List) -> Result<Identifiers, ApiError> {
    let after: Option<String> = call.cursor(input.next_token.as_deref())?;
    let size = input.max_results.unwrap_or(50);
    let filters = read_filters(input.document_filter_list, input.filters)?;
    let mut candidates: Vec<Candidate> = record::program()
        .iter()
        .map(|record| Candidate {
            record: record.clone(),
            tags: Vec::new(),
            public: false,
        })
        .collect();
    candidates.extend(call.server.store.read(stored).await?);
    candidates.sort_by(|one, other| one.record.name.cmp(&other.record.name));
    let documents: Vec<Identifier> = candidates
        .into_iter()
        .filter(|candidate| {
            after
                .as_ref()
                .is_none_or(|after| candidate.record.name > *after)
        })
        .filter(|candidate| filters.iter().all(|filter| filter.takes(candidate)))
        .take(size + 1)
        .map(Into::into)
        .collect();
    let (document_identifiers, next) = page(documents, size, |last| last.name.clone());
    Ok(Identifiers {
        document_identifiers,
        next_token: call.token(next)?,
    })
}

/// What is stored, with the tags, in no order.
fn stored(tx: &mut Transaction<'_>) -> Result<Vec<Candidate>, ApiError> {
    let mut tags: BTreeMap<String, Vec<Tag>> = BTreeMap::new();
    for row in &tx.query(
        "SELECT resource_id, key, value FROM tags WHERE resource_type = $1 ORDER BY resource_id, key",
        params![KIND],
    )? {
        tags.entry(row.get(0)?).or_default().push(Tag {
            key: row.get(1)?,
            value: row.get(2)?,
        });
    }
    let public: BTreeSet<String> = tx
        .query(
            "SELECT name FROM document_shares WHERE account = $1",
            params![ALL],
        )?
        .iter()
        .map(|row| row.get(0))
        .collect::<Result<_, _>>()?;
    tx.query(
        &format!(
            "SELECT {COLUMNS} FROM documents d \
             JOIN document_versions v ON v.name = d.name AND v.version = d.default_version"
        ),
        params![],
    )?
    .iter()
    .map(|row| {
        let record: Record = of_row(row)?;
        Ok(Candidate {
            tags: tags.remove(&record.name).unwrap_or_default(),
            public: public.contains(&record.name),
            record,
        })
    })
    .collect()
}
