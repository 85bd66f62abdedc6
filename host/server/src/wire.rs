//! Values as AWS writes them in JSON.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A time: seconds since 1970 with a fraction of milliseconds. Clients may also send ISO 8601.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Epoch(pub(crate) Timestamp);

impl Epoch {
    /// Of milliseconds since 1970, as the store has them.
    #[must_use]
    pub(crate) fn of_millis(millis: i64) -> Self {
        Self(Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH))
    }
}

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[expect(clippy::cast_precision_loss, reason = "exact for many thousand years")]
        let seconds = self.0.as_millisecond() as f64 / 1000.0;
        serializer.serialize_f64(seconds)
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let time = match Value::deserialize(deserializer)? {
            Value::Number(number) => number.as_f64().and_then(|seconds| {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "too large is refused below"
                )]
                Timestamp::from_millisecond((seconds * 1000.0).round() as i64).ok()
            }),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        time.map(Self)
            .ok_or_else(|| D::Error::custom("not a time: seconds since 1970 or ISO 8601 are"))
    }
}

/// A key and a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Tag {
    /// Its key.
    pub(crate) key: String,
    /// Its value; may be empty.
    #[serde(default)]
    pub(crate) value: String,
}

/// The answer of an operation that has none.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Nothing {}

/// A value as JSON text, as columns hold it.
pub(crate) fn json(value: &impl Serialize) -> Result<String, crate::ApiError> {
    serde_json::to_string(value).map_err(|error| {
        tracing::error!(%error, "a value cannot be written as JSON");
        crate::ApiError::internal()
    })
}

/// The value of a column of JSON text.
pub(crate) fn of_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, crate::ApiError> {
    serde_json::from_str(text).map_err(|error| {
        tracing::error!(%error, "a column of the database does not hold what it should");
        crate::ApiError::internal()
    })
}
