//! A version of a document as it is kept, and finding it.

use std::sync::LazyLock;

use capstan_document::{Document, Parameter, ParameterType, built_in};
use capstan_store::{Row, Transaction, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::auth::hex;
use crate::error::ApiError;
use crate::wire::of_json;

/// The owner of the documents that are a part of the program, as AWS calls the one of its own.
pub(super) const AMAZON: &str = "Amazon";
/// When those were made, as far as anybody can tell: 2024-01-01.
const MADE: i64 = 1_704_067_200_000;

/// A version of a document, with what all of its versions share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) kind: String,
    /// An account's id, or [`AMAZON`].
    pub(super) owner: String,
    pub(super) default_version: i64,
    pub(super) latest: i64,
    pub(super) version: i64,
    pub(super) version_name: Option<String>,
    pub(super) display_name: Option<String>,
    /// `JSON`, `YAML` or `TEXT`.
    pub(super) format: String,
    /// Empty in lists.
    pub(super) content: String,
    pub(super) sha256: String,
    /// Empty where the type has none.
    pub(super) schema_version: String,
    pub(super) description: String,
    pub(super) parameters: Vec<ParameterWire>,
    pub(super) platforms: Vec<String>,
    pub(super) target_type: Option<String>,
    pub(super) requires: Vec<Requires>,
    /// When this version was made.
    pub(super) created: i64,
}

/// A parameter as the API describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ParameterWire {
    name: String,
    #[serde(rename = "Type")]
    kind: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    default_value: Option<String>,
}

/// A document that another one needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Requires {
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    require_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version_name: Option<String>,
}

impl From<&Parameter> for ParameterWire {
    fn from(parameter: &Parameter) -> Self {
        Self {
            name: parameter.name.clone(),
            kind: match parameter.kind {
                ParameterType::String => "String",
                ParameterType::StringList => "StringList",
                ParameterType::Integer => "Integer",
                ParameterType::Boolean => "Boolean",
                ParameterType::StringMap => "StringMap",
                ParameterType::MapList => "MapList",
            }
            .to_owned(),
            description: parameter.description.clone(),
            default_value: parameter.default.as_ref().map(|default| match default {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            }),
        }
    }
}

/// The columns of a [`Record`] but its content, of `documents d` and `document_versions v`.
pub(super) const COLUMNS: &str = "d.name, d.kind, d.owner, d.default_version, d.latest, v.version, v.version_name, \
    v.display_name, v.format, v.sha256, v.schema_version, v.description, v.parameters, v.platforms, v.target_type, \
    v.requires, v.created";

/// Of a row of [`COLUMNS`].
pub(super) fn of_row(row: &Row) -> Result<Record, ApiError> {
    Ok(Record {
        name: row.get(0)?,
        kind: row.get(1)?,
        owner: row.get(2)?,
        default_version: row.get(3)?,
        latest: row.get(4)?,
        version: row.get(5)?,
        version_name: row.get(6)?,
        display_name: row.get(7)?,
        format: row.get(8)?,
        content: String::new(),
        sha256: row.get(9)?,
        schema_version: row.get(10)?,
        description: row.get(11)?,
        parameters: of_json(&row.get::<String>(12)?)?,
        platforms: of_json(&row.get::<String>(13)?)?,
        target_type: row.get(14)?,
        requires: of_json(&row.get::<String>(15)?)?,
        created: row.get(16)?,
    })
}

/// The documents that are a part of the program.
pub(super) fn program() -> &'static [Record] {
    static RECORDS: LazyLock<Vec<Record>> = LazyLock::new(|| {
        built_in()
            .iter()
            .filter_map(|(name, content)| match Document::parse(content, name) {
                Ok(document) => Some(of_program(name, content, &document)),
                Err(error) => {
                    tracing::error!(%error, "a built-in document cannot be read");
                    None
                }
            })
            .collect()
    });
    &RECORDS
}

fn of_program(name: &str, content: &str, document: &Document) -> Record {
    Record {
        name: name.to_owned(),
        kind: "Command".to_owned(),
        owner: AMAZON.to_owned(),
        default_version: 1,
        latest: 1,
        version: 1,
        version_name: None,
        display_name: None,
        format: "YAML".to_owned(),
        content: content.to_owned(),
        sha256: sha256(content),
        schema_version: document.schema_version().to_owned(),
        description: document.description().to_owned(),
        parameters: document.parameters().iter().map(Into::into).collect(),
        platforms: words(document),
        target_type: None,
        requires: Vec::new(),
        created: MADE,
    }
}

/// The platforms of a document in the API's words.
pub(super) fn words(document: &Document) -> Vec<String> {
    document
        .platforms()
        .into_iter()
        .map(|platform| platform.word().to_owned())
        .collect()
}

pub(super) fn sha256(content: &str) -> String {
    hex(&Sha256::digest(content.as_bytes()))
}

/// A document of the program.
pub(super) fn of_program_named(name: &str) -> Option<&'static Record> {
    program().iter().find(|record| record.name == name)
}

