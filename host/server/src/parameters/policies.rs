//! Policies of parameters: when one goes, and when somebody is to be told.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::error::ApiError;
use crate::wire::{json, of_json};

#[cfg(test)]
mod tests;

/// Policies that one parameter can have.
const MOST: usize = 10;
const EXPIRATION: &str = "Expiration";
const BEFORE_EXPIRATION: &str = "ExpirationNotification";
const NO_CHANGE: &str = "NoChangeNotification";

/// A policy.
#[derive(Debug, Clone, PartialEq)]
struct Policy {
    rule: Rule,
    /// As it was given.
    text: Value,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Rule {
    /// The parameter is deleted then.
    Expiration(Timestamp),
    /// So long before that somebody is told.
    BeforeExpiration(SignedDuration),
    /// When it was not changed for so long somebody is told.
    NoChange(SignedDuration),
}

/// The policies of one parameter.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Policies(Vec<Policy>);

/// A policy as the API lists it.
#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InlinePolicy {
    policy_text: String,
    policy_type: &'static str,
    policy_status: &'static str,
}

impl Policies {
    /// Those of a request at `now`; `[]` and `[{}]` are none.
    pub(super) fn of_request(text: &str, now: Timestamp) -> Result<Self, ApiError> {
        let policies = Self::parse(text)?;
        if policies
            .expires()
            .is_some_and(|expires| expires <= now.as_millisecond())
        {
            return Err(attribute(
                "The Timestamp of an Expiration policy must be in the future.",
            ));
        }
        Ok(policies)
    }

    fn parse(text: &str) -> Result<Self, ApiError> {
        let Ok(Value::Array(values)) = serde_json::from_str(text) else {
            return Err(ApiError::validation(
                "Invalid policies input: Policies is the text of a JSON array of policies, as in \
                 [{\"Type\":\"Expiration\",\"Version\":\"1.0\",\"Attributes\":{\"Timestamp\":\"2030-01-31T12:00:00.000Z\"}}].",
            ));
        };
        if let [Value::Object(only)] = values.as_slice()
            && only.is_empty()
        {
            return Ok(Self::default());
        }
        if values.len() > MOST {
            return Err(ApiError::new(
                "PoliciesLimitExceededException",
                format!(
                    "You specified {} policies; a parameter can have {MOST}.",
                    values.len()
                ),
            ));
        }
        let policies = values
            .into_iter()
            .map(policy)
            .collect::<Result<Vec<_>, _>>()?;
        let expirations = policies
            .iter()
            .filter(|policy| matches!(policy.rule, Rule::Expiration(_)))
            .count();
        let incompatible =
            |message: &str| Err(ApiError::new("IncompatiblePolicyException", message));
        if expirations > 1 {
            return incompatible("A parameter can have one Expiration policy.");
        }
        let told = policies
            .iter()
            .any(|policy| matches!(policy.rule, Rule::BeforeExpiration(_)));
        if told && expirations == 0 {
            return incompatible(
                "An ExpirationNotification policy needs an Expiration policy beside it.",
            );
        }
        Ok(Self(policies))
    }

    /// Of a column.
    pub(super) fn of_column(text: &str) -> Result<Self, ApiError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        of_json::<Vec<Value>>(text)?
            .into_iter()
            .map(policy)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// As a column has them.
    pub(super) fn column(&self) -> Result<String, ApiError> {
        if self.is_empty() {
            return Ok(String::new());
        }
        json(&self.0.iter().map(|policy| &policy.text).collect::<Vec<_>>())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// When the parameter is to be deleted, in milliseconds since 1970.
    pub(super) fn expires(&self) -> Option<i64> {
        self.0.iter().find_map(|policy| match policy.rule {
            Rule::Expiration(at) => Some(at.as_millisecond()),
            _ => None,
        })
    }

    /// As the API lists them for a version that was made at `modified`. One whose time has come is `Finished`.
    pub(super) fn list(&self, modified: i64, now: i64) -> Result<Vec<InlinePolicy>, ApiError> {
        let expires = self.expires().unwrap_or(i64::MAX);
        self.0
            .iter()
            .map(|policy| {
                let (policy_type, due) = match policy.rule {
                    Rule::Expiration(_) => (EXPIRATION, expires),
                    Rule::BeforeExpiration(before) => {
                        (BEFORE_EXPIRATION, expires.saturating_sub(millis(before)))
                    }
                    Rule::NoChange(after) => (NO_CHANGE, modified.saturating_add(millis(after))),
                };
                Ok(InlinePolicy {
                    policy_text: json(&policy.text)?,
                    policy_type,
                    policy_status: if due <= now { "Finished" } else { "Pending" },
                })
            })
            .collect()
    }
}

fn millis(duration: SignedDuration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn attribute(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidPolicyAttributeException", message)
}

fn policy(text: Value) -> Result<Policy, ApiError> {
    let of = |name: &str| text.get(name).and_then(Value::as_str);
    let kind = of("Type").unwrap_or_default();
    if ![EXPIRATION, BEFORE_EXPIRATION, NO_CHANGE].contains(&kind) {
        return Err(ApiError::new(
            "InvalidPolicyTypeException",
            format!(
                "The policy type {kind:?} isn't supported. Parameter Store supports the following policy types: \
                 {EXPIRATION}, {BEFORE_EXPIRATION}, and {NO_CHANGE}."
            ),
        ));
    }
    if of("Version") != Some("1.0") {
        return Err(attribute(format!(
            "The Version of a policy is 1.0; that of the {kind} policy is not."
        )));
    }
    let known: &[&str] = match kind {
        EXPIRATION => &["Timestamp"],
        BEFORE_EXPIRATION => &["Before", "Unit"],
        _ => &["After", "Unit"],
    };
    let attributes = text.get("Attributes").and_then(Value::as_object);
    let complete = attributes.is_some_and(|given| {
        given.len() == known.len() && known.iter().all(|name| given.contains_key(*name))
    });
    let Some(attributes) = attributes.filter(|_| complete) else {
        return Err(attribute(format!(
            "The Attributes of the policy {kind} are {}.",
            known.join(" and ")
        )));
    };
    let rule = if kind == EXPIRATION {
        let at = attributes
            .get("Timestamp")
            .and_then(Value::as_str)
            .and_then(|text| text.parse().ok());
        Rule::Expiration(at.ok_or_else(|| {
            attribute("The Timestamp of an Expiration policy is a time in ISO 8601 with its offset, as in 2030-01-31T12:00:00.000Z.")
        })?)
    } else {
        let name = known[0];
        let number = match attributes.get(name) {
            Some(Value::String(text)) => text.parse::<u32>().ok(),
            Some(Value::Number(number)) => {
                number.as_u64().and_then(|number| number.try_into().ok())
            }
            _ => None,
        };
        let Some(number) = number.filter(|number| *number > 0) else {
            return Err(attribute(format!(
                "{name} of the policy {kind} is a number of at least 1."
            )));
        };
        let hours = match attributes.get("Unit").and_then(Value::as_str) {
            Some("Days") => 24,
            Some("Hours") => 1,
            _ => {
                return Err(attribute(format!(
                    "Unit of the policy {kind} is Days or Hours."
                )));
            }
        };
        let length = SignedDuration::from_hours(i64::from(number) * hours);
        if kind == NO_CHANGE {
            Rule::NoChange(length)
        } else {
            Rule::BeforeExpiration(length)
        }
    };
    Ok(Policy { rule, text })
}
