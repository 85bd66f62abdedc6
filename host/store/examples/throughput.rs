//! How many transactions a second a store does: `cargo run --release --example throughput [PATH or URL]`; without an argument
//! on a file in the folder for temporary files, and on a private PostgreSQL if it is installed.

use std::error::Error;
use std::time::{Duration, Instant};

use capstan_store::testing::Cluster;
use capstan_store::{Location, Migration, Options, Store, StoreError, params};

const MIGRATIONS: &[Migration] = &[Migration {
    component: "throughput",
    version: 1,
    sql: "CREATE TABLE item (id BIGINT NOT NULL PRIMARY KEY, words TEXT NOT NULL)",
}];
const TIME: Duration = Duration::from_secs(3);

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    if let Some(given) = std::env::args().nth(1) {
        return Ok(runtime.block_on(measure(&Location::parse(&given)?))?);
    }
    let folder = std::env::temp_dir().join(format!("capstan-throughput-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let measured = runtime.block_on(measure(&Location::Sqlite(folder.join("store.db"))));
    std::fs::remove_dir_all(&folder)?;
    measured?;
    if let Some(cluster) = Cluster::start()? {
        runtime.block_on(measure(&cluster.database()?))?;
    }
    Ok(())
}

async fn measure(location: &Location) -> Result<(), StoreError> {
    println!("{location}");
    let store = Store::open(location, MIGRATIONS, Options::default())?;
    for callers in [1, 64] {
        for reads in [false, true] {
            let begin = Instant::now();
            let tasks: Vec<_> = (0..callers)
                .map(|caller| tokio::spawn(call(store.clone(), caller, reads)))
                .collect();
            let mut count = 0;
            for task in tasks {
                count += task.await.unwrap_or(Ok(0))?;
            }
            let rate = f64::from(count) / begin.elapsed().as_secs_f64();
            println!(
                "  {} by {callers:>2}: {rate:>8.0}/s",
                if reads { "reads " } else { "writes" }
            );
        }
    }
    store.close().await;
    Ok(())
}

/// Does the same thing for a while; the answer is how often.
async fn call(store: Store, caller: i64, reads: bool) -> Result<u32, StoreError> {
    let begin = Instant::now();
    let mut count = 0;
    while begin.elapsed() < TIME {
        if reads {
            store
                .read(move |transaction| {
                    transaction.query_one("SELECT words FROM item WHERE id = $1", params![caller])
                })
                .await?;
        } else {
            store
                .write(move |transaction| {
                    // Each time another: SQLite does not write what is there already.
                    let words = format!("some words, as many as a state may have: {count}");
                    let sql = "INSERT INTO item (id, words) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET words = $2";
                    transaction.execute(sql, params![caller, &words])
                })
                .await?;
        }
        count += 1;
    }
    Ok(count)
}
