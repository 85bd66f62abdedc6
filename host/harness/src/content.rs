//! Bytes in JSON: a text where they are one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

/// Bytes, written as a text or as `{"base64": "…"}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct Content(pub Vec<u8>);

impl TryFrom<Value> for Content {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match &value {
            Value::String(text) => Ok(Self(text.clone().into_bytes())),
            Value::Object(map) if map.len() == 1 => match map.get("base64") {
                Some(Value::String(text)) => of_base64(text),
                _ => Err(shape(&value)),
            },
            _ => Err(shape(&value)),
        }
    }
}

fn shape(value: &Value) -> String {
    format!("a content is a text or {{\"base64\": \"…\"}}, and not {value}")
}

pub(crate) fn of_base64(text: &str) -> Result<Content, String> {
    STANDARD
        .decode(text)
        .map(Content)
        .map_err(|error| format!("`base64` holds something else: {error}"))
}

impl Content {
    /// As JSON.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match std::str::from_utf8(&self.0) {
            Ok(text) => text.into(),
            Err(_) => json!({ "base64": STANDARD.encode(&self.0) }),
        }
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}
