//! What a store promises, on both databases.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use capstan_store::{Migration, Notice, Options, Row, Store, StoreError, Transaction, params};
use tokio::sync::broadcast::Receiver;
use tokio::time::timeout;

use crate::place::{MIGRATIONS, on_both, put};

async fn rows(store: &Store, sql: &'static str) -> Vec<Row> {
    store
        .read(move |transaction| transaction.query(sql, &[]))
        .await
        .unwrap()
}

async fn ids(store: &Store) -> Vec<i64> {
    rows(store, "SELECT id FROM item ORDER BY id")
        .await
        .iter()
        .map(|row| row.get(0).unwrap())
        .collect()
}

async fn next(notices: &mut Receiver<Notice>) -> Notice {
    timeout(Duration::from_secs(10), notices.recv())
        .await
        .unwrap()
        .unwrap()
}

fn notice(channel: &str, payload: &str) -> Notice {
    Notice {
        channel: channel.into(),
        payload: payload.into(),
    }
}

#[test]
fn values_come_back_as_they_were() {
    on_both(|place| async move {
        type Values = (
            i64,
            Option<f64>,
            Option<String>,
            Option<Vec<u8>>,
            Option<i64>,
        );
        let given: Vec<Values> = vec![
            (
                i64::MIN,
                Some(f64::MIN),
                Some(String::new()),
                Some(vec![]),
                Some(0),
            ),
            (
                -1,
                Some(-0.5),
                Some("it's \"$1\" \\ %".into()),
                Some(vec![0, 255, b'\'']),
                Some(1),
            ),
            (
                0,
                Some(0.0),
                Some("žluťoučký 🦀 \u{301}\n".into()),
                Some((0..=255).collect()),
                None,
            ),
            (1, None, None, None, None),
            (
                i64::MAX,
                Some(f64::INFINITY),
                Some("x".repeat(100_000)),
                Some(vec![7; 100_000]),
                Some(1),
            ),
        ];
        let store = place.open();
        let all = given.clone();
        store
            .write(move |transaction| {
                for (id, real, text, blob, truth) in &all {
                    let values = params![*id, *real, text, blob, *truth];
                    // Out of order, repeated, and within quotes where it is none.
                    let sql = "INSERT INTO kind (blobs, id, reals, words, truth, twice, quoted) \
                               VALUES ($4, $1, $2, $3, $5, $1, '$6')";
                    assert_eq!(transaction.execute(sql, values)?, 1);
                }
                Ok::<_, StoreError>(())
            })
            .await
            .unwrap();
        let found = rows(
            &store,
            "SELECT id, reals, words, blobs, truth, twice, quoted FROM kind ORDER BY id",
        )
        .await;
        assert_eq!(found.len(), given.len());
        for (row, (id, real, text, blob, truth)) in found.iter().zip(given) {
            assert_eq!(row.get::<i64>(0), Ok(id));
            assert_eq!(row.get::<Option<f64>>(1), Ok(real));
            assert_eq!(row.get::<Option<String>>(2), Ok(text));
            assert_eq!(row.get::<Option<Vec<u8>>>(3), Ok(blob));
            assert_eq!(
                row.get::<Option<bool>>(4),
                Ok(truth.map(|truth| truth == 1))
            );
            assert_eq!(row.get::<i64>(5), Ok(id));
            assert_eq!(row.get::<&str>(6), Ok("$6"));
        }
        let wrong = found[3].get::<String>(2).unwrap_err();
        assert_eq!(wrong.to_string(), "column words holds NULL, not a text");
        assert!(matches!(
            found[0].get::<i64>(1),
            Err(StoreError::Type { .. })
        ));
        let sums = rows(
            &store,
            "SELECT COUNT(*), CAST(SUM(truth) AS BIGINT), MAX(truth), COUNT(*) > 1, CAST(SUM(truth) AS BIGINT) \
             FROM kind WHERE truth = 1",
        )
        .await;
        assert_eq!(sums[0].get::<i64>(0), Ok(2));
        assert_eq!(sums[0].get::<i64>(1), Ok(2));
        assert_eq!(sums[0].get::<i64>(2), Ok(1));
        assert_eq!(sums[0].get::<bool>(3), Ok(true));
    });
}

