//! Statements on a connection, and what SQLite's errors mean.

use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode, ToSql};

use crate::value::Value;
use crate::{Param, Row, StoreError, statement};

pub(crate) fn execute(
    connection: &Connection,
    sql: &str,
    params: &[Param<'_>],
) -> Result<u64, StoreError> {
    let run = || -> Result<u64, Failure> {
        let mut statement = bind(connection, sql, params)?;
        if statement.column_count() == 0 {
            return Ok(statement.raw_execute()? as u64);
        }
        let mut rows = statement.raw_query();
        let mut count = 0;
        while rows.next()?.is_some() {
            count += 1;
        }
        Ok(count)
    };
    run().map_err(|failure| failure.with(sql))
}

pub(crate) fn query(
    connection: &Connection,
    sql: &str,
    params: &[Param<'_>],
) -> Result<Vec<Row>, StoreError> {
    let run = || -> Result<Vec<Row>, Failure> {
        let mut statement = bind(connection, sql, params)?;
        let count = statement.column_count();
        let columns: Arc<[String]> = statement.column_names().map(str::to_owned).collect();
        let mut rows = statement.raw_query();
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let values = (0..count)
                .map(|index| value(row.get_ref(index)?))
                .collect::<Result<_, Failure>>()?;
            found.push(Row {
                columns: Arc::clone(&columns),
                values,
            });
        }
        Ok(found)
    };
    run().map_err(|failure| failure.with(sql))
}

/// A statement that begins or ends something.
pub(super) fn control(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.raw_execute())
        .map(drop)
        .map_err(|error| self::error(&error, sql))
}

/// Ends the transaction, if there still is one: after some errors SQLite has ended it already.
pub(super) fn abandon(connection: &Connection) {
    if !connection.is_autocommit()
        && let Err(error) = control(connection, "ROLLBACK")
    {
        tracing::error!(%error, "cannot roll back");
    }
}

/// SQLite knows `$1` as a name, whatever its place: nothing has to be rewritten.
fn bind<'c>(
    connection: &'c Connection,
    sql: &str,
    params: &[Param<'_>],
) -> Result<CachedStatement<'c>, Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    let most = statement.parameter_count();
    if most != params.len() {
        let given = params.len();
        let why = format!("{most} values are needed, {given} are given (in: {sql})");
        return Err(StoreError::Refused(why).into());
    }
    for index in 1..=most {
        let number = statement
            .parameter_name(index)
            .and_then(statement::placeholder);
        let param = number
            .and_then(|number| params.get(number - 1))
            .ok_or_else(|| {
                StoreError::Refused(format!(
                    "the placeholders are $1, $2, … without a gap (in: {sql})"
                ))
            })?;
        statement.raw_bind_parameter(index, Bound(*param))?;
    }
    Ok(statement)
}

fn value(value: ValueRef<'_>) -> Result<Value, Failure> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Integer(value),
        ValueRef::Real(value) => Value::Real(value),
        ValueRef::Text(value) => Value::Text(
            String::from_utf8(value.to_vec())
                .map_err(|_| StoreError::Corrupt("a text is not UTF-8".into()))?,
        ),
        ValueRef::Blob(value) => Value::Blob(value.to_vec()),
    })
}

struct Bound<'a>(Param<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Param::Null => ValueRef::Null,
            Param::Integer(value) => ValueRef::Integer(value),
            Param::Real(value) => ValueRef::Real(value),
            Param::Text(value) => ValueRef::Text(value.as_bytes()),
            Param::Blob(value) => ValueRef::Blob(value),
        }))
    }
}

enum Failure {
    Engine(rusqlite::Error),
    Ours(StoreError),
}

impl Failure {
    fn with(self, sql: &str) -> StoreError {
        match self {
            Failure::Engine(error) => self::error(&error, sql),
            Failure::Ours(error) => error,
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Failure {
        Failure::Engine(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Ours(error)
    }
}

/// What an error means.
pub(super) fn error(error: &rusqlite::Error, sql: &str) -> StoreError {
    // Extended codes of a constraint: PRIMARYKEY, UNIQUE, ROWID.
    const UNIQUE: [i32; 3] = [1555, 2067, 2579];

    let message = error.to_string();
    let Some(code) = error.sqlite_error() else {
        return StoreError::Sql {
            message,
            sql: sql.to_owned(),
        };
    };
    match code.code {
        ErrorCode::ConstraintViolation if UNIQUE.contains(&code.extended_code) => {
            StoreError::Unique(message)
        }
        ErrorCode::ConstraintViolation => StoreError::Constraint(message),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::Busy(message),
        ErrorCode::DiskFull => StoreError::DiskFull(message),
        ErrorCode::ReadOnly => StoreError::ReadOnly(message),
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::Corrupt(message),
        ErrorCode::SystemIoFailure | ErrorCode::CannotOpen => StoreError::Unavailable(message),
        _ => StoreError::Sql {
            message,
            sql: sql.to_owned(),
        },
    }
}
