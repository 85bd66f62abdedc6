//! GetParametersByPath.

use serde::{Deserialize, Serialize};

use super::filters::{By, Filter, check, conditions, under};
use super::names::of_path;
use super::reach::Reach;
use super::record::{COLUMNS, Parameter, Version};
use crate::api::Call;
use crate::error::ApiError;
use crate::paging::page;
use crate::sql::Query;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ByPath {
    path: String,
    recursive: Option<bool>,
    parameter_filters: Option<Vec<Filter>>,
    with_decryption: Option<bool>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Under {
    parameters: Vec<Parameter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// The latest versions, or those with a label if that is asked for.
pub(crate) async fn get_by_path(call: Call, input: ByPath) -> Result<Under, ApiError> {
    let path = of_path(&input.path)?;
    let recursive = input.recursive.unwrap_or(false);
    let filters = input.parameter_filters.unwrap_or_default();
    check(&filters, By::Path)?;
    let size = input.max_results.unwrap_or(10);
    let after: Option<(String, i64)> = call.cursor(input.next_token.as_deref())?;
    let by_label = filters.iter().any(|filter| filter.key == "Label");
    let mut query = Query::new(&format!("SELECT {COLUMNS} FROM "));
    if by_label {
        query.push("parameter_versions p JOIN parameters c ON c.name = p.name WHERE ");
        under(&mut query, "c", path, recursive);
    } else {
        query.push("parameters p WHERE ");
        under(&mut query, "p", path, recursive);
    }
    conditions(&mut query, &filters);
    match after {
        Some((name, version)) if by_label => {
            query
                .push(" AND (p.name, p.version) > (")
                .bind(name)
                .push(", ")
                .bind(version)
                .push(")");
        }
        Some((name, _)) => {
            query.push(" AND p.name > ").bind(name);
        }
        None => {}
    }
    query
        .push(" ORDER BY p.name, p.version LIMIT ")
        .bind(size as i64 + 1);
    let (reach, below) = (Reach::of(&call), path.to_owned());
    let versions = call
        .server
        .store
        .read::<_, ApiError>(move |tx| {
            reach.demand_below(tx, &below)?;
            let rows = query.run(tx)?;
            Ok(rows
                .iter()
                .map(Version::of_row)
                .collect::<Result<Vec<_>, _>>()?)
        })
        .await?;
    let (versions, next) = page(versions, size, |last| (last.name.clone(), last.version));
    let decrypt = input.with_decryption.unwrap_or(false);
    Ok(Under {
        parameters: versions
            .iter()
            .map(|version| Parameter::of(&call, version, None, decrypt))
            .collect::<Result<_, _>>()?,
        next_token: call.token(next)?,
    })
}
