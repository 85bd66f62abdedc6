//! What is so with SQLite alone: files, and work without threads.

use std::fs;

use capstan_store::{Location, Notice, Options, Store, StoreError};

use crate::place::{Folder, MIGRATIONS, put};

fn reason(path: &std::path::Path) -> String {
    let opened = Store::open(
        &Location::Sqlite(path.to_owned()),
        MIGRATIONS,
        Options::default(),
    );
    let error = opened.map(drop).unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error}");
    error.to_string()
}

#[test]
fn says_why_a_file_cannot_be_opened() {
    let folder = Folder::new();
    let text = folder.0.join("text.db");
    fs::write(&text, "This is a text and no database. ".repeat(100)).unwrap();
    assert!(
        reason(&text).contains("not a database of Capstan"),
        "{}",
        reason(&text)
    );
    assert!(reason(&folder.0.join("none/store.db")).contains("create it"));
    assert!(reason(&folder.0).contains("it is a folder"));
}

#[test]
fn works_without_threads() {
    let folder = Folder::new();
    let location = Location::Sqlite(folder.0.join("store.db"));
    let options = Options {
        inline: true,
        ..Options::default()
    };
    let store = Store::open(&location, MIGRATIONS, options).unwrap();
    let mut heard = store.subscribe();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let here = std::thread::current().id();
        store
            .write(move |transaction| {
                assert_eq!(std::thread::current().id(), here);
                transaction.notify("items", "1")?;
                put(transaction, 1, "x")
            })
            .await
            .unwrap();
        // Committed by now: nothing else has to run for it.
        assert_eq!(
            heard.try_recv(),
            Ok(Notice {
                channel: "items".into(),
                payload: "1".into()
            })
        );
        let failed = store.write(|transaction| put(transaction, 1, "x")).await;
        assert!(failed.unwrap_err().is_unique_violation());
        let panicked = store
            .write(|_| -> Result<(), StoreError> { panic!("oh") })
            .await;
        assert_eq!(panicked, Err(StoreError::Panicked("oh".into())));
        store
            .write(|transaction| put(transaction, 2, "x"))
            .await
            .unwrap();
        let found = store
            .read(|transaction| transaction.query("SELECT id FROM item", &[]))
            .await
            .unwrap();
        assert_eq!(found.len(), 2);
        store.clone().close().await;
        assert_eq!(store.check().await, Err(StoreError::Closed));
    });
    let on_a_server = Store::open(
        &Location::Postgres("postgres://h/d".into()),
        &[],
        Options {
            inline: true,
            ..Options::default()
        },
    );
    assert!(matches!(on_a_server, Err(StoreError::Refused(_))));
}

#[test]
fn the_file_is_its_owners() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::new();
    let path = folder.0.join("store.db");
    let store = Store::open(
        &Location::Sqlite(path.clone()),
        MIGRATIONS,
        Options::default(),
    )
    .unwrap();
    for file in [path.clone(), path.with_extension("db-wal")] {
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600,
            "{}",
            file.display()
        );
    }
    drop(store);
}

#[test]
fn a_full_disk_is_said_and_survived() {
    let folder = Folder::new();
    let path = folder.0.join("store.db");
    let store = Store::open(&Location::Sqlite(path), MIGRATIONS, Options::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let pages = |count: &'static str| store.write(move |tx| tx.query(count, &[]));
        pages("PRAGMA max_page_count = 40").await.unwrap();
        let long = "x".repeat(1 << 20);
        let full = store.write(move |tx| put(tx, 1, &long)).await.unwrap_err();
        assert!(matches!(full, StoreError::DiskFull(_)), "{full}");
        store.write(|tx| put(tx, 2, "x")).await.unwrap();
        pages("PRAGMA max_page_count = 100000").await.unwrap();
        let long = "x".repeat(1 << 20);
        store.write(move |tx| put(tx, 1, &long)).await.unwrap();
        let found = store.read(|tx| tx.query("SELECT id FROM item", &[])).await;
        assert_eq!(found.unwrap().len(), 2);
    });
}