#[test]
fn what_would_differ_is_refused() {
    on_both(|place| async move {
        let store = place.open();
        let refused = |work: fn(&mut Transaction<'_>) -> Result<(), StoreError>| {
            let store = store.clone();
            async move { store.write(work).await.unwrap_err() }
        };
        let zero = refused(|transaction| put(transaction, 1, "a\0b")).await;
        assert!(matches!(zero, StoreError::Refused(_)), "{zero}");
        let values = refused(|transaction| {
            let sql = "UPDATE item SET words = $1 WHERE revision = $2";
            transaction.execute(sql, params!["x"]).map(drop)
        })
        .await;
        assert!(matches!(values, StoreError::Refused(_)), "{values}");
        let gap = refused(|transaction| {
            let sql = "UPDATE item SET words = $2";
            transaction.execute(sql, params!["x", "y"]).map(drop)
        })
        .await;
        assert!(
            matches!(gap, StoreError::Refused(_) | StoreError::Sql { .. }),
            "{gap}"
        );
        let unknown = refused(|tx| tx.execute("UPDATE nothing SET x = 1", &[]).map(drop)).await;
        assert!(matches!(unknown, StoreError::Sql { .. }), "{unknown}");
        // A failed statement ends the transaction, whatever the work makes of it.
        let swallowed = refused(|transaction| {
            put(transaction, 1, "kept?")?;
            let twice = put(transaction, 1, "twice").unwrap_err();
            assert!(twice.is_unique_violation(), "{twice}");
            assert_eq!(put(transaction, 2, "more"), Err(StoreError::Aborted));
            Ok(())
        })
        .await;
        assert!(swallowed.is_unique_violation(), "{swallowed}");
        let foreign =
            refused(|tx| tx.execute("INSERT INTO part VALUES (1, 77)", &[]).map(drop)).await;
        assert!(matches!(foreign, StoreError::Constraint(_)), "{foreign}");
        let read = store
            .read(|transaction| put(transaction, 1, "x"))
            .await
            .unwrap_err();
        assert!(matches!(read, StoreError::ReadOnly(_)), "{read}");
        assert_eq!(ids(&store).await, []);
        let again = store
            .write(|transaction| {
                let sql = "INSERT INTO item (id, revision, words) VALUES (1, 0, 'x') ON CONFLICT DO NOTHING";
                Ok::<_, StoreError>((transaction.execute(sql, &[])?, transaction.execute(sql, &[])?))
            })
            .await;
        assert_eq!(again, Ok((1, 0)));
        store.check().await.unwrap();
    });
}

#[test]
fn a_refusal_or_a_panic_undoes_its_own_work_alone() {
    #[derive(Debug, PartialEq, thiserror::Error)]
    enum Refusal {
        #[error("odd")]
        Odd,
        #[error(transparent)]
        Store(#[from] StoreError),
    }

    on_both(|place| async move {
        let store = place.open();
        let tasks: Vec<_> = (0..60)
            .map(|id| {
                let store = store.clone();
                tokio::spawn(async move {
                    let work = move |transaction: &mut Transaction<'_>| {
                        put(transaction, id, "x")?;
                        match id % 3 {
                            0 => Ok(id),
                            1 => Err(Refusal::Odd),
                            _ => panic!("at {id}"),
                        }
                    };
                    (id, store.write(work).await)
                })
            })
            .collect();
        for task in tasks {
            let (id, answer) = task.await.unwrap();
            let expected = match id % 3 {
                0 => Ok(id),
                1 => Err(Refusal::Odd),
                _ => Err(Refusal::Store(StoreError::Panicked(format!("at {id}")))),
            };
            assert_eq!(answer, expected);
        }
        assert_eq!(ids(&store).await, (0..60).step_by(3).collect::<Vec<_>>());
        let read = store
            .read(|_| -> Result<(), StoreError> { panic!("reading") })
            .await;
        assert_eq!(read, Err(StoreError::Panicked("reading".into())));
    });
}

