//! DeleteParameter and DeleteParameters, and parameters whose time is over.

use std::collections::BTreeSet;

use capstan_store::{Transaction, params};
use serde::{Deserialize, Serialize};

use super::names::Reference;
use super::tiers::Tier;
use super::{RESOURCE, not_found};
use crate::api::Call;
use crate::error::ApiError;
use crate::tags;
use crate::wire::Nothing;

/// Parameters that are deleted in one transaction when their time is over.
const CHUNK: i64 = 100;

/// Deletes those of these that there are, which must be in order; whether it was there for each.
fn remove<'a>(
    tx: &mut Transaction<'_>,
    names: impl IntoIterator<Item = &'a String>,
    expired_at: Option<i64>,
) -> Result<Vec<bool>, ApiError> {
    let mut gone = Vec::new();
    let (mut standard, mut advanced) = (0, 0);
    for name in names {
        let row = tx.query_one(
            "DELETE FROM parameters WHERE name = $1 AND (CAST($2 AS BIGINT) IS NULL OR expires <= $2) RETURNING tier",
            params![name, expired_at],
        )?;
        gone.push(row.is_some());
        let Some(row) = row else { continue };
        match Tier::of_column(row.get(0)?) {
            Tier::Standard => standard += 1,
            Tier::Advanced => advanced += 1,
        }
        for table in ["parameter_versions", "parameter_labels"] {
            tx.execute(
                &format!("DELETE FROM {table} WHERE name = $1"),
                params![name],
            )?;
        }
        tags::clear(tx, RESOURCE, name)?;
    }
    Tier::Standard.give_back(tx, standard)?;
    Tier::Advanced.give_back(tx, advanced)?;
    Ok(gone)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Delete {
    name: String,
}

pub(crate) async fn delete(call: Call, input: Delete) -> Result<Nothing, ApiError> {
    let name = Reference::name(&input.name)?;
    let to_delete = name.clone();
    let gone = call
        .server
        .store
        .write(move |tx| remove(tx, [&to_delete], None))
        .await?;
    if gone != [true] {
        return Err(not_found(&name));
    }
    told(&call, &name);
    Ok(Nothing {})
}

fn told(call: &Call, name: &str) {
    let by = call.caller.arn(&call.server.config.account);
    tracing::info!(parameter = name, by, "a parameter was deleted");
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeleteSeveral {
    names: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeletedSeveral {
    deleted_parameters: Vec<String>,
    invalid_parameters: Vec<String>,
}

pub(crate) async fn delete_several(
    call: Call,
    input: DeleteSeveral,
) -> Result<DeletedSeveral, ApiError> {
    let mut invalid_parameters = Vec::new();
    // In order, so that two who delete the same do not wait for each other.
    let mut names = BTreeSet::new();
    for name in input.names {
        match Reference::name(&name) {
            Ok(name) => {
                names.insert(name);
            }
            Err(_) => invalid_parameters.push(name),
        }
    }
    let to_delete = names.clone();
    let gone = call
        .server
        .store
        .write(move |tx| remove(tx, &to_delete, None))
        .await?;
    let mut deleted_parameters = Vec::new();
    for (name, gone) in names.into_iter().zip(gone) {
        if gone {
            told(&call, &name);
            deleted_parameters.push(name);
        } else {
            invalid_parameters.push(name);
        }
    }
    Ok(DeletedSeveral {
        deleted_parameters,
        invalid_parameters,
    })
}

/// Whether the time of a parameter is over.
pub(crate) fn due(tx: &mut Transaction<'_>, now: i64) -> Result<bool, ApiError> {
    let row = tx.query_one(
        "SELECT 1 FROM parameters WHERE expires <= $1 LIMIT 1",
        params![now],
    )?;
    Ok(row.is_some())
}

/// Deletes parameters whose time is over; true when there may be more.
pub(crate) fn expire(tx: &mut Transaction<'_>, now: i64) -> Result<bool, ApiError> {
    let rows = tx.query(
        "SELECT name FROM parameters WHERE expires <= $1 ORDER BY expires, name LIMIT $2",
        params![now, CHUNK],
    )?;
    let names = rows
        .iter()
        .map(|row| row.get(0))
        .collect::<Result<BTreeSet<String>, _>>()?;
    // Meanwhile one of them may have got a later end.
    for (name, gone) in names.iter().zip(remove(tx, &names, Some(now))?) {
        if gone {
            tracing::info!(parameter = name, "a parameter expired and was deleted");
        }
    }
    Ok(names.len() as i64 == CHUNK)
}
