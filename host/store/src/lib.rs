//! Transactions over SQLite, in a file, or PostgreSQL, by URL, **with the same SQL**.
//!
//! The work of a transaction is a plain function over [`Transaction`]: nothing in it waits, and nothing in it knows
//! which database it is.
//!
//! ```
//! use capstan_store::{Location, Migration, Options, Store, StoreError, params};
//!
//! const MIGRATIONS: &[Migration] = &[Migration {
//!     component: "greetings",
//!     version: 1,
//!     sql: "CREATE TABLE greeting (id BIGINT NOT NULL PRIMARY KEY, revision BIGINT NOT NULL, words TEXT NOT NULL)",
//! }];
//!
//! # async fn greet(path: &str) -> Result<(), StoreError> {
//! let store = Store::open(&Location::parse(path)?, MIGRATIONS, Options::default())?;
//! store
//!     .write(|transaction| {
//!         transaction.execute("INSERT INTO greeting VALUES ($1, 0, $2)", params![1_i64, "hello"])?;
//!         transaction.notify("greetings", "1")
//!     })
//!     .await?;
//! let words: Option<String> = store
//!     .read(|transaction| {
//!         let row = transaction.query_one("SELECT words FROM greeting WHERE id = $1", params![1_i64])?;
//!         row.map(|row| row.get(0)).transpose()
//!     })
//!     .await?;
//! assert_eq!(words.as_deref(), Some("hello"));
//! # Ok(())
//! # }
//! # let folder = std::env::temp_dir().join(format!("capstan-store-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder).unwrap();
//! # let path = folder.join("store.db");
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(greet(path.to_str().unwrap())).unwrap();
//! # std::fs::remove_dir_all(&folder).unwrap();
//! ```
//!
//! # Transactions
//!
//! - **Read, then write.** A transaction that reads a row, decides, and writes it first locks it, by
//!   `UPDATE t SET revision = revision + 1 WHERE id = $1`. With PostgreSQL the others wait there; with SQLite there is
//!   one writer, and it costs next to nothing. Lock in the same order everywhere.
//! - **Only one.** That there is one row of a key is settled by `INSERT … ON CONFLICT DO NOTHING` and the count that
//!   [`Transaction::execute`] answers, not by looking first.
//! - **Errors end it.** A [`StoreError`] is handed on by the closure. After a statement failed, the others of the transaction
//!   answer [`StoreError::Aborted`], and it is rolled back whatever the closure answers.
//! - **Again.** The closure may be run several times: after a conflict, or a connection that was lost before the commit. Only
//!   when it was lost in the commit itself is the answer [`StoreError::Unknown`].
//! - **Together.** With SQLite, transactions that wait at the same time are synced to the disk together, each in its own
//!   savepoint. Constraints must not be `DEFERRED`, for then one would make the others fail.
//!
//! # SQL for both
//!
//! - Columns are `BIGINT`, `DOUBLE PRECISION`, `TEXT` and `BLOB`, with truth as 0 and 1 in a `BIGINT`. Columns of a primary
//!   key say `NOT NULL`, which SQLite does not imply.
//! - Placeholders are `$1`, `$2`, …; blobs and odd texts come through them. Where nothing says what type one has, as in
//!   `SELECT $1` or `$1 IS NULL`, write `CAST($1 AS BIGINT)`.
//! - What PostgreSQL makes a `NUMERIC` is cast: `CAST(SUM(x) AS BIGINT)`, `CAST(AVG(x) AS DOUBLE PRECISION)`. `COUNT(*)` is
//!   a `BIGINT` as it is.
//! - Text is compared and sorted by its bytes; that is a property of the columns, so that what is sorted or compared should be
//!   one. `NULL` is sorted first by SQLite and last by PostgreSQL: write `NULLS FIRST` or `NULLS LAST`.
//! - `LIKE` tells upper from lower case. Write `ESCAPE '\'` whenever a pattern can hold a backslash: PostgreSQL
//!   takes it for an escape even unasked.
//! - Texts are UTF-8 without the character 0, and reals are numbers; others are refused.

mod error;
mod job;
mod location;
mod migrate;
mod postgres;
mod queue;
mod sqlite;
mod statement;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod transaction;
mod value;

pub use self::error::StoreError;
pub use self::location::Location;
pub use self::migrate::Migration;
pub use self::store::{Notice, Options, Store};
pub use self::transaction::Transaction;
pub use self::value::{Cell, FromValue, Param, Row};
