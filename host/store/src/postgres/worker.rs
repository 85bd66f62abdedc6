//! A thread with a connection that runs transactions, and tries them again when that can help.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use super::CHANNEL;
use super::connect::Connector;
use super::outage::PATIENCE;
use super::session::Session;
use crate::job::{Job, Outcome};
use crate::queue::Queue;
use crate::transaction::Engine;
use crate::{Notice, Param, StoreError, Transaction};

/// How often a transaction that got in another's way is tried.
const TRIES: u32 = 20;
const FIRST_REST: Duration = Duration::from_millis(5);
const LONGEST_REST: Duration = Duration::from_secs(1);

/// What a worker's transactions are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Read => "store-reader",
            Kind::Write => "store-writer",
        }
    }

    /// What is read is of one moment, as in SQLite.
    fn begin(self) -> &'static str {
        match self {
            Kind::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            Kind::Write => "BEGIN ISOLATION LEVEL READ COMMITTED",
        }
    }
}

/// Runs what comes until the queue is closed and empty.
pub(super) fn run(kind: Kind, connector: &Connector, queue: &Queue<Box<dyn Job>>) {
    let mut worker = Worker {
        kind,
        connector,
        queue,
        session: None,
    };
    while let Some(mut job) = queue.pop() {
        let fate = worker.perform(&mut *job);
        job.answer(fate);
    }
}

struct Worker<'a> {
    kind: Kind,
    connector: &'a Connector,
    queue: &'a Queue<Box<dyn Job>>,
    session: Option<Session>,
}

/// Why an attempt did not succeed.
enum Failed {
    /// It was in another's way.
    Conflict(StoreError),
    /// The connection was lost before anything could be committed.
    Lost(StoreError),
    /// It would fail again, or may not be tried again.
    Finally(StoreError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Failed {
        match error {
            StoreError::Conflict(_) => Failed::Conflict(error),
            StoreError::Unavailable(_) => Failed::Lost(error),
            _ => Failed::Finally(error),
        }
    }
}

impl Worker<'_> {
    fn perform(&mut self, job: &mut dyn Job) -> Result<(), StoreError> {
        let began = Instant::now();
        let mut rest = FIRST_REST;
        let mut tries = 0;
        loop {
            tries += 1;
            let error = match self.attempt(job) {
                Ok(()) => return Ok(()),
                Err(Failed::Finally(error)) => return Err(error),
                Err(Failed::Conflict(error)) if tries >= TRIES => return Err(error),
                Err(Failed::Lost(error))
                    if began.elapsed() > PATIENCE
                        || self.connector.outage.is_long()
                        || self.queue.is_closed() =>
                {
                    return Err(error);
                }
                Err(Failed::Conflict(error) | Failed::Lost(error)) => error,
            };
            tracing::debug!(%error, tries, "a transaction is tried again");
            if tries > 1 {
                self.queue.rest(some_of(rest));
                rest = (rest * 2).min(LONGEST_REST);
            }
        }
    }

    fn attempt(&mut self, job: &mut dyn Job) -> Result<(), Failed> {
        let session = match self.session.take() {
            Some(session) if !session.is_closed() => session,
            _ => self.connect()?,
        };
        let session = self.session.insert(session);
        let ended = transaction(self.kind, session, job);
        if session.is_closed() || matches!(ended, Err(Failed::Lost(_))) {
            self.session = None;
        }
        ended
    }

    fn connect(&self) -> Result<Session, Failed> {
        match self.connector.outage.known() {
            Some(why) => Err(Failed::Lost(StoreError::Unavailable(why))),
            None => self
                .connector
                .connect()
                .map_err(|error| Failed::Lost(StoreError::Unavailable(error.to_string()))),
        }
    }
}

/// Runs a job in one transaction.
fn transaction(kind: Kind, session: &mut Session, job: &mut dyn Job) -> Result<(), Failed> {
    session.batch(kind.begin())?;
    let mut transaction = Transaction::new(Engine::Postgres(session), kind == Kind::Write);
    let outcome = job.run(&mut transaction);
    let (notices, failure) = transaction.finish();
    let ready = match (outcome, failure) {
        (_, Some(error)) => Err(error),
        (Outcome::RollBack, None) => {
            // The work's own refusal, or its panic: that is its answer.
            let _ = session.roll_back();
            return Ok(());
        }
        (Outcome::Commit, None) => notices
            .iter()
            .try_for_each(|notice| notify(session, notice)),
    };
    if let Err(error) = ready {
        return match session.roll_back() {
            // The server went away, and what the statement said may be the least of it.
            Err(StoreError::Unavailable(reason)) => {
                Err(Failed::Lost(StoreError::Unavailable(reason)))
            }
            _ => Err(error.into()),
        };
    }
    session.batch("COMMIT").map_err(|error| match error {
        // Nothing was written that could be stored or not.
        StoreError::Unavailable(_) if kind == Kind::Read => Failed::Lost(error),
        StoreError::Unavailable(_) => Failed::Finally(StoreError::Unknown),
        StoreError::Conflict(_) => Failed::Conflict(error),
        error if session.is_closed() && kind == Kind::Write => {
            tracing::warn!(%error, "the connection broke while committing");
            Failed::Finally(StoreError::Unknown)
        }
        error => Failed::Finally(error),
    })
}

fn notify(session: &mut Session, notice: &Notice) -> Result<(), StoreError> {
    let payload = format!("{}\n{}", notice.channel, notice.payload);
    let values = [Param::Text(CHANNEL), Param::Text(&payload)];
    session
        .execute("SELECT pg_notify($1, $2)", &values)
        .map(drop)
}

/// Between a half and the whole, so that those that met do not meet again.
fn some_of(time: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) % 512;
    time / 2 + time * u32::try_from(random).unwrap_or(0) / 1024
}
