//! What a new version of a parameter is, given the one before, and whether it may be.

use super::policies::Policies;
use super::record::{Kind, Version};
use super::tiers::{Tier, Wanted};
use super::{data_types, names, secret};
use crate::error::ApiError;
use crate::server::Config;

#[cfg(test)]
mod tests;

/// Data types for which Intelligent-Tiering takes the advanced tier.
const ADVANCED_TYPES: [&str; 3] = ["url", "json", "jsonc"];

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) kind: Option<Kind>,
    pub(super) key_id: Option<String>,
    pub(super) description: Option<String>,
    pub(super) allowed_pattern: Option<String>,
    pub(super) data_type: Option<String>,
    pub(super) tier: Option<Wanted>,
    pub(super) policies: Option<Policies>,
    pub(super) now: i64,
    pub(super) by: String,
}

impl Change {
    /// What can be told without the version before. The pattern is tried here, outside of the transaction.
    pub(super) fn check(self, config: &Config) -> Result<Self, ApiError> {
        let name = names::of_new(&self.name, config)?;
        if self.value.is_empty() {
            return Err(ApiError::validation(
                "1 validation error detected: Value '' at 'value' failed to satisfy constraint: Member must have length \
                 greater than or equal to 1",
            ));
        }
        if self
            .value
            .find("{{")
            .is_some_and(|at| self.value[at + 2..].contains("}}"))
        {
            return Err(ApiError::validation(
                "Parameter value can't nest another parameter. Do not use \"{{}}\" in the value.",
            ));
        }
        let texts = [&self.description, &self.allowed_pattern, &self.data_type];
        if texts.into_iter().flatten().any(|text| text.contains('\0')) {
            return Err(ApiError::validation("Texts cannot have the character 0."));
        }
        if let Some(pattern) = &self.allowed_pattern {
            matches(pattern, &self.value)?;
        }
        if let Some(data_type) = &self.data_type {
            data_types::known(data_type)?;
        }
        if let Some(id) = &self.key_id {
            secret::demand_key_id(id)?;
        }
        Ok(Self { name, ..self })
    }

    /// The version that this makes of the one before. Its value is plain.
    pub(super) fn apply(&self, before: Option<&Version>) -> Result<Version, ApiError> {
        let kept = |new: &Option<String>, before: Option<&String>| {
            new.as_ref().or(before).cloned().unwrap_or_default()
        };
        let kind = match (self.kind, before) {
            (Some(kind), Some(before)) if kind != before.kind => {
                return Err(ApiError::new(
                    "HierarchyTypeMismatchException",
                    format!(
                        "Parameter Store doesn't support changing a parameter's type: {} is a {}, and not a {}. Delete it \
                         first, or create one of another name.",
                        self.name,
                        before.kind.column(),
                        kind.column()
                    ),
                ));
            }
            (Some(kind), _) => kind,
            (None, Some(before)) => before.kind,
            (None, None) => {
                return Err(ApiError::validation(
                    "A parameter type is required when you create a parameter.",
                ));
            }
        };
        let mut key_id = kept(&self.key_id, before.map(|before| &before.key_id));
        if kind != Kind::SecureString && !key_id.is_empty() {
            return Err(ApiError::validation(format!(
                "KeyId is for parameters of the type SecureString: a {} is not encrypted.",
                kind.column()
            )));
        }
        if kind == Kind::SecureString && key_id.is_empty() {
            key_id = secret::DEFAULT_KEY.to_owned();
        }
        let allowed_pattern = kept(
            &self.allowed_pattern,
            before.map(|before| &before.allowed_pattern),
        );
        if self.allowed_pattern.is_none() {
            matches(&allowed_pattern, &self.value)?;
        }
        let mut data_type = kept(&self.data_type, before.map(|before| &before.data_type));
        if data_type.is_empty() {
            data_type = data_types::TEXT.to_owned();
        }
        data_types::check(&data_type, kind, &self.value)?;
        let policies = match (&self.policies, before) {
            (Some(policies), _) => policies.column()?,
            (None, Some(before)) => before.policies.clone(),
            (None, None) => String::new(),
        };
        let tier = self.tier(
            before.map(|before| before.tier),
            &data_type,
            !policies.is_empty(),
        )?;
        Ok(Version {
            name: self.name.clone(),
            kind,
            version: before.map_or(1, |before| before.version + 1),
            value: self.value.clone().into_bytes(),
            key_id,
            description: kept(&self.description, before.map(|before| &before.description)),
            allowed_pattern,
            data_type,
            tier,
            policies,
            modified: self.now,
            modified_by: self.by.clone(),
        })
    }

    fn tier(
        &self,
        before: Option<Tier>,
        data_type: &str,
        policies: bool,
    ) -> Result<Tier, ApiError> {
        let length = self.value.len();
        let tier = match (self.tier, before) {
            (Some(Wanted::Standard), Some(Tier::Advanced)) => {
                return Err(ApiError::validation(
                    "This parameter uses the advanced-parameter tier. You can't downgrade a parameter from the \
                     advanced-parameter tier to the standard-parameter tier. If necessary, you can delete the advanced \
                     parameter and recreate it as a standard parameter.",
                ));
            }
            (_, Some(Tier::Advanced)) | (Some(Wanted::Advanced), _) => Tier::Advanced,
            (Some(Wanted::Intelligent), _) => {
                let needed = length > Tier::Standard.largest()
                    || policies
                    || ADVANCED_TYPES.contains(&data_type);
                if needed {
                    Tier::Advanced
                } else {
                    Tier::Standard
                }
            }
            _ => Tier::Standard,
        };
        let most = tier.largest();
        if length > most {
            return Err(ApiError::validation(match tier {
                Tier::Standard => format!(
                    "Standard tier parameters support a maximum parameter value of {most} characters. To create a larger \
                     parameter value, upgrade the parameter to use the advanced-parameter tier."
                ),
                Tier::Advanced => format!(
                    "Advanced tier parameters support a maximum parameter value of {most} characters."
                ),
            }));
        }
        if policies && tier == Tier::Standard {
            return Err(ApiError::validation(
                "Parameter policies are for parameters of the advanced tier: give the Tier Advanced or \
                 Intelligent-Tiering.",
            ));
        }
        Ok(tier)
    }

    /// Whether the advanced tier may be taken where the standard tier is full.
    pub(super) fn may_move_up(&self) -> bool {
        self.tier == Some(Wanted::Intelligent)
    }
}

/// Refuses a value that does not match as a whole. No pattern is an empty one. The value, which may be a secret, is not
/// repeated.
fn matches(pattern: &str, value: &str) -> Result<(), ApiError> {
    if pattern.is_empty() {
        return Ok(());
    }
    match capstan_document::java_pattern_matches(pattern, value) {
        Ok(true) => Ok(()),
        Ok(false) => Err(ApiError::new(
            "ParameterPatternMismatchException",
            format!("Parameter value, cannot be validated against allowedPattern: {pattern}"),
        )),
        Err(error) => Err(ApiError::new(
            "InvalidAllowedPatternException",
            format!("The AllowedPattern cannot be used: {error}"),
        )),
    }
}
