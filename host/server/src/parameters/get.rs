//! GetParameter and GetParameters.

use capstan_store::{Transaction, params};
use serde::{Deserialize, Serialize};

use super::names::{Reference, Selector};
use super::reach::Reach;
use super::record::{COLUMNS, Parameter, Version};
use crate::api::Call;
use crate::error::ApiError;

/// What a reference stands for.
#[derive(Debug)]
enum Found {
    Version(Box<Version>),
    /// There is such a parameter, and no such version of it.
    NoVersion(String),
    Nothing,
}

/// One look-up for the latest version, and for another as well, where there is one.
fn find(tx: &mut Transaction<'_>, reference: &Reference) -> Result<Found, ApiError> {
    for name in &reference.names {
        let row = match &reference.selector {
            None => tx.query_one(
                &format!("SELECT {COLUMNS} FROM parameters p WHERE p.name = $1"),
                params![name],
            )?,
            Some(Selector::Version(version)) => tx.query_one(
                &format!("SELECT {COLUMNS} FROM parameter_versions p WHERE p.name = $1 AND p.version = $2"),
                params![name, *version],
            )?,
            Some(Selector::Label(label)) => tx.query_one(
                &format!(
                    "SELECT {COLUMNS} FROM parameter_labels l JOIN parameter_versions p ON p.name = l.name AND \
                     p.version = l.version WHERE l.name = $1 AND l.label = $2"
                ),
                params![name, label],
            )?,
        };
        if let Some(row) = row {
            return Ok(Found::Version(Box::new(Version::of_row(&row)?)));
        }
        if reference.selector.is_some() {
            let row = tx.query_one("SELECT 1 FROM parameters WHERE name = $1", params![name])?;
            if row.is_some() {
                return Ok(Found::NoVersion(name.clone()));
            }
        }
    }
    Ok(Found::Nothing)
}

/// There is no such version of a parameter.
pub(super) fn no_version(name: &str, selector: &Selector) -> ApiError {
    ApiError::new(
        "ParameterVersionNotFound",
        match selector {
            Selector::Version(version) => format!(
                "Systems Manager could not find version {version} of {name}. Verify the version and try again."
            ),
            Selector::Label(label) => format!(
                "Systems Manager could not find label {label} for parameter {name}. Verify the label and try again."
            ),
        },
    )
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Get {
    name: String,
    with_decryption: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Got {
    parameter: Parameter,
}

pub(crate) async fn get(call: Call, input: Get) -> Result<Got, ApiError> {
    let reference = Reference::parse(&input.name, &call.server.config)?;
    let selector = reference.selector.clone();
    let reach = Reach::of(&call);
    let found = call
        .server
        .store
        .read(move |tx| {
            reach.demand(tx, reference.names())?;
            find(tx, &reference)
        })
        .await?;
    let version = match (found, &selector) {
        (Found::Version(version), _) => version,
        (Found::NoVersion(name), Some(selector)) => return Err(no_version(&name, selector)),
        // AWS says no more either.
        _ => return Err(ApiError::new("ParameterNotFound", "")),
    };
    let decrypt = input.with_decryption.unwrap_or(false);
    Ok(Got {
        parameter: Parameter::of(&call, &version, selector.as_ref(), decrypt)?,
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetSeveral {
    names: Vec<String>,
    with_decryption: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GotSeveral {
    parameters: Vec<Parameter>,
    invalid_parameters: Vec<String>,
}

/// In the order in which they are named; what there is none of is listed, and no error.
pub(crate) async fn get_several(call: Call, input: GetSeveral) -> Result<GotSeveral, ApiError> {
    let mut wanted: Vec<(String, Reference)> = Vec::new();
    for name in input.names {
        let reference = Reference::parse(&name, &call.server.config)?;
        if !wanted.iter().any(|(_, other)| *other == reference) {
            wanted.push((name, reference));
        }
    }
    let reach = Reach::of(&call);
    let found = call
        .server
        .store
        .read::<_, ApiError>(move |tx| {
            reach.demand(
                tx,
                wanted.iter().flat_map(|(_, reference)| reference.names()),
            )?;
            let find = |(name, reference): &(String, Reference)| {
                Ok((
                    name.clone(),
                    reference.selector.clone(),
                    find(tx, reference)?,
                ))
            };
            wanted.iter().map(find).collect::<Result<Vec<_>, _>>()
        })
        .await?;
    let decrypt = input.with_decryption.unwrap_or(false);
    let mut got = GotSeveral {
        parameters: Vec::new(),
        invalid_parameters: Vec::new(),
    };
    for (name, selector, found) in found {
        match found {
            Found::Version(version) => {
                let parameter = Parameter::of(&call, &version, selector.as_ref(), decrypt)?;
                got.parameters.push(parameter);
            }
            Found::NoVersion(_) | Found::Nothing => got.invalid_parameters.push(name),
        }
    }
    Ok(got)
}
