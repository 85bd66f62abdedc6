//! A connection with its prepared statements, and what PostgreSQL's errors mean.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;

use postgres::error::SqlState;
use postgres::types::ToSql;
use postgres::{Client, Statement};

use super::convert::{self, Bound};
use crate::{Param, Row, StoreError};

/// Statements that are kept prepared; there are more texts than this only if someone writes values into them.
const STATEMENTS: usize = 512;

pub(crate) struct Session {
    client: Client,
    statements: HashMap<String, Prepared>,
    /// Nobody knows whether a transaction is under way in it.
    broken: bool,
}

#[derive(Clone)]
struct Prepared {
    statement: Statement,
    columns: Arc<[String]>,
}

impl Session {
    pub(super) fn new(client: Client) -> Session {
        Session {
            client,
            statements: HashMap::new(),
            broken: false,
        }
    }

    pub(crate) fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, StoreError> {
        self.run(sql, params, |client, prepared, values| {
            client.execute(&prepared.statement, values)
        })
    }

    pub(crate) fn query(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        let (rows, columns) = self.run(sql, params, |client, prepared, values| {
            Ok((
                client.query(&prepared.statement, values)?,
                Arc::clone(&prepared.columns),
            ))
        })?;
        rows.iter()
            .map(|row| {
                let values = (0..columns.len())
                    .map(|index| convert::value(row, index))
                    .collect::<Result<_, _>>()?;
                Ok(Row {
                    columns: Arc::clone(&columns),
                    values,
                })
            })
            .collect()
    }

    /// Statements without values, as they are.
    pub(super) fn batch(&mut self, sql: &str) -> Result<(), StoreError> {
        self.client
            .batch_execute(sql)
            .map_err(|error| self::error(&error, sql))
    }

    /// Ends the transaction; a session in which that fails is not used again.
    pub(super) fn roll_back(&mut self) -> Result<(), StoreError> {
        let rolled_back = self.batch("ROLLBACK");
        self.broken |= rolled_back.is_err();
        rolled_back
    }

    pub(super) fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    pub(super) fn is_closed(&self) -> bool {
        self.broken || self.client.is_closed()
    }

    fn run<T>(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
        run: impl FnOnce(&mut Client, &Prepared, &[&(dyn ToSql + Sync)]) -> Result<T, postgres::Error>,
    ) -> Result<T, StoreError> {
        let prepared = self
            .prepare(sql)
            .map_err(|error| self::error(&error, sql))?;
        let most = prepared.statement.params().len();
        if most != params.len() {
            let given = params.len();
            return Err(StoreError::Refused(format!(
                "{most} values are needed, {given} are given (in: {sql})"
            )));
        }
        let bound: Vec<Bound<'_>> = params.iter().copied().map(Bound).collect();
        let values: Vec<&(dyn ToSql + Sync)> = bound
            .iter()
            .map(|value| value as &(dyn ToSql + Sync))
            .collect();
        run(&mut self.client, &prepared, &values).map_err(|error| {
            let error = self::error(&error, sql);
            if matches!(error, StoreError::Conflict(_)) {
                // It may be that a migration changed what a prepared statement answers.
                self.statements.clear();
            }
            error
        })
    }

    fn prepare(&mut self, sql: &str) -> Result<Prepared, postgres::Error> {
        if let Some(prepared) = self.statements.get(sql) {
            return Ok(prepared.clone());
        }
        let statement = self.client.prepare(sql)?;
        let columns = statement
            .columns()
            .iter()
            .map(|column| column.name().to_owned())
            .collect();
        let prepared = Prepared { statement, columns };
        if self.statements.len() >= STATEMENTS {
            self.statements.clear();
        }
        self.statements.insert(sql.to_owned(), prepared.clone());
        Ok(prepared)
    }
}

/// What an error means.
pub(super) fn error(error: &postgres::Error, sql: &str) -> StoreError {
    let message = message(error);
    let Some(code) = error.code() else {
        let broken = error.is_closed()
            || error
                .source()
                .is_some_and(|source| source.is::<std::io::Error>());
        return match broken {
            true => StoreError::Unavailable(message),
            false => StoreError::Sql {
                message,
                sql: sql.to_owned(),
            },
        };
    };
    let stale = *code == SqlState::FEATURE_NOT_SUPPORTED && message.contains("cached plan");
    match code.code() {
        "40001" | "40P01" => StoreError::Conflict(message),
        _ if stale => StoreError::Conflict(message),
        "23505" => StoreError::Unique(message),
        "25006" => StoreError::ReadOnly(message),
        "53100" => StoreError::DiskFull(message),
        "55P03" => StoreError::Busy(message),
        "57014" => StoreError::Timeout(message),
        // An administrator's command, a crash, a start or a stop of the server, or too many connections.
        "57P01" | "57P02" | "57P03" | "53300" | "25P03" => StoreError::Unavailable(message),
        code if code.starts_with("08") => StoreError::Unavailable(message),
        code if code.starts_with("23") => StoreError::Constraint(message),
        code if code.starts_with("XX") => StoreError::Corrupt(message),
        _ => StoreError::Sql {
            message,
            sql: sql.to_owned(),
        },
    }
}

/// The whole message: what the client adds to what the server said says little.
pub(super) fn message(error: &postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        let detail = said
            .detail()
            .map(|detail| format!(" ({detail})"))
            .unwrap_or_default();
        return format!("{}{detail}", said.message());
    }
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_message = cause.to_string();
        if !message.contains(&cause_message) {
            message = format!("{message}: {cause_message}");
        }
        source = cause.source();
    }
    message
}
