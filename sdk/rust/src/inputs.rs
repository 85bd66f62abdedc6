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

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Expected,
    IntoDeserializer as _, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

use crate::Failure;

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

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

/// What is there, in words.
fn found(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
        other => quoted(&scalar(other).unwrap_or_default()),
    }
}

/// The beginning is enough to find it by.
fn quoted(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}

/// Where a value is.
#[derive(Clone, Copy)]
struct At<'p> {
    parent: Option<&'p At<'p>>,
    part: Part<'p>,
}

#[derive(Clone, Copy)]
enum Part<'p> {
    Root,
    Key(&'p str),
    Index(usize),
}

impl At<'_> {
    fn below<'p>(&'p self, part: Part<'p>) -> At<'p> {
        At {
            parent: Some(self),
            part,
        }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut top = true;
        if let Some(parent) = self.parent {
            fmt::Display::fmt(parent, f)?;
            top = matches!(parent.part, Part::Root);
        }
        match self.part {
            Part::Root => Ok(()),
            Part::Key(key) if top => f.write_str(key),
            Part::Key(key) => write!(f, ".{key}"),
            Part::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// An error that does not know its place yet, or the finished sentence.
#[derive(Debug)]
enum InputError {
    Missing(&'static str),
    Twice(&'static str),
    Unknown(String, &'static [&'static str]),
    Variant(String, &'static [&'static str]),
    Wrong { wanted: String, found: String },
    Custom(String),
    Placed(String),
}

impl InputError {
    fn at(self, at: &At<'_>) -> Self {
        let place = at.to_string();
        let whose = if place.is_empty() { "the step" } else { &place };
        Self::Placed(match self {
            Self::Placed(text) => text,
            Self::Missing(key) => format!("{whose} has no {key}"),
            Self::Twice(key) => format!("{whose} has {key} twice"),
            Self::Unknown(key, known) => {
                format!("{whose} has {key}, which is not known; {}", listed(known))
            }
            Self::Variant(found, known) => format!(
                "there is no {place} {found}; {}, written just so",
                listed(known)
            ),
            Self::Wrong { wanted, found } if place.is_empty() => {
                format!("the inputs are {wanted}, and not {found}")
            }
            Self::Wrong { wanted, found } => format!("{place} is {wanted}, and not {found}"),
            Self::Custom(text) if place.is_empty() => text,
            Self::Custom(text) => format!("{place}: {text}"),
        })
    }
}

fn listed(words: &[&str]) -> String {
    let words: Vec<String> = words
        .iter()
        .map(|word| match word.contains(' ') {
            true => format!("`{word}`"),
            false => (*word).to_owned(),
        })
        .collect();
    match words.as_slice() {
        [] => "there is none".to_owned(),
        [one] => format!("there is {one}"),
        [first @ .., last] => format!("there are {} and {last}", first.join(", ")),
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Placed(text) | Self::Custom(text) => f.write_str(text),
            // Everything that leaves this module has its place.
            _ => f.write_str("an input is wrong"),
        }
    }
}

impl std::error::Error for InputError {}

impl de::Error for InputError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Custom(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::Wrong {
            wanted: wanted.to_string(),
            found: match found {
                Unexpected::Seq => "a list".to_owned(),
                Unexpected::Map => "a mapping".to_owned(),
                Unexpected::Unit | Unexpected::Option => "null".to_owned(),
                Unexpected::Str(text) => quoted(text),
                other => other.to_string(),
            },
        }
    }

    fn invalid_value(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::invalid_type(found, wanted)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::Variant(variant.to_owned(), expected)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::Unknown(field.to_owned(), expected)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::Twice(field)
    }
}

/// A value and its place.
#[derive(Clone, Copy)]
struct Input<'v, 'p> {
    value: &'v Value,
    at: &'p At<'p>,
    /// It is the value of a struct's field.
    field: bool,
}

impl Input<'_, '_> {
    fn wrong(&self, wanted: &str) -> InputError {
        InputError::Wrong {
            wanted: wanted.to_owned(),
            found: found(self.value),
        }
        .at(self.at)
    }

    /// What a visitor refuses is refused here.
    fn placed<T>(&self, result: Result<T, InputError>) -> Result<T, InputError> {
        result.map_err(|error| error.at(self.at))
    }

    /// A number by way of its text.
    fn parse<T: std::str::FromStr>(
        &self,
        wanted: impl FnOnce() -> String,
    ) -> Result<T, InputError> {
        scalar(self.value)
            .and_then(|text| text.trim().parse().ok())
            .ok_or_else(|| self.wrong(&wanted()))
    }

    /// A list or mapping that is written as JSON text.
    fn parsed_text(&self) -> Option<Value> {
        let text = self.value.as_str()?.trim_start();
        if !text.starts_with(['[', '{']) {
            return None;
        }
        serde_json::from_str(text).ok()
    }

