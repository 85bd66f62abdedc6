//! Values on their way to PostgreSQL and back.

use std::error::Error;

use bytes::BytesMut;
use postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::value::Value;
use crate::{Param, StoreError};

/// Written by the type that PostgreSQL found for the placeholder.
#[derive(Debug)]
pub(super) struct Bound<'a>(pub(super) Param<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(
        &self,
        to: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match (self.0, to) {
            (Param::Null, _) => Ok(IsNull::Yes),
            (Param::Integer(value), &Type::INT8) => value.to_sql(to, out),
            (Param::Integer(value), &Type::INT4) => i32::try_from(value)?.to_sql(to, out),
            (Param::Integer(value), &Type::INT2) => i16::try_from(value)?.to_sql(to, out),
            (Param::Integer(value @ (0 | 1)), &Type::BOOL) => (value == 1).to_sql(to, out),
            // As SQLite does with what is put into such a column.
            #[expect(clippy::cast_precision_loss, reason = "SQLite loses the same")]
            (Param::Integer(value), &Type::FLOAT8) => (value as f64).to_sql(to, out),
            (Param::Real(value), &Type::FLOAT8) => value.to_sql(to, out),
            (
                Param::Text(value),
                &(Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN),
            ) => value.to_sql(to, out),
            (Param::Blob(value), &Type::BYTEA) => value.to_sql(to, out),
            (value, to) => Err(format!(
                "{to} is needed, not {value:?}: give that, or write CAST($n AS …)"
            )
            .into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

pub(super) fn value(row: &postgres::Row, index: usize) -> Result<Value, StoreError> {
    let Some(column) = row.columns().get(index) else {
        return Err(StoreError::Column {
            index,
            columns: row.len(),
        });
    };
    let found = match *column.type_() {
        Type::INT8 => row
            .try_get(index)
            .map(|value: Option<i64>| value.map(Value::Integer)),
        Type::INT4 => row
            .try_get(index)
            .map(|value: Option<i32>| value.map(|value| Value::Integer(value.into()))),
        Type::INT2 => row
            .try_get(index)
            .map(|value: Option<i16>| value.map(|value| Value::Integer(value.into()))),
        Type::BOOL => row
            .try_get(index)
            .map(|value: Option<bool>| value.map(|value| Value::Integer(value.into()))),
        Type::FLOAT8 => row
            .try_get(index)
            .map(|value: Option<f64>| value.map(Value::Real)),
        Type::FLOAT4 => row
            .try_get(index)
            .map(|value: Option<f32>| value.map(|value| Value::Real(value.into()))),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => row
            .try_get(index)
            .map(|value: Option<String>| value.map(Value::Text)),
        Type::BYTEA => row
            .try_get(index)
            .map(|value: Option<Vec<u8>>| value.map(Value::Blob)),
        Type::VOID => Ok(None),
        ref other => {
            return Err(StoreError::Type {
                column: column.name().to_owned(),
                wanted: "a BIGINT, DOUBLE PRECISION, TEXT or BYTEA",
                found: format!("{other} (write a CAST)"),
            });
        }
    };
    found
        .map(|value| value.unwrap_or(Value::Null))
        .map_err(|error| StoreError::Sql {
            message: error.to_string(),
            sql: String::new(),
        })
}
