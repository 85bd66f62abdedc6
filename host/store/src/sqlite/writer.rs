//! The thread that writes: transactions that wait at the same time are synced to the disk together.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{broadcast, mpsc};

use super::statement::{abandon, control};
use crate::job::{Job, Outcome};
use crate::queue::Queue;
use crate::transaction::Engine;
use crate::{Notice, StoreError, Transaction};

/// The most that is committed together: who came first shall not wait long for who came last.
const GROUP: usize = 256;
const GROUP_TIME: Duration = Duration::from_millis(10);

/// Starts it. It ends once the queue is closed and empty; until then it holds `alive`.
pub(super) fn start(
    connection: Connection,
    queue: Arc<Queue<Box<dyn Job>>>,
    notices: broadcast::Sender<Notice>,
    alive: mpsc::Sender<()>,
) -> Result<(), StoreError> {
    let run = move || {
        while let Some(first) = queue.pop() {
            group(&connection, first, &queue, &notices);
        }
        drop(connection);
        drop(alive);
    };
    match thread::Builder::new()
        .name("store-writer".into())
        .spawn(run)
    {
        Ok(_) => Ok(()),
        Err(error) => Err(StoreError::Unavailable(format!(
            "no thread could be started: {error}"
        ))),
    }
}

/// Runs one transaction on its own.
pub(super) fn alone(
    connection: &Connection,
    run: &mut dyn FnMut(&mut Transaction<'_>) -> Outcome,
) -> Result<Vec<Notice>, StoreError> {
    control(connection, "BEGIN IMMEDIATE")?;
    let mut transaction = Transaction::new(Engine::Sqlite(connection), true);
    let outcome = run(&mut transaction);
    let (notices, failure) = transaction.finish();
    let ended = match outcome {
        Outcome::Commit => control(connection, "COMMIT").map(|()| notices),
        Outcome::RollBack => failure.map_or(Ok(Vec::new()), Err),
    };
    abandon(connection);
    ended
}

/// Tells those who listen here; it is no error that nobody does.
pub(super) fn send(to: &broadcast::Sender<Notice>, notices: Vec<Notice>) {
    for notice in notices {
        let _ = to.send(notice);
    }
}

/// Runs a job, and those that wait meanwhile, in one transaction of the database, each in a savepoint.
fn group(
    connection: &Connection,
    first: Box<dyn Job>,
    queue: &Queue<Box<dyn Job>>,
    notices: &broadcast::Sender<Notice>,
) {
    if let Err(error) = control(connection, "BEGIN IMMEDIATE") {
        return first.answer(Err(error));
    }
    let began = Instant::now();
    let mut done = Vec::new();
    let mut told = Vec::new();
    let mut next = Some(first);
    let mut fate = Ok(());
    while let Some(mut job) = next {
        let ran = savepoint(connection, &mut *job);
        let failure = match ran {
            Ok((sent, failure)) => {
                told.extend(sent);
                failure
            }
            Err(error) => {
                fate = Err(error);
                None
            }
        };
        done.push((job, failure));
        let more = fate.is_ok() && done.len() < GROUP && began.elapsed() < GROUP_TIME;
        next = more.then(|| queue.try_pop()).flatten();
    }
    if fate.is_ok() {
        fate = control(connection, "COMMIT");
    }
    abandon(connection);
    if fate.is_ok() {
        send(notices, told);
    }
    for (job, failure) in done {
        job.answer(match failure {
            Some(error) => Err(error),
            None => fate.clone(),
        });
    }
}

type Ran = (Vec<Notice>, Option<StoreError>);

/// An error is one of the whole group, whose transaction is lost.
fn savepoint(connection: &Connection, job: &mut dyn Job) -> Result<Ran, StoreError> {
    control(connection, "SAVEPOINT job")?;
    let mut transaction = Transaction::new(Engine::Sqlite(connection), true);
    let outcome = job.run(&mut transaction);
    let (mut notices, failure) = transaction.finish();
    if outcome == Outcome::RollBack {
        notices.clear();
        if connection.is_autocommit() {
            // A full disk, for one, makes SQLite end the whole transaction.
            return Err(failure.unwrap_or(StoreError::Aborted));
        }
        control(connection, "ROLLBACK TO job")?;
    }
    control(connection, "RELEASE job")?;
    Ok((notices, failure))
}
