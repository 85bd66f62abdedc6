//! What domain code works with.

use std::fmt;

use crate::postgres::Session;
use crate::sqlite;
use crate::{Notice, Param, Row, StoreError};

/// PostgreSQL carries less than 8000 bytes, of the channel and the payload together.
pub(crate) const NOTICE_LIMIT: usize = 7998;

/// A transaction that is under way.
///
/// Once one of its statements failed, nothing more can be done in it, and it is rolled back even when the closure
/// answers `Ok`: PostgreSQL leaves no choice there, and SQLite is made to behave alike.
pub struct Transaction<'a> {
    engine: Engine<'a>,
    writable: bool,
    notices: Vec<Notice>,
    failure: Option<StoreError>,
}

/// The connection that it runs on.
pub(crate) enum Engine<'a> {
    Sqlite(&'a rusqlite::Connection),
    Postgres(&'a mut Session),
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(engine: Engine<'a>, writable: bool) -> Transaction<'a> {
        Transaction {
            engine,
            writable,
            notices: Vec::new(),
            failure: None,
        }
    }

    pub(crate) fn failure(&self) -> Option<&StoreError> {
        self.failure.as_ref()
    }

    /// What is to be sent once it is committed, and the error of the statement that failed.
    pub(crate) fn finish(self) -> (Vec<Notice>, Option<StoreError>) {
        (self.notices, self.failure)
    }

    /// Runs a statement; the answer is how many rows it changed.
    ///
    /// # Errors
    ///
    /// When the database does not take it; the closure must hand this on, for the transaction is at its end.
    pub fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64, StoreError> {
        self.statement(params, |engine| match engine {
            Engine::Sqlite(connection) => sqlite::execute(connection, sql, params),
            Engine::Postgres(session) => session.execute(sql, params),
        })
    }

    /// Runs a query, or a statement with `RETURNING`; the answer is all of its rows.
    ///
    /// # Errors
    ///
    /// As [`Transaction::execute`].
    pub fn query(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, StoreError> {
        self.statement(params, |engine| match engine {
            Engine::Sqlite(connection) => sqlite::query(connection, sql, params),
            Engine::Postgres(session) => session.query(sql, params),
        })
    }

    /// Runs a query; the answer is its first row, if there is one.
    ///
    /// # Errors
    ///
    /// As [`Transaction::execute`].
    pub fn query_one(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.query(sql, params)?.into_iter().next())
    }

    /// Tells every server on this database, once this is committed, and only then. The same notice given twice in
    /// one transaction is sent once.
    ///
    /// # Errors
    ///
    /// [`StoreError::Refused`] when the channel and the payload have more than 7998 bytes together, when one holds
    /// the character 0 or the channel is empty or of several lines, or in a transaction that only reads.
    pub fn notify(&mut self, channel: &str, payload: impl Into<String>) -> Result<(), StoreError> {
        let notice = Notice {
            channel: channel.to_owned(),
            payload: payload.into(),
        };
        let length = notice.channel.len() + notice.payload.len();
        let refused = |why: String| Err(StoreError::Refused(why));
        if !self.writable {
            return refused("a transaction that only reads sends no notices".into());
        }
        if length > NOTICE_LIMIT {
            return refused(format!(
                "a notice of {length} bytes; the most is {NOTICE_LIMIT}"
            ));
        }
        if channel.is_empty() || channel.contains(['\n', '\0']) || notice.payload.contains('\0') {
            return refused(format!(
                "{channel:?} is no channel, or the payload holds the character 0"
            ));
        }
        if !self.notices.contains(&notice) {
            self.notices.push(notice);
        }
        Ok(())
    }

    fn statement<T>(
        &mut self,
        params: &[Param<'_>],
        run: impl FnOnce(&mut Engine<'a>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.failure.is_some() {
            return Err(StoreError::Aborted);
        }
        let answer = params
            .iter()
            .try_for_each(Param::check)
            .and_then(|()| run(&mut self.engine));
        if let Err(error) = &answer {
            self.failure = Some(error.clone());
        }
        answer
    }
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("writable", &self.writable)
            .finish_non_exhaustive()
    }
}
