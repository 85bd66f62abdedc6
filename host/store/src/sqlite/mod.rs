//! SQLite: one thread that writes, and connections to read with in the calling task.

mod open;
mod statement;
mod writer;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::{broadcast, mpsc};

pub(crate) use self::statement::{execute, query};
use crate::job::{Job, Work};
use crate::migrate::{self, Migration};
use crate::queue::Queue;
use crate::transaction::Engine;
use crate::{Notice, Options, Param, StoreError, Transaction};

/// A database in a file.
pub(crate) struct Sqlite {
    path: PathBuf,
    writer: Writer,
    readers: Mutex<Vec<Connection>>,
    keep: usize,
    notices: broadcast::Sender<Notice>,
}

enum Writer {
    Thread(Arc<Queue<Box<dyn Job>>>),
    /// In the calling task; gone once closed.
    Inline(Mutex<Option<Connection>>),
}

impl Sqlite {
    pub(crate) fn open(
        path: &Path,
        migrations: &[Migration],
        options: &Options,
        notices: broadcast::Sender<Notice>,
        alive: mpsc::Sender<()>,
    ) -> Result<Sqlite, StoreError> {
        let mut connection = open::writer(path, options.inline)?;
        apply(&mut connection, migrations)?;
        let writer = if options.inline {
            Writer::Inline(Mutex::new(Some(connection)))
        } else {
            let queue = Arc::new(Queue::new());
            writer::start(connection, Arc::clone(&queue), notices.clone(), alive)?;
            Writer::Thread(queue)
        };
        Ok(Sqlite {
            path: path.to_owned(),
            writer,
            readers: Mutex::default(),
            keep: options.readers,
            notices,
        })
    }

    /// The queue of the thread that writes; none when it is done in the calling task.
    pub(crate) fn queue(&self) -> Option<&Queue<Box<dyn Job>>> {
        match &self.writer {
            Writer::Thread(queue) => Some(queue),
            Writer::Inline(_) => None,
        }
    }

    /// Writes in the calling task.
    pub(crate) fn write<T, E: From<StoreError>>(
        &self,
        work: impl Fn(&mut Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let Writer::Inline(connection) = &self.writer else {
            return Err(StoreError::Closed.into());
        };
        let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(connection) = connection.as_mut() else {
            return Err(StoreError::Closed.into());
        };
        let mut work = Work::new(work);
        let fate = writer::alone(connection, &mut |transaction| work.run(transaction));
        let fate = fate.map(|notices| writer::send(&self.notices, notices));
        work.finish(fate)
    }

    /// Reads in the calling task: that takes microseconds, and waits for nobody.
    pub(crate) fn read<T, E: From<StoreError>>(
        &self,
        work: impl Fn(&mut Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        if self.is_closed() {
            return Err(StoreError::Closed.into());
        }
        let idle = self
            .readers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open::reader(&self.path)?,
        };
        statement::control(&connection, "BEGIN DEFERRED")?;
        let mut work = Work::new(work);
        let mut transaction = Transaction::new(Engine::Sqlite(&connection), false);
        work.run(&mut transaction);
        let (_, failure) = transaction.finish();
        // A connection that cannot end its transaction is closed, which ends it too.
        if statement::control(&connection, "ROLLBACK").is_ok() && !self.is_closed() {
            let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
            if readers.len() < self.keep {
                readers.push(connection);
            }
        }
        work.finish(failure.map_or(Ok(()), Err))
    }

    /// Takes no more work.
    pub(crate) fn close(&self) {
        match &self.writer {
            Writer::Thread(queue) => queue.close(),
            Writer::Inline(connection) => {
                *connection.lock().unwrap_or_else(PoisonError::into_inner) = None
            }
        }
        self.readers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn is_closed(&self) -> bool {
        match &self.writer {
            Writer::Thread(queue) => queue.is_closed(),
            Writer::Inline(connection) => connection
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_none(),
        }
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Applies the migrations that are missing, each in a transaction.
fn apply(connection: &mut Connection, migrations: &[Migration]) -> Result<(), StoreError> {
    let batch = |connection: &Connection, sql: &str| {
        connection
            .execute_batch(sql)
            .map_err(|error| statement::error(&error, sql))
    };
    batch(connection, migrate::TABLE)?;
    let missing = migrate::pending(migrations, &applied(connection)?)?;
    for migration in missing {
        let apply = || {
            batch(connection, "BEGIN IMMEDIATE")?;
            // Another program may have applied it meanwhile.
            if applied(connection)?.contains(&(migration.component.to_owned(), migration.version)) {
                return batch(connection, "COMMIT");
            }
            batch(connection, migration.sql)?;
            let values = [
                Param::Text(migration.component),
                Param::Integer(migration.version),
                Param::Integer(migrate::now()),
            ];
            execute(connection, migrate::RECORD, &values)?;
            batch(connection, "COMMIT")
        };
        if let Err(error) = apply() {
            statement::abandon(connection);
            return Err(migration.failed(error));
        }
        tracing::info!(
            component = migration.component,
            version = migration.version,
            "applied a migration"
        );
    }
    Ok(())
}

fn applied(connection: &Connection) -> Result<BTreeSet<(String, i64)>, StoreError> {
    query(connection, migrate::APPLIED, &[])?
        .iter()
        .map(|row| Ok((row.get(0)?, row.get(1)?)))
        .collect()
}
