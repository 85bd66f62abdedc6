//! With whom a document is shared.

use std::collections::BTreeSet;

use capstan_store::params;
use serde::{Deserialize, Serialize};

use super::keep::{count, lock, lock_limits, refuse_program};
use super::record;
use crate::api::Call;
use crate::error::ApiError;
use crate::paging::page;
use crate::sql::Query;
use crate::wire::Nothing;

/// Everybody, where an account's id could be.
pub(super) const ALL: &str = "all";
/// Accounts that a call can name to be added, and to be removed.
const MOST_AT_ONCE: usize = 20;
/// Accounts that a document can be shared with.
const MOST: i64 = 1000;
/// Documents that can be shared with everybody.
const MOST_PUBLIC: i64 = 5;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Modify {
    name: String,
    permission_type: String,
    #[serde(default)]
    account_ids_to_add: Vec<String>,
    #[serde(default)]
    account_ids_to_remove: Vec<String>,
    shared_document_version: Option<String>,
}

fn permission_type(kind: &str) -> Result<(), ApiError> {
    if kind == "Share" {
        return Ok(());
    }
    Err(ApiError::new(
        "InvalidPermissionType",
        "The permission type isn't supported: Share is the only one.",
    ))
}

fn too_many(message: String) -> ApiError {
    ApiError::new("DocumentPermissionLimit", message)
}

/// Removing has the last word.
pub(crate) async fn modify(call: Call, input: Modify) -> Result<Nothing, ApiError> {
    permission_type(&input.permission_type)?;
    refuse_program(&input.name, "InvalidDocument")?;
    let accounts = |ids: &[String]| -> BTreeSet<String> {
        ids.iter().map(|id| id.to_ascii_lowercase()).collect()
    };
    let remove = accounts(&input.account_ids_to_remove);
    let mut add = accounts(&input.account_ids_to_add);
    if add.is_empty() && remove.is_empty() {
        return Err(ApiError::validation(
            "Nothing to do: give AccountIdsToAdd or AccountIdsToRemove.",
        ));
    }
    if add.len() > MOST_AT_ONCE || remove.len() > MOST_AT_ONCE {
        return Err(too_many(format!(
            "A call can share a document with {MOST_AT_ONCE} accounts at most."
        )));
    }
    add.retain(|id| !remove.contains(id));
    let version = input
        .shared_document_version
        .unwrap_or_else(|| "$DEFAULT".to_owned());
    let name = input.name;
    call.server
        .store
        .write(move |tx| {
            if add.contains(ALL) {
                lock_limits(tx)?;
            }
            lock(tx, &name)?;
            for account in &remove {
                tx.execute(
                    "DELETE FROM document_shares WHERE name = $1 AND account = $2",
                    params![&name, account],
                )?;
            }
            for account in &add {
                tx.execute(
                    "INSERT INTO document_shares (name, account, version) VALUES ($1, $2, $3) \
                     ON CONFLICT (name, account) DO UPDATE SET version = excluded.version",
                    params![&name, account, &version],
                )?;
            }
            let accounts = count(
                tx,
                "SELECT COUNT(*) FROM document_shares WHERE name = $1 AND account <> $2",
                params![&name, ALL],
            )?;
            if accounts > MOST {
                return Err(too_many(format!(
                    "A document can be shared with {MOST} accounts, and {name} would be with {accounts}."
                )));
            }
            let public = count(
                tx,
                "SELECT COUNT(*) FROM document_shares WHERE account = $1",
                params![ALL],
            )?;
            if add.contains(ALL) && public > MOST_PUBLIC {
                return Err(too_many(format!(
                    "At most {MOST_PUBLIC} documents can be shared with everybody."
                )));
            }
            Ok(Nothing {})
        })
        .await
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Describe {
    name: String,
    permission_type: String,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Permissions {
    account_ids: Vec<String>,
    account_sharing_info_list: Vec<Sharing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Sharing {
    account_id: String,
    shared_document_version: String,
}

pub(crate) async fn describe(call: Call, input: Describe) -> Result<Permissions, ApiError> {
    permission_type(&input.permission_type)?;
    refuse_program(&input.name, "InvalidDocumentOperation")?;
    let after: Option<String> = call.cursor(input.next_token.as_deref())?;
    let size = input.max_results.unwrap_or(50);
    let shares = call
        .server
        .store
        .read::<_, ApiError>(move |tx| {
            record::find(tx, &input.name, None, None)?;
            let mut query =
                Query::new("SELECT account, version FROM document_shares WHERE name = ");
            query.bind(&input.name);
            if let Some(after) = &after {
                query.push(" AND account > ").bind(after);
            }
            query.push(" ORDER BY account LIMIT ").bind(size as i64 + 1);
            query
                .run(tx)?
                .iter()
                .map(|row| {
                    Ok(Sharing {
                        account_id: row.get(0)?,
                        shared_document_version: row.get(1)?,
                    })
                })
                .collect()
        })
        .await?;
    let (shares, next) = page(shares, size, |last| last.account_id.clone());
    Ok(Permissions {
        account_ids: shares
            .iter()
            .map(|share| share.account_id.clone())
            .collect(),
        account_sharing_info_list: shares,
        next_token: call.token(next)?,
    })
}
