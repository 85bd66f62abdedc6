//! Runs a test on each database.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use capstan_store::testing::Cluster;
use capstan_store::{Location, Migration, Options, Store, StoreError, Transaction, params};

pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration {
        component: "test",
        version: 1,
        sql: "-- Several statements.
            CREATE TABLE item (id BIGINT NOT NULL PRIMARY KEY, revision BIGINT NOT NULL, words TEXT);
            CREATE INDEX item_words ON item (words);",
    },
    Migration {
        component: "test",
        version: 2,
        sql: "CREATE TABLE kind (
                id BIGINT NOT NULL PRIMARY KEY, reals DOUBLE PRECISION, words TEXT, blobs BLOB, truth BIGINT,
                twice BIGINT NOT NULL, quoted TEXT NOT NULL DEFAULT 'BLOB'
            );
            CREATE TABLE part (id BIGINT NOT NULL PRIMARY KEY, item BIGINT NOT NULL REFERENCES item (id));",
    },
];

pub(crate) fn put(
    transaction: &mut Transaction<'_>,
    id: i64,
    words: &str,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO item (id, revision, words) VALUES ($1, 0, $2)";
    transaction.execute(sql, params![id, words]).map(drop)
}

/// A folder that is gone with the test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("capstan-store-{}-{number}", process::id()));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A new database.
pub(crate) struct Place {
    location: Location,
    cluster: Option<Arc<Cluster>>,
}

impl Place {
    pub(crate) fn open(&self) -> Store {
        self.try_open(MIGRATIONS, Options::default()).unwrap()
    }

    pub(crate) fn try_open(
        &self,
        migrations: &[Migration],
        options: Options,
    ) -> Result<Store, StoreError> {
        Store::open(&self.location, migrations, options)
    }

    /// Whether several servers may be on it, over connections that may break.
    pub(crate) fn shared(&self) -> bool {
        self.cluster.is_some()
    }

    pub(crate) fn end_connections(&self) {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'capstan'";
        if let Some(cluster) = &self.cluster {
            cluster.execute(sql).unwrap();
        }
    }
}

/// Runs a test on SQLite from a runtime of one thread, and on PostgreSQL, if it is installed, from one of several; and the other
/// way round.
pub(crate) fn on_both<F: Future<Output = ()>>(test: impl Fn(Place) -> F) {
    let folder = Folder::new();
    let cluster = Cluster::start().unwrap().map(Arc::new);
    for several in [false, true] {
        let mut builder = match several {
            true => tokio::runtime::Builder::new_multi_thread(),
            false => tokio::runtime::Builder::new_current_thread(),
        };
        let runtime = builder.enable_all().build().unwrap();
        let file = Location::Sqlite(folder.0.join(format!("{several}.db")));
        runtime.block_on(test(Place {
            location: file,
            cluster: None,
        }));
        if let Some(cluster) = &cluster {
            let place = Place {
                location: cluster.database().unwrap(),
                cluster: Some(Arc::clone(cluster)),
            };
            runtime.block_on(test(place));
        }
    }
}
