//! PutParameter.

use std::sync::Arc;

use capstan_store::{Param, Transaction, params};
use serde::{Deserialize, Serialize};

use super::RESOURCE;
use super::policies::Policies;
use super::record::{Kind, METADATA, Version};
use super::rules::Change;
use super::tiers::{Tier, Wanted};
use super::{names, secret};
use crate::api::Call;
use crate::error::ApiError;
use crate::server::Server;
use crate::tags;
use crate::wire::Tag;

/// Versions of a parameter that are kept.
const KEPT: i64 = 100;
/// Times that a parameter may come and go while it is put.
const ATTEMPTS: usize = 5;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Put {
    name: String,
    value: String,
    r#type: Option<Kind>,
    description: Option<String>,
    key_id: Option<String>,
    overwrite: Option<bool>,
    allowed_pattern: Option<String>,
    tags: Option<Vec<Tag>>,
    tier: Option<Wanted>,
    policies: Option<String>,
    data_type: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Done {
    version: i64,
    tier: Tier,
}

pub(crate) async fn put(call: Call, input: Put) -> Result<Done, ApiError> {
    let overwrite = input.overwrite.unwrap_or(false);
    let tags = input.tags.unwrap_or_default();
    if overwrite && !tags.is_empty() {
        return Err(ApiError::validation(
            "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove \
             overwrite flag. To update tags for an existing parameter, please use AddTagsToResource or \
             RemoveTagsFromResource.",
        ));
    }
    tags::check(&tags)?;
    let policies = input
        .policies
        .map(|text| Policies::of_request(&text, call.now))
        .transpose()?;
    let by = call.caller.arn(&call.server.config.account);
    let change = Change {
        name: input.name,
        value: input.value,
        kind: input.r#type,
        key_id: input.key_id,
        description: input.description,
        allowed_pattern: input.allowed_pattern,
        data_type: input.data_type,
        tier: input.tier,
        policies,
        now: call.millis(),
        by: by.clone(),
    }
    .check(&call.server.config)?;
    let (name, server) = (change.name.clone(), call.server.clone());
    let done = call
        .server
        .store
        .write(move |tx| {
            if !overwrite {
                return create(tx, &server, &change, &tags)?.ok_or_else(|| {
                    ApiError::new(
                        "ParameterAlreadyExists",
                        "The parameter already exists. To overwrite this value, set the overwrite option in the request to \
                         true.",
                    )
                });
            }
            for _ in 0..ATTEMPTS {
                if let Some(done) = change_it(tx, &server, &change)? {
                    return Ok(done);
                }
                if let Some(done) = create(tx, &server, &change, &[])? {
                    return Ok(done);
                }
            }
            Err(ApiError::new(
                "TooManyUpdates",
                format!("There are concurrent updates of the parameter {}.", change.name),
            ))
        })
        .await?;
    tracing::info!(
        parameter = name,
        version = done.version,
        by,
        "a parameter was put"
    );
    Ok(done)
}

/// A parameter of a name that is free; none if it is not.
fn create(
    tx: &mut Transaction<'_>,
    server: &Arc<Server>,
    change: &Change,
    tags: &[Tag],
) -> Result<Option<Done>, ApiError> {
    let mut version = match change.apply(None) {
        Ok(version) => version,
        // That there is one already is told first.
        Err(error) => {
            let name = params![&change.name];
            return match tx.query_one("SELECT 1 FROM parameters WHERE name = $1", name)? {
                Some(_) => Ok(None),
                None => Err(error),
            };
        }
    };
    seal(server, &mut version)?;
    let parent = names::parent(&version.name).to_owned();
    let columns = version.params();
    let more = [parent.as_str().into(), expires(change, None).into()];
    let made = tx.execute(
        "INSERT INTO parameters (name, kind, version, key_id, description, allowed_pattern, data_type, tier, policies, \
         modified, modified_by, value, parent, expires) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT DO NOTHING",
        &[columns.as_slice(), &more].concat(),
    )?;
    if made == 0 {
        return Ok(None);
    }
    if !version.tier.take(tx)? {
        let up = version.tier == Tier::Standard && change.may_move_up();
        if !up || !Tier::Advanced.take(tx)? {
            return Err(version.tier.full());
        }
        version.tier = Tier::Advanced;
        tx.execute(
            "UPDATE parameters SET tier = $2 WHERE name = $1",
            params![&version.name, version.tier.column()],
        )?;
    }
    keep(tx, &version)?;
    if !tags.is_empty() {
        tags::put(tx, RESOURCE, &version.name, tags)?;
    }
    Ok(Some(Done {
        version: version.version,
        tier: version.tier,
    }))
}

/// The next version of a parameter; none if there is no such parameter.
fn change_it(
    tx: &mut Transaction<'_>,
    server: &Arc<Server>,
    change: &Change,
) -> Result<Option<Done>, ApiError> {
    // This locks it, so that of two who change it the one waits here for the other's version.
    let columns = METADATA.replace("p.", "");
    let row = tx.query_one(
        &format!("UPDATE parameters SET version = version + 1 WHERE name = $1 RETURNING {columns}, expires"),
        params![&change.name],
    )?;
    let Some(row) = row else { return Ok(None) };
    let mut before = Version::without_value(&row)?;
    before.version -= 1;
    let mut version = change.apply(Some(&before))?;
    seal(server, &mut version)?;
    if version.tier != before.tier {
        // The standard tier's count first, as everywhere.
        before.tier.give_back(tx, 1)?;
        if !version.tier.take(tx)? {
            return Err(version.tier.full());
        }
    }
    let columns = version.params();
    let more: [Param<'_>; 1] = [expires(change, row.get(11)?).into()];
    tx.execute(
        "UPDATE parameters SET kind = $2, version = $3, key_id = $4, description = $5, allowed_pattern = $6, \
         data_type = $7, tier = $8, policies = $9, modified = $10, modified_by = $11, value = $12, expires = $13 \
         WHERE name = $1",
        &[columns.as_slice(), &more].concat(),
    )?;
    keep(tx, &version)?;
    if version.version > KEPT {
        forget(tx, &version.name, version.version - KEPT)?;
    }
    Ok(Some(Done {
        version: version.version,
        tier: version.tier,
    }))
}

/// When the parameter is to be deleted: policies that are not sent stay.
fn expires(change: &Change, before: Option<i64>) -> Option<i64> {
    change.policies.as_ref().map_or(before, Policies::expires)
}

fn seal(server: &Server, version: &mut Version) -> Result<(), ApiError> {
    if version.kind == Kind::SecureString {
        let place = (
            version.name.as_str(),
            version.version,
            version.key_id.as_str(),
        );
        version.value = secret::seal(&server.parameters, place, &version.value)?;
    }
    Ok(())
}

/// Among the versions.
fn keep(tx: &mut Transaction<'_>, version: &Version) -> Result<(), ApiError> {
    tx.execute(
        "INSERT INTO parameter_versions (name, kind, version, key_id, description, allowed_pattern, data_type, tier, \
         policies, modified, modified_by, value) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        &version.params(),
    )?;
    Ok(())
}

/// One version goes for each that comes, unless it has a label.
fn forget(tx: &mut Transaction<'_>, name: &str, oldest: i64) -> Result<(), ApiError> {
    let gone = tx.execute(
        "DELETE FROM parameter_versions WHERE name = $1 AND version = $2 AND NOT EXISTS \
         (SELECT 1 FROM parameter_labels l WHERE l.name = $1 AND l.version = $2)",
        params![name, oldest],
    )?;
    if gone > 0 {
        return Ok(());
    }
    Err(ApiError::new(
        "ParameterMaxVersionLimitExceeded",
        format!(
            "You attempted to create a new version of {name} by calling the PutParameter API with the overwrite flag. \
             Version {oldest}, the oldest version, can't be deleted because it has a label associated with it. Move the \
             label to another version of the parameter, and try again."
        ),
    ))
}
