//! Tags of all kinds of resources.

use capstan_store::{Migration, StoreError, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::api::Call;
use crate::error::ApiError;
use crate::parameters;
use crate::server::Config;
use crate::wire::{Nothing, Tag};

/// The table of tags.
pub(crate) const MIGRATION: Migration = Migration {
    component: "tags",
    version: 1,
    sql: "CREATE TABLE tags (
        resource_type TEXT NOT NULL,
        resource_id TEXT NOT NULL,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (resource_type, resource_id, key)
    );
    CREATE INDEX tags_by_key ON tags (resource_type, key, value)",
};

/// Tags that one resource can have.
const MOST: i64 = 50;

/// Refuses tags that AWS refuses.
pub(crate) fn check(tags: &[Tag]) -> Result<(), ApiError> {
    for (at, tag) in tags.iter().enumerate() {
        if tag
            .key
            .get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case("aws:"))
        {
            return Err(ApiError::validation(format!(
                "The tag key {} begins with aws:, which is kept for AWS.",
                tag.key
            )));
        }
        if tags[..at].iter().any(|before| before.key == tag.key) {
            return Err(ApiError::validation(format!(
                "The tag key {} is given twice.",
                tag.key
            )));
        }
    }
    if tags.len() as i64 > MOST {
        return Err(too_many());
    }
    Ok(())
}

fn too_many() -> ApiError {
    ApiError::new(
        "TooManyTagsError",
        format!("A resource can have {MOST} tags."),
    )
}

/// Adds tags or gives them other values.
pub(crate) fn put(
    tx: &mut Transaction<'_>,
    kind: &str,
    id: &str,
    tags: &[Tag],
) -> Result<(), ApiError> {
    for tag in tags {
        tx.execute(
            "INSERT INTO tags (resource_type, resource_id, key, value) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (resource_type, resource_id, key) DO UPDATE SET value = excluded.value",
            params![kind, id, &tag.key, &tag.value],
        )?;
    }
    let count = tx.query_one(
        "SELECT COUNT(*) FROM tags WHERE resource_type = $1 AND resource_id = $2",
        params![kind, id],
    )?;
    match count.map(|row| row.get::<i64>(0)).transpose()? {
        Some(count) if count > MOST => Err(too_many()),
        _ => Ok(()),
    }
}

/// A resource's tags, by key.
pub(crate) fn of(tx: &mut Transaction<'_>, kind: &str, id: &str) -> Result<Vec<Tag>, StoreError> {
    tx.query(
        "SELECT key, value FROM tags WHERE resource_type = $1 AND resource_id = $2 ORDER BY key",
        params![kind, id],
    )?
    .iter()
    .map(|row| {
        Ok(Tag {
            key: row.get(0)?,
            value: row.get(1)?,
        })
    })
    .collect()
}

/// Takes all tags of a resource away, as it goes.
pub(crate) fn clear(tx: &mut Transaction<'_>, kind: &str, id: &str) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM tags WHERE resource_type = $1 AND resource_id = $2",
        params![kind, id],
    )?;
    Ok(())
}

/// The id by which a resource's tags are kept; refuses a resource that there is none of.
fn demand(
    tx: &mut Transaction<'_>,
    config: &Config,
    kind: &str,
    id: &str,
) -> Result<String, ApiError> {
    let found = match kind {
        "ManagedInstance" => crate::nodes::is_registered(tx, id)?.then(|| id.to_owned()),
        "Document" => crate::documents::is_stored(tx, id)?.then(|| id.to_owned()),
        parameters::RESOURCE => parameters::tagged(tx, config, id)?,
        other => {
            return Err(ApiError::new(
                "InvalidResourceType",
                format!("Resources of the type {other} cannot be tagged here."),
            ));
        }
    };
    found.ok_or_else(|| ApiError::new("InvalidResourceId", format!("There is no {kind} {id}.")))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AddTags {
    resource_type: String,
    resource_id: String,
    tags: Vec<Tag>,
}

pub(crate) async fn add(call: Call, input: AddTags) -> Result<Nothing, ApiError> {
    check(&input.tags)?;
    let config = call.server.config.clone();
    call.server
        .store
        .write(move |tx| {
            let id = demand(tx, &config, &input.resource_type, &input.resource_id)?;
            put(tx, &input.resource_type, &id, &input.tags)
        })
        .await?;
    Ok(Nothing {})
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RemoveTags {
    resource_type: String,
    resource_id: String,
    tag_keys: Vec<String>,
}

pub(crate) async fn remove(call: Call, input: RemoveTags) -> Result<Nothing, ApiError> {
    let config = call.server.config.clone();
    call.server
        .store
        .write(move |tx| {
            let id = demand(tx, &config, &input.resource_type, &input.resource_id)?;
            for key in &input.tag_keys {
                tx.execute(
                    "DELETE FROM tags WHERE resource_type = $1 AND resource_id = $2 AND key = $3",
                    params![&input.resource_type, &id, key],
                )?;
            }
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(Nothing {})
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListTags {
    resource_type: String,
    resource_id: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Tags {
    tag_list: Vec<Tag>,
}

pub(crate) async fn list(call: Call, input: ListTags) -> Result<Tags, ApiError> {
    let config = call.server.config.clone();
    let tag_list = call
        .server
        .store
        .read::<_, ApiError>(move |tx| {
            let id = demand(tx, &config, &input.resource_type, &input.resource_id)?;
            Ok(of(tx, &input.resource_type, &id)?)
        })
        .await?;
    Ok(Tags { tag_list })
}