    fn entries<'de, V: Visitor<'de>>(
        &self,
        map: &Map<String, Value>,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, InputError> {
        self.placed(visitor.visit_map(Entries {
            entries: map.iter(),
            fields,
            at: self.at,
            next: None,
        }))
    }

    fn mapping<'de, V: Visitor<'de>>(
        &self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, InputError> {
        match self.value {
            Value::Object(map) => self.entries(map, fields, visitor),
            Value::String(text) if text.trim().is_empty() => {
                self.entries(&Map::new(), fields, visitor)
            }
            _ => match self.parsed_text() {
                Some(Value::Object(map)) => self.entries(&map, fields, visitor),
                _ => Err(self.wrong("a mapping")),
            },
        }
    }

    fn elements<'de, V: Visitor<'de>>(
        &self,
        values: &[Value],
        visitor: V,
    ) -> Result<V::Value, InputError> {
        self.placed(visitor.visit_seq(Elements {
            values: values.iter().enumerate(),
            at: self.at,
        }))
    }

    fn list<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, InputError> {
        match self.value {
            Value::Array(values) => self.elements(values, visitor),
            Value::Object(_) | Value::Null => Err(self.wrong("a list")),
            single => match self.parsed_text() {
                Some(Value::Array(values)) => self.elements(&values, visitor),
                _ => self.elements(std::slice::from_ref(single), visitor),
            },
        }
    }

    fn text(&self) -> Result<String, InputError> {
        scalar(self.value).ok_or_else(|| self.wrong("a text"))
    }

    fn truth(&self) -> Result<bool, InputError> {
        match scalar(self.value).map(|text| text.trim().to_ascii_lowercase()) {
            Some(text) if text == "true" => Ok(true),
            Some(text) if text == "false" => Ok(false),
            _ => Err(self.wrong("true or false")),
        }
    }
}

macro_rules! whole_numbers {
    ($($method:ident $visit:ident $type:ty,)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
            let number: $type = self.parse(|| {
                if <$type>::BITS >= 64 {
                    "a whole number".to_owned()
                } else {
                    format!("a whole number from {} to {}", <$type>::MIN, <$type>::MAX)
                }
            })?;
            self.placed(visitor.$visit(number))
        })*
    };
}

impl<'de> Deserializer<'de> for Input<'_, '_> {
    type Error = InputError;

