//! GetParameterHistory.

use std::collections::BTreeMap;

use capstan_store::{Transaction, params};
use serde::{Deserialize, Serialize};

use super::describe::Metadata;
use super::names::Reference;
use super::not_found;
use super::reach::Reach;
use super::record::{COLUMNS, Version};
use crate::api::Call;
use crate::error::ApiError;
use crate::paging::page;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetHistory {
    name: String,
    with_decryption: Option<bool>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct History {
    parameters: Vec<Entry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    #[serde(flatten)]
    metadata: Metadata,
    value: String,
    labels: Vec<String>,
}

/// All versions that are kept, the oldest first.
pub(crate) async fn history(call: Call, input: GetHistory) -> Result<History, ApiError> {
    let reference = Reference::parse(&input.name, &call.server.config)?;
    if reference.selector.is_some() {
        return Err(ApiError::validation(
            "GetParameterHistory answers all versions: give the parameter's name without a version or label.",
        ));
    }
    let after: i64 = call.cursor(input.next_token.as_deref())?.unwrap_or(0);
    let size = input.max_results.unwrap_or(50);
    let reach = Reach::of(&call);
    let (versions, mut labels) = call
        .server
        .store
        .read::<_, ApiError>(move |tx| {
            reach.demand(tx, reference.names())?;
            for name in &reference.names {
                let versions = versions(tx, name, after, size)?;
                // Nobody goes on after the last version.
                if !versions.is_empty() {
                    return Ok((versions, labels(tx, name)?));
                }
            }
            Err(not_found(input.name.trim()))
        })
        .await?;
    let (versions, next) = page(versions, size, |last| last.version);
    let (decrypt, now) = (input.with_decryption.unwrap_or(false), call.millis());
    let parameters = versions
        .into_iter()
        .map(|version| {
            Ok(Entry {
                value: version.text(&call, decrypt)?,
                labels: labels.remove(&version.version).unwrap_or_default(),
                metadata: Metadata::of(version, now)?,
            })
        })
        .collect::<Result<_, ApiError>>()?;
    Ok(History {
        parameters,
        next_token: call.token(next)?,
    })
}

fn versions(
    tx: &mut Transaction<'_>,
    name: &str,
    after: i64,
    size: usize,
) -> Result<Vec<Version>, ApiError> {
    let rows = tx.query(
        &format!(
            "SELECT {COLUMNS} FROM parameter_versions p WHERE p.name = $1 AND p.version > $2 ORDER BY p.version LIMIT $3"
        ),
        params![name, after, size as i64 + 1],
    )?;
    Ok(rows.iter().map(Version::of_row).collect::<Result<_, _>>()?)
}

/// By version.
fn labels(tx: &mut Transaction<'_>, name: &str) -> Result<BTreeMap<i64, Vec<String>>, ApiError> {
    let rows = tx.query(
        "SELECT version, label FROM parameter_labels WHERE name = $1 ORDER BY label",
        params![name],
    )?;
    let mut labels: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for row in rows {
        labels.entry(row.get(0)?).or_default().push(row.get(1)?);
    }
    Ok(labels)
}
