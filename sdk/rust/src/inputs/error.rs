//! What is wrong with an input, and where.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

/// Where a value is.
#[derive(Clone, Copy)]
pub(super) struct At<'p> {
    pub(super) parent: Option<&'p At<'p>>,
    pub(super) part: Part<'p>,
}

#[derive(Clone, Copy)]
pub(super) enum Part<'p> {
    Root,
    Key(&'p str),
    Index(usize),
}

impl At<'_> {
    pub(super) fn below<'p>(&'p self, part: Part<'p>) -> At<'p> {
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
pub(super) enum InputError {
    Missing(&'static str),
    Twice(&'static str),
    Unknown(String, &'static [&'static str]),
    Variant(String, &'static [&'static str]),
    Wrong { wanted: String, found: String },
    Custom(String),
    Placed(String),
}

impl InputError {
    pub(super) fn at(self, at: &At<'_>) -> Self {
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

pub(super) fn listed(words: &[&str]) -> String {
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

/// The beginning is enough to find it by.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}
