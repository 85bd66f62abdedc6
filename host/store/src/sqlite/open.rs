//! Opening connections, and saying in words why it does not go.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::statement;
use crate::StoreError;

/// How long a statement waits for another process that writes.
const PATIENCE: Duration = Duration::from_secs(10);
/// Statements that are kept prepared, per connection.
const STATEMENTS: usize = 256;

/// The connection that writes. It makes the file if there is none.
///
/// What simulated tests write need not outlive the machine, so that it is not synced.
pub(super) fn writer(path: &Path, inline: bool) -> Result<Connection, StoreError> {
    let failed = |reason: String| StoreError::Open {
        location: path.display().to_string(),
        reason,
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        return Err(failed(format!(
            "there is no folder {}; create it",
            folder.display()
        )));
    }
    if path.is_dir() {
        return Err(failed(
            "it is a folder; give the path of a file in it".into(),
        ));
    }
    create(path)
        .map_err(|error| failed(format!("{error}; let this user write it, and its folder")))?;
    let open = || {
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let mode: String =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        connection.pragma_update(None, "synchronous", if inline { "OFF" } else { "FULL" })?;
        connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
        Ok((mode, connection.is_readonly("main")?, connection))
    };
    let (mode, read_only, connection) =
        open().map_err(|error: rusqlite::Error| failed(reason(&error)))?;
    if read_only {
        return Err(failed("it may only be read; let this user write it".into()));
    }
    if mode != "wal" {
        return Err(failed(
            "its file system cannot share memory; put it on a local disk".into(),
        ));
    }
    Ok(connection)
}

/// A connection that cannot write.
pub(super) fn reader(path: &Path) -> Result<Connection, StoreError> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|error| StoreError::Open {
        location: path.display().to_string(),
        reason: reason(&error),
    })
}

fn connect(path: &Path, mode: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -16_384)?;
    // As in PostgreSQL: LIKE tells upper from lower case, and what is in double quotes is a name.
    connection.pragma_update(None, "case_sensitive_like", true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    // A plan is for all values of a statement's parameters: else some statements, such as those that compare a column of
    // a partial index, would be prepared anew for each value.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // The first statement that looks into the file; it is here that one that is no database shows.
    connection.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

/// Makes the file, for its owner alone: what is in it is not for other users of the machine.
fn create(path: &Path) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn reason(error: &rusqlite::Error) -> String {
    use rusqlite::ErrorCode;

    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            "the file is not a database of Capstan; give another path, or move it away".into()
        }
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            format!("{error}; let this user write its folder")
        }
        _ => statement::error(error, "").reason(),
    }
}