/// The name in a name or ARN, and the account in an ARN if it has one. None for what is neither.
pub(super) fn name_of(text: &str) -> Option<(&str, Option<&str>)> {
    let Some(arn) = text.strip_prefix("arn:") else {
        return (!text.contains([':', '/'])).then_some((text, None));
    };
    let mut parts = arn.splitn(5, ':');
    let (_partition, service, _region) = (parts.next()?, parts.next()?, parts.next()?);
    let (account, resource) = (parts.next()?, parts.next()?);
    let name = resource
        .strip_prefix("document/")
        .or_else(|| resource.strip_prefix("automation-definition/"))?;
    let plain = service == "ssm" && !name.contains([':', '/']);
    plain.then_some((name, Some(account).filter(|account| !account.is_empty())))
}

/// There is no such document.
pub(super) fn no_document(name: &str) -> ApiError {
    ApiError::new(
        "InvalidDocument",
        format!("The specified document does not exist: {name}."),
    )
}

/// There is no such version of a document.
pub(super) fn no_version(name: &str, version: &str) -> ApiError {
    ApiError::new(
        "InvalidDocumentVersion",
        format!(
            "The document version is not valid or does not exist: {name} has no version {version}."
        ),
    )
}

/// The number that a version stands for.
pub(super) fn number_of(version: &str, default_version: i64, latest: i64) -> Option<i64> {
    match version {
        "$DEFAULT" => Some(default_version),
        "$LATEST" => Some(latest),
        number => number.parse().ok(),
    }
}

/// A version of a document, which is named or given by ARN: the one that both `version` and `version_name` say, or the
/// default one.
pub(super) fn find(
    tx: &mut Transaction<'_>,
    text: &str,
    version: Option<&str>,
    version_name: Option<&str>,
) -> Result<Record, ApiError> {
    let (name, account) = name_of(text).ok_or_else(|| no_document(text))?;
    let version = match (version, version_name) {
        (None, None) => Some("$DEFAULT"),
        (version, _) => version,
    };
    let told = || {
        let told = [version, version_name].into_iter().flatten();
        no_version(name, &told.collect::<Vec<_>>().join(" named "))
    };
    if let Some(record) = of_program_named(name) {
        let is = version.is_some_and(|version| number_of(version, 1, 1) == Some(1));
        return if is && version_name.is_none() {
            Ok(record.clone())
        } else {
            Err(told())
        };
    }
    let row = tx
        .query_one(
            "SELECT owner, default_version, latest FROM documents WHERE name = $1",
            params![name],
        )?
        .ok_or_else(|| no_document(text))?;
    if account.is_some_and(|account| row.get::<String>(0).is_ok_and(|owner| owner != account)) {
        return Err(no_document(text));
    }
    let (default_version, latest) = (row.get(1)?, row.get(2)?);
    let found = match version {
        Some(version) => {
            let number = number_of(version, default_version, latest).ok_or_else(told)?;
            tx.query_one(
                &format!(
                    "SELECT {COLUMNS}, v.content FROM documents d JOIN document_versions v ON v.name = d.name \
                     WHERE d.name = $1 AND v.version = $2"
                ),
                params![name, number],
            )?
        }
        None => tx.query_one(
            &format!(
                "SELECT {COLUMNS}, v.content FROM documents d JOIN document_versions v ON v.name = d.name \
                 WHERE d.name = $1 AND v.version_name = $2"
            ),
            params![name, version_name.unwrap_or_default()],
        )?,
    };
    let row = found.ok_or_else(told)?;
    let mut record = of_row(&row)?;
    record.content = row.get(17)?;
    if version_name.is_some_and(|named| record.version_name.as_deref() != Some(named)) {
        return Err(told());
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use capstan_document::built_in;

    use super::{name_of, program};

    #[test]
    fn names_and_arns_are_told_apart() {
        for (text, expected) in [
            ("deploy", Some(("deploy", None))),
            (
                "arn:aws:ssm:us-east-1:123456789012:document/deploy",
                Some(("deploy", Some("123456789012"))),
            ),
            (
                "arn:aws:ssm:us-east-1::document/AWS-Noop",
                Some(("AWS-Noop", None)),
            ),
            (
                "arn:aws-cn:ssm:cn-north-1::automation-definition/a",
                Some(("a", None)),
            ),
            ("arn:aws:sns:us-east-1:123456789012:document/deploy", None),
            ("arn:aws:ssm:us-east-1:123456789012:parameter/deploy", None),
            ("arn:aws:ssm:document/deploy", None),
            ("document/deploy", None),
            ("deploy:1", None),
        ] {
            assert_eq!(name_of(text), expected, "{text}");
        }
    }

    #[test]
    fn all_documents_of_the_program_are_served() {
        assert_eq!(program().len(), built_in().len());
        let of = |name: &str| program().iter().find(|record| record.name == name);
        let platforms = of("AWS-RunShellScript").map(|record| record.platforms.join(" "));
        assert_eq!(platforms.as_deref(), Some("Linux MacOS"));
    }
}
