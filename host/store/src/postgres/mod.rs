//! PostgreSQL: threads with a connection each that take work from a queue, and one that listens.

mod connect;
mod convert;
mod listener;
mod migrate;
mod outage;
mod session;
mod worker;

use std::sync::Arc;
use std::thread;

use tokio::sync::{broadcast, mpsc};

use self::connect::Connector;
pub(crate) use self::session::Session;
use self::worker::Kind;
use crate::job::Job;
use crate::migrate::Migration;
use crate::queue::Queue;
use crate::{Location, Notice, Options, StoreError};

/// All notices go through one channel of PostgreSQL, whose payload begins with the name of ours.
const CHANNEL: &str = "capstan";

/// A database on a server.
#[derive(Debug)]
pub(crate) struct Postgres {
    writers: Arc<Queue<Box<dyn Job>>>,
    readers: Arc<Queue<Box<dyn Job>>>,
    /// Nothing ever comes through it; closing it ends the listener.
    listener: Arc<Queue<()>>,
}

impl Postgres {
    pub(crate) fn open(
        location: &Location,
        url: &str,
        migrations: &[Migration],
        options: &Options,
        notices: broadcast::Sender<Notice>,
        alive: &mpsc::Sender<()>,
    ) -> Result<Postgres, StoreError> {
        let connector = Connector::new(location, url)?;
        let (connector, listening) = thread::scope(|scope| {
            // The client may not be used in a thread that runs asynchronous tasks, as the caller's may.
            let prepare = scope.spawn(|| {
                migrate::apply(&connector, migrations)?;
                let listening = listener::listen(&connector)?;
                Ok((connector, listening))
            });
            prepare
                .join()
                .unwrap_or_else(|_| Err(StoreError::Unavailable("its preparation panicked".into())))
        })?;
        let postgres = Postgres {
            writers: Arc::new(Queue::new()),
            readers: Arc::new(Queue::new()),
            listener: Arc::new(Queue::new()),
        };
        let start = || {
            for (kind, queue, count) in [
                (Kind::Write, &postgres.writers, options.writers),
                (Kind::Read, &postgres.readers, options.readers),
            ] {
                for _ in 0..count.max(1) {
                    let (connector, queue) = (connector.clone(), Arc::clone(queue));
                    spawn(kind.name(), alive, move || {
                        worker::run(kind, &connector, &queue)
                    })?;
                }
            }
            let (connector, closed) = (connector.clone(), Arc::clone(&postgres.listener));
            spawn("store-listener", alive, move || {
                listener::run(listening, &connector, &closed, &notices)
            })
        };
        start().inspect_err(|_| postgres.close())?;
        Ok(postgres)
    }

    pub(crate) fn writers(&self) -> &Queue<Box<dyn Job>> {
        &self.writers
    }

    pub(crate) fn readers(&self) -> &Queue<Box<dyn Job>> {
        &self.readers
    }

    /// Takes no more work.
    pub(crate) fn close(&self) {
        self.writers.close();
        self.readers.close();
        self.listener.close();
    }
}

fn spawn(
    name: &str,
    alive: &mpsc::Sender<()>,
    run: impl FnOnce() + Send + 'static,
) -> Result<(), StoreError> {
    let alive = alive.clone();
    let run = move || {
        run();
        drop(alive);
    };
    match thread::Builder::new().name(name.into()).spawn(run) {
        Ok(_) => Ok(()),
        Err(error) => Err(StoreError::Unavailable(format!(
            "no thread could be started: {error}"
        ))),
    }
}
