//! Migrations, one server at a time.

use std::collections::BTreeSet;

use super::connect::Connector;
use super::session::Session;
use crate::migrate::{self, Migration};
use crate::{Param, StoreError, statement};

/// The advisory lock that servers which start at the same time take turns by.
const LOCK: i64 = 0x0063_6170_7374_616e;

pub(super) fn apply(connector: &Connector, migrations: &[Migration]) -> Result<(), StoreError> {
    let mut session = connector.connect()?;
    let encoding = session.query(
        "SELECT CAST(current_setting('server_encoding') AS TEXT)",
        &[],
    )?;
    if let Some(encoding) = encoding
        .first()
        .map(|row| row.get::<String>(0))
        .transpose()?
        && encoding != "UTF8"
    {
        return Err(connector.failed(format!(
            "its encoding is {encoding}; make one with CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8'"
        )));
    }
    // A migration takes the time it takes, and so does waiting for another server's.
    session.batch("SET statement_timeout = 0; SET lock_timeout = 0")?;
    session.query("SELECT pg_advisory_lock($1)", &[Param::Integer(LOCK)])?;
    // The lock ends with the connection, whatever happens before.
    session.batch(&statement::for_postgres(migrate::TABLE))?;
    for migration in migrate::pending(migrations, &applied(&mut session)?)? {
        one(&mut session, migration).map_err(|error| migration.failed(error))?;
        tracing::info!(
            component = migration.component,
            version = migration.version,
            "applied a migration"
        );
    }
    Ok(())
}

fn one(session: &mut Session, migration: &Migration) -> Result<(), StoreError> {
    session.batch("BEGIN")?;
    session.batch(&statement::for_postgres(migration.sql))?;
    let values = [
        Param::Text(migration.component),
        Param::Integer(migration.version),
        Param::Integer(migrate::now()),
    ];
    session.execute(migrate::RECORD, &values)?;
    session.batch("COMMIT")
}

fn applied(session: &mut Session) -> Result<BTreeSet<(String, i64)>, StoreError> {
    session
        .query(migrate::APPLIED, &[])?
        .iter()
        .map(|row| Ok((row.get(0)?, row.get(1)?)))
        .collect()
}