#[test]
fn concurrent_increments_lose_nothing() {
    on_both(|place| async move {
        let store = place.open();
        store
            .write(|transaction| put(transaction, 1, "0"))
            .await
            .unwrap();
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    for _ in 0..20 {
                        store.write(increment).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let found = rows(&store, "SELECT words, revision FROM item").await;
        assert_eq!(found[0].get::<&str>(0), Ok("1000"));
        assert_eq!(found[0].get::<i64>(1), Ok(1000));
    });
}

/// Locks, reads, then writes.
fn increment(transaction: &mut Transaction<'_>) -> Result<(), StoreError> {
    transaction.execute(
        "UPDATE item SET revision = revision + 1 WHERE id = $1",
        params![1_i64],
    )?;
    let row = transaction
        .query_one("SELECT words FROM item WHERE id = $1", params![1_i64])?
        .unwrap();
    let next = row.get::<&str>(0)?.parse::<i64>().unwrap() + 1;
    transaction.execute(
        "UPDATE item SET words = $2 WHERE id = $1",
        params![1_i64, &next.to_string()],
    )?;
    Ok(())
}

#[test]
fn notices_are_of_what_is_committed() {
    on_both(|place| async move {
        let store = place.open();
        let other = place.shared().then(|| place.open());
        let mut heard: Vec<_> = std::iter::once(&store)
            .chain(&other)
            .map(capstan_store::Store::subscribe)
            .collect();
        store
            .write(|transaction| {
                transaction.notify("items", "never")?;
                Err::<(), _>(StoreError::Refused("no".into()))
            })
            .await
            .unwrap_err();
        let long = store
            .write(|transaction| transaction.notify("items", "x".repeat(8000)))
            .await
            .unwrap_err();
        assert!(matches!(long, StoreError::Refused(_)), "{long}");
        let reading = store
            .read(|transaction| transaction.notify("items", "x"))
            .await
            .unwrap_err();
        assert!(matches!(reading, StoreError::Refused(_)), "{reading}");
        store
            .write(|transaction| {
                put(transaction, 1, "x")?;
                transaction.notify("items", "1")?;
                transaction.notify("items", "1")?;
                transaction.notify("other things", "ü\n2")
            })
            .await
            .unwrap();
        store
            .write(|transaction| transaction.notify("items", "x".repeat(7993)))
            .await
            .unwrap();
        for heard in &mut heard {
            assert_eq!(next(heard).await, notice("items", "1"));
            assert_eq!(next(heard).await, notice("other things", "ü\n2"));
            assert_eq!(next(heard).await.payload.len(), 7993);
            assert!(heard.try_recv().is_err());
        }
    });
}

#[test]
fn what_is_committed_survives_and_newer_databases_are_refused() {
    on_both(|place| async move {
        // Two at once, on one database that is new to both.
        let opened: Vec<_> = std::thread::scope(|scope| {
            let opening: Vec<_> = (0..2).map(|_| scope.spawn(|| place.open())).collect();
            opening
                .into_iter()
                .map(|opening| opening.join().unwrap())
                .collect()
        });
        opened[0]
            .write(|transaction| put(transaction, 1, "x"))
            .await
            .unwrap();
        for store in opened {
            store.close().await;
        }
        let more = [
            MIGRATIONS,
            &[Migration {
                component: "more",
                version: 1,
                sql: "CREATE TABLE more (x TEXT)",
            }],
        ];
        let store = place.try_open(&more.concat(), Options::default()).unwrap();
        assert_eq!(ids(&store).await, [1]);
        assert_eq!(rows(&store, "SELECT x FROM more").await, []);
        let closed = store.clone();
        store.close().await;
        assert_eq!(closed.check().await, Err(StoreError::Closed));
        let older = place.try_open(MIGRATIONS, Options::default()).unwrap_err();
        assert_eq!(
            older,
            StoreError::Newer {
                component: "more".into(),
                version: 1
            }
        );

        let failing = Migration {
            component: "more",
            version: 2,
            sql: "INSERT INTO item (id, revision, words) VALUES (2, 0, 'x'); INSERT INTO nothing VALUES (1);",
        };
        let failed = place
            .try_open(
                &[&more.concat()[..], &[failing]].concat(),
                Options::default(),
            )
            .unwrap_err();
        assert!(
            matches!(failed, StoreError::Migration { version: 2, .. }),
            "{failed}"
        );
        assert_eq!(
            ids(&place.try_open(&more.concat(), Options::default()).unwrap()).await,
            [1]
        );
    });
}

#[test]
fn texts_are_compared_alike() {
    on_both(|place| async move {
        let store = place.open();
        store
            .write(|transaction| {
                for (id, text) in ["b", "A", "a", "B", "á", "_", "10", "9", "aa", "a%", "Z"]
                    .into_iter()
                    .enumerate()
                {
                    put(transaction, i64::try_from(id).unwrap(), text)?;
                }
                Ok::<_, StoreError>(())
            })
            .await
            .unwrap();
        for (sql, expected) in [
            (
                "SELECT words FROM item ORDER BY words",
                "10 9 A B Z _ a a% aa b á",
            ),
            (
                "SELECT words FROM item WHERE words LIKE 'a%' ORDER BY words DESC",
                "aa a% a",
            ),
            (
                "SELECT words FROM item WHERE words LIKE 'a\\%' ESCAPE '\\'",
                "a%",
            ),
            (
                "SELECT words FROM item WHERE words LIKE '_' AND words > 'Z' ORDER BY words",
                "_ a b á",
            ),
            ("SELECT MAX(words) FROM item WHERE words < 'a'", "_"),
            (
                "SELECT \"words\" FROM item WHERE words BETWEEN 'A' AND 'Z' ORDER BY words",
                "A B Z",
            ),
        ] {
            let found: Vec<String> = rows(&store, sql)
                .await
                .iter()
                .map(|row| row.get(0).unwrap())
                .collect();
            assert_eq!(found.join(" "), expected, "{sql}");
        }
    });
}

#[test]
fn work_is_done_when_nobody_waits_for_it() {
    on_both(|place| async move {
        let store = place.open();
        let ran = Arc::new(AtomicUsize::new(0));
        for id in 0..20 {
            let ran = Arc::clone(&ran);
            let work = move |transaction: &mut Transaction<'_>| {
                std::thread::sleep(Duration::from_millis(5));
                ran.fetch_add(1, Ordering::SeqCst);
                put(transaction, id, "x")
            };
            let _ = timeout(Duration::from_millis(1), store.write(work)).await;
        }
        store.clone().close().await;
        assert_eq!(ran.load(Ordering::SeqCst), 20);
        drop(store);
        assert_eq!(ids(&place.open()).await.len(), 20);
    });
}

