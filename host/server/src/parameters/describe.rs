//! DescribeParameters.

use serde::{Deserialize, Serialize};

use super::filters::{By, Filter, OldFilter, check, conditions};
use super::names::arn;
use super::policies::{InlinePolicy, Policies};
use super::record::{Kind, METADATA, Version};
use super::tiers::Tier;
use crate::api::Call;
use crate::error::ApiError;
use crate::paging::page;
use crate::sql::Query;
use crate::wire::Epoch;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Describe {
    filters: Option<Vec<OldFilter>>,
    parameter_filters: Option<Vec<Filter>>,
    max_results: Option<usize>,
    next_token: Option<String>,
    shared: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Described {
    parameters: Vec<Metadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// What there is to tell of a version beside its value.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Metadata {
    pub(super) name: String,
    #[serde(rename = "ARN", skip_serializing_if = "Option::is_none")]
    pub(super) arn: Option<String>,
    r#type: Kind,
    #[serde(skip_serializing_if = "String::is_empty")]
    key_id: String,
    last_modified_date: Epoch,
    last_modified_user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    allowed_pattern: String,
    pub(super) version: i64,
    tier: Tier,
    policies: Vec<InlinePolicy>,
    data_type: String,
}

impl Metadata {
    pub(super) fn of(version: Version, now: i64) -> Result<Self, ApiError> {
        Ok(Self {
            policies: Policies::of_column(&version.policies)?.list(version.modified, now)?,
            name: version.name,
            arn: None,
            r#type: version.kind,
            key_id: version.key_id,
            last_modified_date: Epoch::of_millis(version.modified),
            last_modified_user: version.modified_by,
            description: version.description,
            allowed_pattern: version.allowed_pattern,
            version: version.version,
            tier: version.tier,
            data_type: version.data_type,
        })
    }
}

pub(crate) async fn describe(call: Call, input: Describe) -> Result<Described, ApiError> {
    let old = input.filters.unwrap_or_default();
    let mut filters = input.parameter_filters.unwrap_or_default();
    if !old.is_empty() && !filters.is_empty() {
        return Err(ApiError::validation(
            "You can use either Filters or ParameterFilters in a single request.",
        ));
    }
    filters.extend(old.into_iter().map(Filter::from));
    check(&filters, By::Description)?;
    let size = input.max_results.unwrap_or(50);
    let after: Option<String> = call.cursor(input.next_token.as_deref())?;
    let mut query = Query::new(&format!("SELECT {METADATA} FROM parameters p WHERE 1 = 1"));
    // Other accounts, which could share theirs, there are none of.
    if input.shared.unwrap_or(false) {
        query.push(" AND 1 = 0");
    }
    conditions(&mut query, &filters);
    if let Some(after) = after {
        query.push(" AND p.name > ").bind(after);
    }
    query.push(" ORDER BY p.name LIMIT ").bind(size as i64 + 1);
    let rows = call
        .server
        .store
        .read::<_, ApiError>(move |tx| Ok(query.run(tx)?))
        .await?;
    let now = call.millis();
    let parameters = rows
        .iter()
        .map(|row| {
            let mut metadata = Metadata::of(Version::without_value(row)?, now)?;
            metadata.arn = Some(arn(&metadata.name, &call.server.config));
            Ok(metadata)
        })
        .collect::<Result<Vec<_>, ApiError>>()?;
    let (parameters, next) = page(parameters, size, |last| last.name.clone());
    Ok(Described {
        parameters,
        next_token: call.token(next)?,
    })
}
