//! The inputs of a step as a type of the author's own.
//!
//! Documents are written by people and put together from parameters, most of which are text. So inputs are read as
//! SSM's own agent reads them:
//! - keys without regard to case, and a null like a key that is not there;
//! - empty text in a field that is an `Option` likewise, since that is what a parameter that was left empty leaves;
//! - a number or truth value where text is wanted, and the other way round (`"5"`, `"true"`);
//! - a single value where a list is wanted;
//! - JSON text where a list or mapping is wanted.
//!
//! Everything else is refused with the name of the key and what it should be.

mod deserialize;
mod error;
#[cfg(test)]
mod tests;

use serde::de::{self, Deserialize, DeserializeOwned, Deserializer};
use serde_json::Value;

use crate::Failure;
use deserialize::{Input, found, scalar};
use error::{At, Part};

/// Reads inputs as a type.
///
/// ```
/// use capstan_sdk::{inputs, json};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// #[serde(rename_all = "camelCase")]
/// struct Rotate {
///     keep: u32,
///     compress: bool,
///     log_files: Vec<String>,
/// }
///
/// let read: Rotate =
///     inputs::typed(&json!({ "Keep": "7", "compress": "true", "logFiles": "/var/log/a" })).unwrap();
/// assert_eq!((read.keep, read.compress), (7, true));
/// assert_eq!(read.log_files, ["/var/log/a"]);
/// let refused = inputs::typed::<Rotate>(&json!({ "keep": "many" })).err().unwrap();
/// assert_eq!(refused.message, "keep is a whole number from 0 to 4294967295, and not `many`");
/// ```
///
/// # Errors
/// [`FailureKind::InvalidInput`](crate::FailureKind), with the key and what it should be.
pub fn typed<T: DeserializeOwned>(inputs: &Value) -> Result<T, Failure> {
    let root = At {
        parent: None,
        part: Part::Root,
    };
    let input = Input {
        value: inputs,
        at: &root,
        field: false,
    };
    T::deserialize(input).map_err(|error| Failure::invalid(error.at(&root).to_string()))
}

/// The inputs of an action that has none.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct NoInputs;

impl<'de> Deserialize<'de> for NoInputs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for NoInputs {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NoInputs".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "object", "properties": {} })
    }
}

/// A value of the inputs by key, without regard to case.
#[must_use]
pub fn input<'a>(inputs: &'a Value, key: &str) -> Option<&'a Value> {
    let found = inputs
        .as_object()?
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(key))
        .map(|(_, value)| value);
    found.filter(|value| !value.is_null())
}

/// The same as text; numbers and truth values are written out.
#[must_use]
pub fn input_text(inputs: &Value, key: &str) -> Option<String> {
    scalar(input(inputs, key)?)
}

/// The same for an input that has to be text: a list or a mapping is an error, and not passed over.
///
/// # Errors
/// [`FailureKind::InvalidInput`](crate::FailureKind).
pub fn text_input(inputs: &Value, key: &str) -> Result<Option<String>, Failure> {
    match input(inputs, key) {
        Some(value @ (Value::Array(_) | Value::Object(_))) => Err(Failure::invalid(format!(
            "{key} is a text, and not {}",
            found(value)
        ))),
        _ => Ok(input_text(inputs, key)),
    }
}