#[test]
fn connections_that_break_are_made_again() {
    on_both(|place| async move {
        if !place.shared() {
            return;
        }
        let store = place.open();
        let mut heard = store.subscribe();
        store
            .write(|transaction| put(transaction, 1, "0"))
            .await
            .unwrap();
        let known = Arc::new(Mutex::new((0_i64, 0_i64)));
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let (store, known) = (store.clone(), Arc::clone(&known));
                tokio::spawn(async move {
                    for _ in 0..30 {
                        let answer = store.write(increment).await;
                        store
                            .read(|tx| tx.query("SELECT COUNT(*) FROM item", &[]))
                            .await
                            .unwrap();
                        let mut known = known.lock().unwrap();
                        match answer {
                            Ok(()) => known.0 += 1,
                            Err(StoreError::Unknown) => known.1 += 1,
                            Err(error) => panic!("{error}"),
                        }
                    }
                })
            })
            .collect();
        while !tasks.iter().all(tokio::task::JoinHandle::is_finished) {
            place.end_connections();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for task in tasks {
            task.await.unwrap();
        }
        let (stored, unknown) = *known.lock().unwrap();
        let found: i64 = rows(&store, "SELECT revision FROM item").await[0]
            .get(0)
            .unwrap();
        assert!(
            (stored..=stored + unknown).contains(&found),
            "{stored} + {unknown}: {found}"
        );
        assert_eq!(stored + unknown, 600);
        // Those that listen are told that they may have missed something, and hear again.
        assert_eq!(next(&mut heard).await, notice("", ""));
        let told = async {
            loop {
                store
                    .write(|transaction| transaction.notify("again", "x"))
                    .await
                    .unwrap();
                if next(&mut heard).await == notice("again", "x") {
                    break;
                }
            }
        };
        timeout(Duration::from_secs(20), told).await.unwrap();
    });
}
