//! What goes into statements, and what comes out of them.

use std::fmt;
use std::sync::Arc;

use crate::StoreError;

/// A value for a placeholder. [`params!`](crate::params) makes these from what [`Param`] can be made from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Param<'a> {
    /// No value, of any type.
    Null,
    /// For `BIGINT`, and for truth as 0 and 1.
    Integer(i64),
    /// For `DOUBLE PRECISION`; not NaN, which SQLite does not have.
    Real(f64),
    /// For `TEXT`; without the character 0, which PostgreSQL does not have.
    Text(&'a str),
    /// For `BLOB`.
    Blob(&'a [u8]),
}

impl Param<'_> {
    /// Refuses what one of the databases cannot hold.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self {
            Param::Text(text) if text.contains('\0') => Err(StoreError::Refused(
                "a text with the character 0 cannot be stored".into(),
            )),
            Param::Real(number) if number.is_nan() => {
                Err(StoreError::Refused("NaN cannot be stored".into()))
            }
            _ => Ok(()),
        }
    }
}

macro_rules! from {
    ($($type:ty => |$value:ident| $made:expr;)*) => {$(
        impl<'a> From<$type> for Param<'a> {
            fn from($value: $type) -> Param<'a> {
                $made
            }
        }
    )*};
}

from! {
    i64 => |value| Param::Integer(value);
    i32 => |value| Param::Integer(value.into());
    u32 => |value| Param::Integer(value.into());
    bool => |value| Param::Integer(value.into());
    f64 => |value| Param::Real(value);
    &'a str => |value| Param::Text(value);
    &'a String => |value| Param::Text(value);
    &'a [u8] => |value| Param::Blob(value);
    &'a Vec<u8> => |value| Param::Blob(value);
    &'a Option<String> => |value| value.as_deref().into();
    &'a Option<Vec<u8>> => |value| value.as_deref().into();
}

impl<'a, const N: usize> From<&'a [u8; N]> for Param<'a> {
    fn from(value: &'a [u8; N]) -> Param<'a> {
        Param::Blob(value)
    }
}

impl<'a, T: Into<Param<'a>>> From<Option<T>> for Param<'a> {
    fn from(value: Option<T>) -> Param<'a> {
        value.map_or(Param::Null, Into::into)
    }
}

/// The values of `$1`, `$2`, … as a `&[Param]`.
///
/// ```
/// use capstan_store::{Param, params};
///
/// let name = String::from("web-1");
/// let values: &[Param] = params![7_i64, &name, None::<i64>, true];
/// assert_eq!(values, [Param::Integer(7), Param::Text("web-1"), Param::Null, Param::Integer(1)]);
/// ```
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$($crate::Param::from($value)),*] as &[$crate::Param<'_>]
    };
}

/// A value as a database gave it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Value::Null => "NULL",
            Value::Integer(_) => "an integer",
            Value::Real(_) => "a real number",
            Value::Text(_) => "a text",
            Value::Blob(_) => "a blob",
        }
    }
}

/// A row of a query's answer.
#[derive(Clone, PartialEq)]
pub struct Row {
    pub(crate) columns: Arc<[String]>,
    pub(crate) values: Vec<Value>,
}

impl Row {
    /// The value of a column, counted from 0, as one of `i64`, `f64`, `bool` (from 0 and 1), `String`, `&str`,
    /// `Vec<u8>`, `&[u8]`, or an `Option` of these when it may be NULL.
    ///
    /// # Errors
    ///
    /// [`StoreError::Type`] when it is of another type, [`StoreError::Column`] when there is no such column.
    pub fn get<'a, T: FromValue<'a>>(&'a self, index: usize) -> Result<T, StoreError> {
        let value = self.values.get(index).ok_or(StoreError::Column {
            index,
            columns: self.values.len(),
        })?;
        T::from_value(Cell(value)).ok_or_else(|| StoreError::Type {
            column: self.columns.get(index).cloned().unwrap_or_default(),
            wanted: T::KIND,
            found: value.kind().to_owned(),
        })
    }

    /// How many columns there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no columns.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.columns.iter().zip(&self.values))
            .finish()
    }
}

/// A value on its way out of a [`Row`].
#[derive(Debug, Clone, Copy)]
pub struct Cell<'a>(&'a Value);

mod sealed {
    pub trait Sealed<'a> {}
}

/// What a column can be read as.
pub trait FromValue<'a>: sealed::Sealed<'a> + Sized {
    /// What this is, in words.
    #[doc(hidden)]
    const KIND: &'static str;
    /// The value, unless it is of another type.
    #[doc(hidden)]
    fn from_value(cell: Cell<'a>) -> Option<Self>;
}

macro_rules! read {
    ($($type:ty, $kind:literal, $pattern:pat => $made:expr;)*) => {$(
        impl<'a> sealed::Sealed<'a> for $type {}
        impl<'a> FromValue<'a> for $type {
            const KIND: &'static str = $kind;
            fn from_value(cell: Cell<'a>) -> Option<$type> {
                match cell.0 {
                    $pattern => Some($made),
                    _ => None,
                }
            }
        }
    )*};
}

read! {
    i64, "an integer", Value::Integer(value) => *value;
    bool, "a truth (0 or 1)", Value::Integer(value @ (0 | 1)) => *value == 1;
    f64, "a real number", Value::Real(value) => *value;
    String, "a text", Value::Text(value) => value.clone();
    &'a str, "a text", Value::Text(value) => value;
    Vec<u8>, "a blob", Value::Blob(value) => value.clone();
    &'a [u8], "a blob", Value::Blob(value) => value;
}

impl<'a, T: sealed::Sealed<'a>> sealed::Sealed<'a> for Option<T> {}
impl<'a, T: FromValue<'a>> FromValue<'a> for Option<T> {
    const KIND: &'static str = T::KIND;
    fn from_value(cell: Cell<'a>) -> Option<Option<T>> {
        match cell.0 {
            Value::Null => Some(None),
            _ => T::from_value(cell).map(Some),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_type_mismatch_names_the_column() {
        let row = Row {
            columns: Arc::new(["id".into(), "name".into()]),
            values: vec![Value::Integer(2), Value::Null],
        };
        assert_eq!(row.get::<i64>(0), Ok(2));
        assert_eq!(row.get::<Option<&str>>(1), Ok(None));
        assert_eq!(
            row.get::<bool>(0).unwrap_err().to_string(),
            "column id holds an integer, not a truth (0 or 1)"
        );
        assert_eq!(
            row.get::<String>(1).unwrap_err().to_string(),
            "column name holds NULL, not a text"
        );
        assert_eq!(
            row.get::<i64>(2),
            Err(StoreError::Column {
                index: 2,
                columns: 2
            })
        );
    }
}
