//! LabelParameterVersion and UnlabelParameterVersion.

use std::collections::BTreeSet;

use capstan_store::{Transaction, params};
use serde::{Deserialize, Serialize};

use super::get::no_version;
use super::names::{Reference, Selector};
use super::not_found;
use crate::api::Call;
use crate::error::ApiError;

/// Labels of one version.
const MOST: i64 = 10;

/// Whether this can be a label. How long it is the model tells.
fn is_label(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        && !text.starts_with(|first: char| first.is_ascii_digit())
        && !lower.starts_with("aws")
        && !lower.starts_with("ssm")
}

/// Locks a parameter; its latest version.
fn lock(tx: &mut Transaction<'_>, name: &str) -> Result<i64, ApiError> {
    let row = tx.query_one(
        "UPDATE parameters SET version = version WHERE name = $1 RETURNING version",
        params![name],
    )?;
    match row {
        Some(row) => Ok(row.get(0)?),
        None => Err(not_found(name)),
    }
}

fn demand_version(tx: &mut Transaction<'_>, name: &str, version: i64) -> Result<(), ApiError> {
    let row = tx.query_one(
        "SELECT 1 FROM parameter_versions WHERE name = $1 AND version = $2",
        params![name, version],
    )?;
    row.map(drop)
        .ok_or_else(|| no_version(name, &Selector::Version(version)))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Label {
    name: String,
    parameter_version: Option<i64>,
    labels: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Labelled {
    invalid_labels: Vec<String>,
    parameter_version: i64,
}

/// Labels move here from the version that has them.
pub(crate) async fn label(call: Call, input: Label) -> Result<Labelled, ApiError> {
    let name = Reference::name(&input.name)?;
    let given: BTreeSet<String> = input.labels.into_iter().collect();
    let (labels, invalid_labels): (Vec<String>, _) =
        given.into_iter().partition(|label| is_label(label));
    let parameter_version = call
        .server
        .store
        .write(move |tx| {
            let latest = lock(tx, &name)?;
            let version = input.parameter_version.unwrap_or(latest);
            demand_version(tx, &name, version)?;
            for label in &labels {
                tx.execute(
                    "INSERT INTO parameter_labels (name, label, version) VALUES ($1, $2, $3) \
                     ON CONFLICT (name, label) DO UPDATE SET version = excluded.version",
                    params![&name, label, version],
                )?;
            }
            let count = tx.query_one(
                "SELECT COUNT(*) FROM parameter_labels WHERE name = $1 AND version = $2",
                params![&name, version],
            )?;
            match count.map(|row| row.get::<i64>(0)).transpose()? {
                Some(count) if count > MOST => Err(ApiError::new(
                    "ParameterVersionLabelLimitExceeded",
                    format!(
                        "A parameter version can have maximum {MOST} labels. Move one or more labels to another version and \
                         try again."
                    ),
                )),
                _ => Ok(version),
            }
        })
        .await?;
    Ok(Labelled {
        invalid_labels,
        parameter_version,
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Unlabel {
    name: String,
    parameter_version: i64,
    labels: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Unlabelled {
    removed_labels: Vec<String>,
    invalid_labels: Vec<String>,
}

/// Labels that are not on this version are invalid ones.
pub(crate) async fn unlabel(call: Call, input: Unlabel) -> Result<Unlabelled, ApiError> {
    let name = Reference::name(&input.name)?;
    let version = input.parameter_version;
    let labels: BTreeSet<String> = input.labels.into_iter().collect();
    call.server
        .store
        .write(move |tx| {
            lock(tx, &name)?;
            demand_version(tx, &name, version)?;
            let mut done = Unlabelled {
                removed_labels: Vec::new(),
                invalid_labels: Vec::new(),
            };
            for label in &labels {
                let removed = is_label(label)
                    && tx.execute(
                        "DELETE FROM parameter_labels WHERE name = $1 AND label = $2 AND version = $3",
                        params![&name, label, version],
                    )? > 0;
                if removed {
                    done.removed_labels.push(label.clone());
                } else {
                    done.invalid_labels.push(label.clone());
                }
            }
            Ok::<_, ApiError>(done)
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::is_label;

    #[test]
    fn what_can_be_a_label() {
        for label in [
            "prod",
            "Prod-1.2_x",
            "-a",
            ".a",
            "_1",
            "my-aws",
            &"a".repeat(100),
        ] {
            assert!(is_label(label), "{label}");
        }
        for label in [
            "", "1a", "aws", "AWSx", "ssm-1", "SsM", "a b", "a/b", "a:b", "ä", "a\0",
        ] {
            assert!(!is_label(label), "{label}");
        }
    }
}
