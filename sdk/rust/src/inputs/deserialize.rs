//! Reads a value as serde asks for it, with what documents write in the place of other types.

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer as _, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

use super::error::{At, InputError, Part, quoted};

/// A value and its place.
#[derive(Clone, Copy)]
pub(super) struct Input<'v, 'p> {
    pub(super) value: &'v Value,
    pub(super) at: &'p At<'p>,
    /// It is the value of a struct's field.
    pub(super) field: bool,
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

pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

/// What is there, in words.
pub(super) fn found(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
        other => quoted(&scalar(other).unwrap_or_default()),
    }
}
