//! Activations: what lets machines join as nodes.

use capstan_store::params;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::api::Call;
use crate::auth::hex;
use crate::error::ApiError;
use crate::keys::random;
use crate::paging::page;
use crate::sql::Query;
use crate::wire::{Epoch, Nothing, Tag};

const DAY: i64 = 24 * 3600 * 1000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateActivation {
    #[serde(default)]
    description: String,
    #[serde(default)]
    default_instance_name: String,
    iam_role: String,
    registration_limit: Option<i64>,
    expiration_date: Option<Epoch>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NewActivation {
    activation_id: String,
    activation_code: String,
}

/// The code is shown here and never again: its hash is what is kept.
pub(crate) async fn create_activation(
    call: Call,
    input: CreateActivation,
) -> Result<NewActivation, ApiError> {
    let now = call.millis();
    let expires = input
        .expiration_date
        .map_or(now + DAY, |date| date.0.as_millisecond());
    if expires <= now || expires > now + 30 * DAY {
        return Err(ApiError::new(
            "InvalidParameters",
            "ExpirationDate must be in the future, and at most 30 days from now.",
        ));
    }
    crate::tags::check(&input.tags)?;
    let code = random::<15>().map_err(|error| {
        tracing::error!(%error, "an activation code cannot be made");
        ApiError::internal()
    })?;
    let new = NewActivation {
        activation_id: uuid::Uuid::new_v4().to_string(),
        activation_code: hex(&code),
    };
    let id = new.activation_id.clone();
    let hash = code_hash(&new.activation_code);
    let tags = crate::wire::json(&input.tags)?;
    call.server
        .store
        .write(move |tx| {
            tx.execute(
                "INSERT INTO activations (id, code, description, default_name, iam_role, registration_limit, \
                 registrations, expires, created, tags) VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8, $9)",
                params![
                    &id,
                    &hash,
                    &input.description,
                    &input.default_instance_name,
                    &input.iam_role,
                    input.registration_limit.unwrap_or(1),
                    expires,
                    now,
                    &tags
                ],
            )?;
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(new)
}

/// What is stored of a code. It has 120 bits of chance, so a plain hash is enough.
pub(super) fn code_hash(code: &str) -> Vec<u8> {
    Sha256::digest(code.as_bytes()).to_vec()
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribeActivations {
    #[serde(default)]
    filters: Vec<ActivationFilter>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ActivationFilter {
    filter_key: String,
    #[serde(default)]
    filter_values: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Activations {
    activation_list: Vec<Activation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Activation {
    activation_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    default_instance_name: String,
    iam_role: String,
    registration_limit: i64,
    registrations_count: i64,
    expiration_date: Epoch,
    expired: bool,
    created_date: Epoch,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
}

pub(crate) async fn describe_activations(
    call: Call,
    input: DescribeActivations,
) -> Result<Activations, ApiError> {
    let after: Option<String> = call.cursor(input.next_token.as_deref())?;
    let size = input.max_results.unwrap_or(50);
    let mut query = Query::new(
        "SELECT id, description, default_name, iam_role, registration_limit, registrations, expires, created, tags \
         FROM activations WHERE 1 = 1",
    );
    for filter in &input.filters {
        let column = match filter.filter_key.as_str() {
            "ActivationIds" => "id",
            "DefaultInstanceName" => "default_name",
            "IamRole" => "iam_role",
            other => {
                return Err(ApiError::new(
                    "InvalidFilter",
                    format!(
                        "The filter {other} is not one of ActivationIds, DefaultInstanceName, IamRole."
                    ),
                ));
            }
        };
        query
            .push(" AND ")
            .push(column)
            .one_of(&filter.filter_values);
    }
    if let Some(after) = &after {
        query.push(" AND id > ").bind(after);
    }
    query.push(" ORDER BY id LIMIT ").bind(size as i64 + 1);
    let rows = call
        .server
        .store
        .read::<_, ApiError>(move |tx| Ok(query.run(tx)?))
        .await?;
    let now = call.millis();
    let activations = rows
        .iter()
        .map(|row| {
            let (limit, count, expires): (i64, i64, i64) = (row.get(4)?, row.get(5)?, row.get(6)?);
            Ok(Activation {
                activation_id: row.get(0)?,
                description: row.get(1)?,
                default_instance_name: row.get(2)?,
                iam_role: row.get(3)?,
                registration_limit: limit,
                registrations_count: count,
                expiration_date: Epoch::of_millis(expires),
                expired: expires <= now,
                created_date: Epoch::of_millis(row.get(7)?),
                tags: crate::wire::of_json(&row.get::<String>(8)?)?,
            })
        })
        .collect::<Result<Vec<_>, ApiError>>()?;
    let (activation_list, next) = page(activations, size, |last| last.activation_id.clone());
    Ok(Activations {
        activation_list,
        next_token: call.token(next)?,
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeleteActivation {
    activation_id: String,
}

pub(crate) async fn delete_activation(
    call: Call,
    input: DeleteActivation,
) -> Result<Nothing, ApiError> {
    let id = input.activation_id.clone();
    let deleted = call
        .server
        .store
        .write::<_, ApiError>(move |tx| {
            Ok(tx.execute("DELETE FROM activations WHERE id = $1", params![&id])?)
        })
        .await?;
    if deleted == 0 {
        return Err(ApiError::new(
            "InvalidActivation",
            format!("There is no activation {}.", input.activation_id),
        ));
    }
    Ok(Nothing {})
}
