//! Shapes, and the rules that a shape sets for its values.

use std::fmt::{self, Display};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::pattern::Pattern;

/// The shapes of a service; they refer to each other by where they are here.
pub(super) type Shapes = Vec<Shape>;

#[derive(Debug)]
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) min: Option<i64>,
    pub(super) max: Option<i64>,
    pub(super) pattern: Option<Pattern>,
    pub(super) choices: Vec<&'static str>,
    /// Its values are not repeated in messages.
    pub(super) sensitive: bool,
}

#[derive(Debug)]
pub(super) enum Kind {
    String,
    Integer,
    Long,
    Double,
    Boolean,
    Timestamp,
    Blob,
    List(usize),
    Map { key: usize, value: usize },
    Structure(Vec<Member>),
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) shape: usize,
    pub(super) required: bool,
}

/// One constraint, displayed as AWS writes it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule<'a> {
    MaxLength(i64),
    MinLength(i64),
    MaxValue(i64),
    MinValue(i64),
    Pattern(&'a Pattern),
    Choices(&'a [&'static str]),
    NotNull,
}

impl Display for Rule<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MaxLength(max) => {
                write!(f, "Member must have length less than or equal to {max}")
            }
            Self::MinLength(min) => {
                write!(f, "Member must have length greater than or equal to {min}")
            }
            Self::MaxValue(max) => write!(f, "Member must have value less than or equal to {max}"),
            Self::MinValue(min) => {
                write!(f, "Member must have value greater than or equal to {min}")
            }
            Self::Pattern(pattern) => {
                write!(
                    f,
                    "Member must satisfy regular expression pattern: {}",
                    pattern.java()
                )
            }
            Self::Choices(choices) => write!(
                f,
                "Member must satisfy enum value set: [{}]",
                choices.join(", ")
            ),
            Self::NotNull => f.write_str("Member must not be null"),
        }
    }
}

impl Rule<'_> {
    /// Whether it holds for a value that is of the right type.
    pub(super) fn holds(&self, kind: &Kind, value: &Value) -> bool {
        match value {
            Value::String(text) if matches!(kind, Kind::Blob) => {
                self.holds_for_length(decoded_length(text))
            }
            Value::String(text) => self.holds_for_text(text),
            Value::Array(items) => self.holds_for_length(items.len()),
            Value::Object(members) => self.holds_for_length(members.len()),
            Value::Number(number) => match *self {
                Self::MaxValue(max) => number.as_i64().map_or_else(
                    || number.as_f64().is_none_or(|n| n <= max as f64),
                    |n| n <= max,
                ),
                Self::MinValue(min) => number.as_i64().map_or_else(
                    || number.as_f64().is_none_or(|n| n >= min as f64),
                    |n| n >= min,
                ),
                _ => true,
            },
            Value::Bool(_) | Value::Null => true,
        }
    }

    /// Lengths are counted in code points. AWS counts UTF-16 in some services, which differs beyond the Basic
    /// Multilingual Plane alone.
    pub(super) fn holds_for_text(&self, text: &str) -> bool {
        match self {
            // There are never more code points than bytes.
            Self::MaxLength(max) if fits(text.len(), *max) => true,
            Self::MaxLength(_) | Self::MinLength(_) => self.holds_for_length(text.chars().count()),
            Self::Pattern(pattern) => pattern.matches(text),
            Self::Choices(choices) => choices.contains(&text),
            Self::MaxValue(_) | Self::MinValue(_) | Self::NotNull => true,
        }
    }

    fn holds_for_length(&self, length: usize) -> bool {
        match *self {
            Self::MaxLength(max) => fits(length, max),
            Self::MinLength(min) => i64::try_from(length).is_ok_and(|length| length >= min),
            _ => true,
        }
    }
}

fn fits(length: usize, max: i64) -> bool {
    i64::try_from(length).is_ok_and(|length| length <= max)
}

/// Of base64 with its padding.
fn decoded_length(base64: &str) -> usize {
    let padding = base64.bytes().rev().take_while(|b| *b == b'=').count();
    (base64.len() / 4 * 3).saturating_sub(padding)
}

impl Shape {
    /// The constraints, in the order in which AWS lists them.
    pub(super) fn rules(&self) -> impl Iterator<Item = Rule<'_>> {
        let number = matches!(self.kind, Kind::Integer | Kind::Long | Kind::Double);
        let max = self.max.map(|max| {
            if number {
                Rule::MaxValue(max)
            } else {
                Rule::MaxLength(max)
            }
        });
        let min = self.min.map(|min| {
            if number {
                Rule::MinValue(min)
            } else {
                Rule::MinLength(min)
            }
        });
        let pattern = self.pattern.as_ref().map(Rule::Pattern);
        let choices = (!self.choices.is_empty()).then_some(Rule::Choices(&self.choices));
        [max, min, pattern, choices].into_iter().flatten()
    }
}

impl Kind {
    /// Whether a value other than `null` is of this type.
    pub(super) fn takes(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::String, Value::String(_))
            | (Self::Boolean, Value::Bool(_))
            | (Self::Double, Value::Number(_))
            | (Self::List(_), Value::Array(_))
            | (Self::Map { .. } | Self::Structure(_), Value::Object(_)) => true,
            (Self::Integer, Value::Number(number)) => number
                .as_i64()
                .is_some_and(|number| i32::try_from(number).is_ok()),
            (Self::Long, Value::Number(number)) => number.is_i64(),
            // Seconds, or ISO 8601; both as far as a time can be told.
            (Self::Timestamp, Value::Number(number)) => number
                .as_f64()
                .is_some_and(|seconds| seconds.abs() < jiff::Timestamp::MAX.as_second() as f64),
            (Self::Timestamp, Value::String(text)) => text.parse::<jiff::Timestamp>().is_ok(),
            (Self::Blob, Value::String(text)) => STANDARD.decode(text).is_ok(),
            _ => false,
        }
    }

    /// With its article, for messages.
    pub(super) fn described(&self) -> &'static str {
        match self {
            Self::String => "a String",
            Self::Integer => "an Integer",
            Self::Long => "a Long",
            Self::Double => "a Double",
            Self::Boolean => "a Boolean",
            Self::Timestamp => "a Timestamp",
            Self::Blob => "a Blob",
            Self::List(_) => "a List",
            Self::Map { .. } => "a Map",
            Self::Structure(_) => "a Structure",
        }
    }
}
