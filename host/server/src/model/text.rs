//! How messages tell where something is in an input, and what is there.

use std::fmt::{self, Display, Write};

use serde_json::Value;

use super::shape::{Kind, Shape};

/// Characters of a value that are repeated in a message, and of each key of a map on the way to it.
const MAX_VALUE: usize = 1024;
const MAX_KEY: usize = 128;

/// What stands for a value that is not to be seen.
const SENSITIVE: &str = "***";

/// Where a value is, as a chain from the value outward.
#[derive(Debug, Clone, Copy)]
pub(super) enum Path<'a> {
    Root,
    Member(&'a Path<'a>, &'a str),
    /// Counted from 0 here, from 1 in messages.
    Item(&'a Path<'a>, usize),
    Key(&'a Path<'a>, &'a str),
}

impl Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outer = |f: &mut fmt::Formatter<'_>, outer: &Self| match outer {
            Self::Root => Ok(()),
            _ => write!(f, "{outer}."),
        };
        match self {
            Self::Root => Ok(()),
            Self::Member(parent, name) => {
                outer(f, parent)?;
                write!(f, "{}", CamelCase(name))
            }
            Self::Item(parent, index) => {
                outer(f, parent)?;
                write!(f, "{}.member", index + 1)
            }
            Self::Key(parent, key) => {
                outer(f, parent)?;
                let mut cut = Cut::new(f, MAX_KEY);
                _ = cut.write_str(key);
                cut.finish()?;
                f.write_str(".member")
            }
        }
    }
}

/// A name as AWS writes it in messages: the first letter alone is made small.
struct CamelCase<'a>(&'a str);

impl Display for CamelCase<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.0.chars();
        if let Some(first) = chars.next() {
            f.write_char(first.to_ascii_lowercase())?;
        }
        f.write_str(chars.as_str())
    }
}

/// Lets so many characters through, and then fails.
struct Cut<'a, W> {
    to: &'a mut W,
    left: usize,
    result: fmt::Result,
    full: bool,
}

impl<'a, W: Write> Cut<'a, W> {
    fn new(to: &'a mut W, left: usize) -> Self {
        Self {
            to,
            left,
            result: Ok(()),
            full: false,
        }
    }

    /// Says that something is missing, if so.
    fn finish(self) -> fmt::Result {
        self.result?;
        if self.full {
            self.to.write_char('…')
        } else {
            Ok(())
        }
    }
}

impl<W: Write> Write for Cut<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = text
            .char_indices()
            .nth(self.left)
            .map_or(text.len(), |(end, _)| end);
        self.result = self.to.write_str(&text[..end]);
        self.full = end < text.len();
        self.left -= text[..end].chars().count();
        if self.full {
            Err(fmt::Error)
        } else {
            self.result
        }
    }
}

/// A value in quotes as AWS writes it, which is as Java does: `[a, b]`, `{a=b}`, `Target(key=a, values=[b])`.
pub(super) struct Quoted<'a> {
    pub(super) shapes: &'a [Shape],
    pub(super) shape: &'a Shape,
    pub(super) value: &'a Value,
    /// It is within something that is not to be seen.
    pub(super) secret: bool,
}

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.secret {
            return write!(f, "'{SENSITIVE}'");
        }
        f.write_char('\'')?;
        let mut cut = Cut::new(f, MAX_VALUE);
        // It fails when it is full, which is no failure of the whole.
        _ = write_value(&mut cut, self.shapes, self.shape, self.value);
        cut.finish()?;
        f.write_char('\'')
    }
}

fn write_value(
    out: &mut impl Write,
    shapes: &[Shape],
    shape: &Shape,
    value: &Value,
) -> fmt::Result {
    if shape.sensitive {
        return out.write_str(SENSITIVE);
    }
    match (&shape.kind, value) {
        (_, Value::String(text)) => out.write_str(text),
        (Kind::List(item), Value::Array(items)) => {
            out.write_char('[')?;
            for (index, value) in items.iter().enumerate() {
                comma(out, index)?;
                write_value(out, shapes, &shapes[*item], value)?;
            }
            out.write_char(']')
        }
        (Kind::Map { value: of, .. }, Value::Object(entries)) => {
            out.write_char('{')?;
            for (index, (key, value)) in entries.iter().enumerate() {
                comma(out, index)?;
                write!(out, "{key}=")?;
                write_value(out, shapes, &shapes[*of], value)?;
            }
            out.write_char('}')
        }
        (Kind::Structure(members), Value::Object(entries)) => {
            write!(out, "{}(", shape.name)?;
            let present = members
                .iter()
                .filter_map(|member| Some((member, entries.get(member.name)?)));
            for (index, (member, value)) in
                present.filter(|(_, value)| !value.is_null()).enumerate()
            {
                comma(out, index)?;
                write!(out, "{}=", CamelCase(member.name))?;
                write_value(out, shapes, &shapes[member.shape], value)?;
            }
            out.write_char(')')
        }
        // Of the wrong type, which is told otherwise.
        (_, Value::Array(_) | Value::Object(_)) => out.write_str("?"),
        (_, scalar) => write!(out, "{scalar}"),
    }
}

fn comma(out: &mut impl Write, index: usize) -> fmt::Result {
    if index > 0 {
        out.write_str(", ")
    } else {
        Ok(())
    }
}