    whole_numbers! {
        deserialize_i8 visit_i8 i8,
        deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64,
        deserialize_i128 visit_i128 i128,
        deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
        deserialize_u128 visit_u128 u128,
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        self.placed(match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::String(text) => visitor.visit_str(text),
            Value::Array(values) => self.elements(values, visitor),
            Value::Object(map) => self.entries(map, &[], visitor),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), _, _) => visitor.visit_u64(number),
                (_, Some(number), _) => visitor.visit_i64(number),
                (_, _, number) => visitor.visit_f64(number.unwrap_or(f64::NAN)),
            },
        })
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        self.placed(visitor.visit_f64(self.parse(|| "a number".to_owned())?))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        self.placed(visitor.visit_bool(self.truth()?))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        self.placed(visitor.visit_string(self.text()?))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        match self.value {
            Value::Null => visitor.visit_none(),
            Value::String(text) if self.field && text.is_empty() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, InputError> {
        self.placed(visitor.visit_newtype_struct(self))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        self.list(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, InputError> {
        self.list(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, InputError> {
        self.list(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        self.mapping(&[], visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, InputError> {
        self.mapping(fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, InputError> {
        if let Value::Object(map) = self.value
            && let (Some((name, value)), 1) = (map.iter().next(), map.len())
        {
            let at = self.at.below(Part::Key(name));
            return self.placed(visitor.visit_enum(Variant {
                name,
                content: Input {
                    value,
                    at: &at,
                    field: false,
                },
            }));
        }
        let name = scalar(self.value)
            .ok_or_else(|| self.wrong(&format!("one of {}", variants.join(", "))))?;
        let name: StrDeserializer<'_, InputError> = name.as_str().into_deserializer();
        self.placed(visitor.visit_enum(name))
    }

    forward_to_deserialize_any! { bytes byte_buf unit unit_struct ignored_any }
}

struct Entries<'v, 'p, I> {
    entries: I,
    fields: &'static [&'static str],
    at: &'p At<'p>,
    next: Option<(&'v str, &'v Value)>,
}

impl<'de, 'v, I: Iterator<Item = (&'v String, &'v Value)>> MapAccess<'de> for Entries<'v, '_, I> {
    type Error = InputError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, InputError> {
        // Only a struct knows its keys beforehand; a map keeps its nulls.
        let is_struct = !self.fields.is_empty();
        let Some((key, value)) = self
            .entries
            .find(|(_, value)| !(is_struct && value.is_null()))
        else {
            return Ok(None);
        };
        let exact = self.fields.iter().find(|field| *field == key);
        let near = || {
            self.fields
                .iter()
                .find(|field| field.eq_ignore_ascii_case(key))
        };
        let name = exact.or_else(near).map_or(key.as_str(), |field| *field);
        self.next = Some((name, value));
        let name: StrDeserializer<'_, InputError> = name.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, InputError> {
        let Some((key, value)) = self.next.take() else {
            return Err(InputError::Custom("a value without a key".to_owned()));
        };
        let at = self.at.below(Part::Key(key));
        let input = Input {
            value,
            at: &at,
            field: !self.fields.is_empty(),
        };
        input.placed(seed.deserialize(input))
    }
}

struct Elements<'p, I> {
    values: I,
    at: &'p At<'p>,
}

impl<'de, 'v, I: Iterator<Item = (usize, &'v Value)>> SeqAccess<'de> for Elements<'_, I> {
    type Error = InputError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, InputError> {
        let Some((index, value)) = self.values.next() else {
            return Ok(None);
        };
        let at = self.at.below(Part::Index(index));
        let input = Input {
            value,
            at: &at,
            field: false,
        };
        input.placed(seed.deserialize(input)).map(Some)
    }
}

struct Variant<'v, 'p> {
    name: &'v str,
    content: Input<'v, 'p>,
}

impl<'de, 'v, 'p> EnumAccess<'de> for Variant<'v, 'p> {
    type Error = InputError;
    type Variant = Input<'v, 'p>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Input<'v, 'p>), InputError> {
        let name: StrDeserializer<'_, InputError> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self.content))
    }
}

impl<'de> VariantAccess<'de> for Input<'_, '_> {
    type Error = InputError;

    fn unit_variant(self) -> Result<(), InputError> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, InputError> {
        self.placed(seed.deserialize(self))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, InputError> {
        self.list(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, InputError> {
        self.mapping(fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::typed;
    use crate::{Value, json};

    #[derive(Debug, Deserialize)]
    enum Mode {
        Install,
        Uninstall,
    }

    #[derive(Debug, Deserialize)]
    struct Place {
        path: String,
        #[serde(default)]
        depth: i64,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Inputs {
        name: Option<String>,
        keep: Option<u8>,
        strict: bool,
        lines: Vec<String>,
        places: Vec<Place>,
        mode: Option<Mode>,
        environment: BTreeMap<String, Option<String>>,
        raw: Value,
    }

    #[test]
    fn what_documents_write_is_read() {
        let read: Inputs = typed(&json!({
            "NAME": 5, "keep": " 7 ", "Strict": "True", "lines": "one", "mode": "Install",
            "places": "[{\"PATH\": \"/a\", \"depth\": \"2\"}]",
            "environment": { "A": 1, "B": null }, "raw": { "x": [null] },
        }))
        .unwrap();
        assert_eq!(read.name.as_deref(), Some("5"));
        assert_eq!(read.keep, Some(7));
        assert!(read.strict);
        assert_eq!(read.lines, ["one"]);
        let place = &read.places[0];
        assert_eq!((place.path.as_str(), place.depth), ("/a", 2));
        assert!(matches!(read.mode, Some(Mode::Install)));
        assert_eq!(read.environment["A"].as_deref(), Some("1"));
        assert_eq!(read.environment["B"], None);
        assert_eq!(read.raw, json!({ "x": [null] }));
        let read: Inputs = typed(&json!({
            "name": "", "keep": "", "strict": null, "mode": "", "environment": "",
        }))
        .unwrap();
        assert!(read.name.is_none() && read.keep.is_none() && read.mode.is_none());
        assert!(!read.strict && read.environment.is_empty());
        // Text that only begins like JSON is text.
        let read: Inputs = typed(&json!({ "lines": "[ -f /a ] && echo x" })).unwrap();
        assert_eq!(read.lines, ["[ -f /a ] && echo x"]);
    }

    #[test]
    fn refusals_name_the_key_and_what_it_should_be() {
        for (inputs, message) in [
            (json!({ "name": ["a"] }), "name is a text, and not a list"),
            (
                json!({ "Name": { "a": 1 } }),
                "name is a text, and not a mapping",
            ),
            (
                json!({ "keep": 256 }),
                "keep is a whole number from 0 to 255, and not `256`",
            ),
            (
                json!({ "strict": "yes" }),
                "strict is true or false, and not `yes`",
            ),
            (
                json!({ "lines": { "a": 1 } }),
                "lines is a list, and not a mapping",
            ),
            (
                json!({ "lines": ["a", []] }),
                "lines[1] is a text, and not a list",
            ),
            (
                json!({ "places": [{ "depth": 1 }] }),
                "places[0] has no path",
            ),
            (
                json!({ "places": [{ "path": "/", "depth": "x" }] }),
                "places[0].depth is a whole number, and not `x`",
            ),
            (
                json!({ "mode": "install" }),
                "there is no mode install; there are Install and Uninstall, written just so",
            ),
            (
                json!({ "mode": [] }),
                "mode is one of Install, Uninstall, and not a list",
            ),
            (
                json!({ "environment": ["A=1"] }),
                "environment is a mapping, and not a list",
            ),
            (json!({ "keep": 1, "KEEP": 2 }), "the step has keep twice"),
            (json!([]), "the inputs are a mapping, and not a list"),
        ] {
            let failure = typed::<Inputs>(&inputs).unwrap_err();
            assert_eq!(failure.message, message, "{inputs}");
        }
        let failure = typed::<Place>(&json!({})).unwrap_err();
        assert_eq!(failure.message, "the step has no path");
    }
}
