//! A version of a parameter: as both tables have it, and as the API shows it.

use capstan_store::{Param, Row, StoreError};
use serde::{Deserialize, Serialize};

use super::names::{Selector, arn};
use super::secret;
use super::tiers::Tier;
use crate::api::Call;
use crate::auth::Role;
use crate::error::ApiError;
use crate::wire::Epoch;

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    String,
    StringList,
    SecureString,
}

impl Kind {
    /// As columns and the API have it.
    pub(super) fn column(self) -> &'static str {
        match self {
            Self::String => "String",
            Self::StringList => "StringList",
            Self::SecureString => "SecureString",
        }
    }

    pub(super) fn of_column(text: &str) -> Self {
        match text {
            "StringList" => Self::StringList,
            "SecureString" => Self::SecureString,
            _ => Self::String,
        }
    }
}

/// A version. Texts that it has none of are empty.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) version: i64,
    /// That of a SecureString is sealed; none where it was not asked for.
    pub(super) value: Vec<u8>,
    /// Of a SecureString.
    pub(super) key_id: String,
    pub(super) description: String,
    pub(super) allowed_pattern: String,
    pub(super) data_type: String,
    pub(super) tier: Tier,
    /// JSON.
    pub(super) policies: String,
    pub(super) modified: i64,
    pub(super) modified_by: String,
}

/// The columns of a [`Version`] without its value, of a table `p`.
pub(super) const METADATA: &str = "p.name, p.kind, p.version, p.key_id, p.description, p.allowed_pattern, p.data_type, p.tier, \
                                   p.policies, p.modified, p.modified_by";
/// All columns of a [`Version`].
pub(super) const COLUMNS: &str = "p.name, p.kind, p.version, p.key_id, p.description, p.allowed_pattern, p.data_type, p.tier, \
                                  p.policies, p.modified, p.modified_by, p.value";

impl Version {
    /// Of a row of [`COLUMNS`].
    pub(super) fn of_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            value: row.get(11)?,
            ..Self::without_value(row)?
        })
    }

    /// Of a row that begins with [`METADATA`].
    pub(super) fn without_value(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            name: row.get(0)?,
            kind: Kind::of_column(row.get(1)?),
            version: row.get(2)?,
            key_id: row.get(3)?,
            description: row.get(4)?,
            allowed_pattern: row.get(5)?,
            data_type: row.get(6)?,
            tier: Tier::of_column(row.get(7)?),
            policies: row.get(8)?,
            modified: row.get(9)?,
            modified_by: row.get(10)?,
            value: Vec::new(),
        })
    }

    /// `$1` to `$12`, in the order of [`COLUMNS`].
    pub(super) fn params(&self) -> [Param<'_>; 12] {
        [
            (&self.name).into(),
            self.kind.column().into(),
            self.version.into(),
            (&self.key_id).into(),
            (&self.description).into(),
            (&self.allowed_pattern).into(),
            (&self.data_type).into(),
            self.tier.column().into(),
            (&self.policies).into(),
            self.modified.into(),
            (&self.modified_by).into(),
            (&self.value).into(),
        ]
    }

    /// The value as the caller is to see it.
    pub(super) fn text(&self, call: &Call, decrypt: bool) -> Result<String, ApiError> {
        let plain = match (self.kind, decrypt) {
            (Kind::SecureString, false) => return Ok(secret::ciphertext(&self.value)),
            (Kind::SecureString, true) => {
                let key = secret::key_arn(&self.key_id, &call.server.config);
                call.demand(Role::Operator, &format!("kms:Decrypt on resource: {key}"))?;
                secret::open(&call.server.parameters, self)?
            }
            _ => self.value.clone(),
        };
        String::from_utf8(plain).map_err(|_| {
            tracing::error!(parameter = self.name, "the value of a parameter is no text");
            ApiError::internal()
        })
    }
}

/// A parameter as those operations show it that read values.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Parameter {
    name: String,
    r#type: Kind,
    value: String,
    version: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    selector: Option<String>,
    last_modified_date: Epoch,
    #[serde(rename = "ARN")]
    arn: String,
    data_type: String,
}

impl Parameter {
    pub(super) fn of(
        call: &Call,
        version: &Version,
        selector: Option<&Selector>,
        decrypt: bool,
    ) -> Result<Self, ApiError> {
        Ok(Self {
            value: version.text(call, decrypt)?,
            name: version.name.clone(),
            r#type: version.kind,
            version: version.version,
            selector: selector.map(|selector| match selector {
                Selector::Version(number) => format!(":{number}"),
                Selector::Label(label) => format!(":{label}"),
            }),
            last_modified_date: Epoch::of_millis(version.modified),
            arn: arn(&version.name, &call.server.config),
            data_type: version.data_type.clone(),
        })
    }
}
