//! What can go wrong, as values that a caller can act on.

/// Why a transaction, or the opening of a store, did not succeed.
///
/// Clonable, since transactions that are committed together fail together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database cannot be opened; the reason says what to do.
    #[error("the database {location} cannot be opened: {reason}")]
    Open {
        /// Where the database is, without its password.
        location: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The database holds a migration that this program does not know.
    #[error(
        "the database has migration {version} of {component}, which this program does not know: \
         it was used by a newer version; run that version, or restore a copy from before"
    )]
    Newer {
        /// Whose migration it is.
        component: String,
        /// Its number.
        version: i64,
    },
    /// A migration failed, and nothing of it was kept.
    #[error("migration {version} of {component} failed: {cause}")]
    Migration {
        /// Whose migration it is.
        component: String,
        /// Its number.
        version: i64,
        /// Why.
        cause: Box<StoreError>,
    },
    /// The database cannot be reached, though it was tried for some time. Nothing was stored.
    #[error("the database cannot be reached: {0}")]
    Unavailable(String),
    /// Another transaction held what this one needed for too long. Nothing was stored.
    #[error("the database was locked by another transaction for too long: {0}")]
    Busy(String),
    /// A statement took too long and was ended. Nothing was stored.
    #[error("a statement took too long: {0}")]
    Timeout(String),
    /// Transactions kept getting in each other's way, though this one was tried again. Nothing was stored.
    #[error("the transaction conflicted with others each time it was tried: {0}")]
    Conflict(String),
    /// There is no room. Nothing was stored.
    #[error("the disk of the database is full: {0}; make room there")]
    DiskFull(String),
    /// The database, or this transaction, is for reading only.
    #[error("nothing can be written: {0}")]
    ReadOnly(String),
    /// The database is damaged.
    #[error("the database is damaged: {0}; restore it from a copy")]
    Corrupt(String),
    /// A row with this key is there already.
    #[error("there is such a row already: {0}")]
    Unique(String),
    /// Another constraint of the schema was violated.
    #[error("a constraint is violated: {0}")]
    Constraint(String),
    /// The connection broke while committing.
    #[error("the connection broke while committing: it is not known whether it was stored")]
    Unknown,
    /// The work of the transaction panicked. Nothing was stored.
    #[error("the work of a transaction panicked: {0}")]
    Panicked(String),
    /// A column holds another type than what was asked for.
    #[error("column {column} holds {found}, not {wanted}")]
    Type {
        /// The column's name.
        column: String,
        /// What was asked for.
        wanted: &'static str,
        /// What is there.
        found: String,
    },
    /// A row has no such column.
    #[error("there is no column {index}: the row has {columns}")]
    Column {
        /// The column that was asked for, counted from 0.
        index: usize,
        /// How many there are.
        columns: usize,
    },
    /// Something that would not work alike on both databases, or not at all, was refused.
    #[error("refused: {0}")]
    Refused(String),
    /// A statement of this transaction failed before, so that no more can be done in it.
    #[error("an earlier statement of this transaction failed")]
    Aborted,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The database did not take a statement, for a reason that is none of the above.
    #[error("{message} (in: {sql})")]
    Sql {
        /// What the database said.
        message: String,
        /// The statement.
        sql: String,
    },
}

impl StoreError {
    /// Whether a row with the same key was there already.
    #[must_use]
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, StoreError::Unique(_))
    }

    /// The message alone, of an error that is put into another.
    pub(crate) fn reason(self) -> String {
        match self {
            StoreError::Open { reason, .. } => reason,
            other => other.to_string(),
        }
    }
}
