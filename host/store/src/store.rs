//! The store: a database, whichever it is.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{broadcast, mpsc};

use crate::job::{Job, Sent};
use crate::postgres::Postgres;
use crate::queue::Queue;
use crate::sqlite::Sqlite;
use crate::{Location, Migration, StoreError, Transaction};

/// Notices that a subscriber may be behind before it misses some.
const NOTICES: usize = 4096;

/// What was told by a transaction that is committed.
///
/// One with an empty channel says that notices may have been missed, for the connection that brings them broke:
/// whoever waits for something should look for it in the database then. The same holds when receiving answers
/// `Lagged`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What it is about.
    pub channel: String,
    /// What there is to say.
    pub payload: String,
}

/// How a store works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Connections for reading: with PostgreSQL how many, with SQLite how many are kept open.
    pub readers: usize,
    /// Connections for writing, with PostgreSQL. SQLite has one writer.
    pub writers: usize,
    /// For simulated tests, with SQLite alone: no threads, each transaction runs in the calling task and is committed
    /// by itself, in the order of the calls. Nothing is synced to the disk.
    pub inline: bool,
}

/// Four connections of each kind, and threads.
impl Default for Options {
    fn default() -> Options {
        Options {
            readers: 4,
            writers: 4,
            inline: false,
        }
    }
}

/// A database. Clones share it; with the last its threads end, once they have done what was asked of them.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    notices: broadcast::Sender<Notice>,
    /// Ends when the last thread has.
    threads: Mutex<Option<mpsc::Receiver<()>>>,
}

#[derive(Debug)]
enum Engine {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

impl Store {
    /// Opens a database and brings it up to date with these migrations, which must be all that it ever had. It blocks for as long
    /// as that takes.
    ///
    /// # Errors
    ///
    /// [`StoreError::Open`] says what to do, [`StoreError::Newer`] that a newer version of the program used it.
    pub fn open(
        location: &Location,
        migrations: &[Migration],
        options: Options,
    ) -> Result<Store, StoreError> {
        let (notices, _) = broadcast::channel(NOTICES);
        let (alive, threads) = mpsc::channel(1);
        let engine = match location {
            Location::Sqlite(path) => Engine::Sqlite(Sqlite::open(
                path,
                migrations,
                &options,
                notices.clone(),
                alive,
            )?),
            Location::Postgres(_) if options.inline => {
                return Err(StoreError::Refused(
                    "only SQLite can work without threads".into(),
                ));
            }
            Location::Postgres(url) => Engine::Postgres(Postgres::open(
                location,
                url,
                migrations,
                &options,
                notices.clone(),
                &alive,
            )?),
        };
        Ok(Store {
            shared: Arc::new(Shared {
                engine,
                notices,
                threads: Mutex::new(Some(threads)),
            }),
        })
    }

    /// Runs a transaction, and answers once it is on the disk. It is rolled back when the work answers an error.
    ///
    /// The work may be run several times, and must have no effect but through the transaction. Once this was first
    /// polled, it is run to its end even when nobody waits for its answer.
    ///
    /// # Errors
    ///
    /// The work's own, or a [`StoreError`].
    pub async fn write<T, E>(
        &self,
        work: impl Fn(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let queue = match &self.shared.engine {
            Engine::Postgres(postgres) => postgres.writers(),
            Engine::Sqlite(sqlite) => match sqlite.queue() {
                Some(queue) => queue,
                None => return sqlite.write(work),
            },
        };
        send(queue, work).await
    }

    /// Runs a transaction that only reads. All that it sees is of one moment. With SQLite it runs in the calling task,
    /// which takes microseconds.
    ///
    /// # Errors
    ///
    /// The work's own, or a [`StoreError`].
    pub async fn read<T, E>(
        &self,
        work: impl Fn(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match &self.shared.engine {
            Engine::Sqlite(sqlite) => sqlite.read(work),
            Engine::Postgres(postgres) => send(postgres.readers(), work).await,
        }
    }

    /// The notices, from now on, of the committed transactions of all servers on the database; with SQLite, of this store.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Notice> {
        self.shared.notices.subscribe()
    }

    /// Whether a transaction that writes can be begun.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.write(|transaction| transaction.query_one("SELECT 1", &[]).map(drop))
            .await
    }

    /// Takes no more work, of any clone, and waits until what was asked for before is done.
    pub async fn close(self) {
        self.shared.engine.close();
        let threads = self
            .shared
            .threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(mut threads) = threads {
            // Nothing is ever sent; it ends when the last thread dropped its end.
            while threads.recv().await.is_some() {}
        }
    }
}

async fn send<T, E>(
    queue: &Queue<Box<dyn Job>>,
    work: impl Fn(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    let (job, answer) = Sent::new(work);
    queue.push(Box::new(job))?;
    answer
        .await
        .unwrap_or_else(|_| Err(StoreError::Closed.into()))
}

impl Engine {
    fn close(&self) {
        match self {
            Engine::Sqlite(sqlite) => sqlite.close(),
            Engine::Postgres(postgres) => postgres.close(),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.engine.close();
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("engine", &self.shared.engine)
            .finish_non_exhaustive()
    }
}
