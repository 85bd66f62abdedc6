//! The agent as a whole.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;

use crate::api::Api;
use crate::backoff::{Backoff, pause};
use crate::commands::{Commands, Limits};
use crate::deliver::Deliveries;
use crate::error::AgentError;
use crate::executor::Executor;
use crate::folder::AgentFolder;
use crate::heartbeat::{self, Facts, NodeFacts};
use crate::message;
use crate::records::Records;
use crate::status::StatusKeeper;

/// An empty answer that came sooner than this was not held: the server stops, or something in between answers for it.
const HELD: Duration = Duration::from_secs(5);

/// How many and how long.
#[derive(Clone)]
pub struct Options {
    /// Documents that run at once.
    pub concurrency: usize,
    /// Commands that are accepted before their turn comes.
    pub buffer: usize,
    /// How often the output of a running step is sent, if there is more.
    pub report_every: Duration,
    /// How often the node says that it is there.
    pub heartbeat_every: Duration,
    /// How long a cancelled command may take before it is killed.
    pub cancel_grace: Duration,
    /// How long commands are waited for when the agent stops.
    pub stop_grace: Duration,
    /// How long it is tried to deliver a result, and how long it is known that a command is done.
    pub keep_replies: Duration,
    /// How long to wait, at least and at most, when an operator has to do something first.
    pub seldom: (Duration, Duration),
    /// What the control plane is told of the machine.
    pub facts: Arc<dyn Fn() -> NodeFacts + Send + Sync>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("concurrency", &self.concurrency)
            .field("buffer", &self.buffer)
            .finish_non_exhaustive()
    }
}

impl Default for Options {
    fn default() -> Self {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        Self {
            concurrency: 5,
            buffer: 5,
            report_every: Duration::from_secs(3),
            heartbeat_every: minutes(5),
            cancel_grace: minutes(2),
            stop_grace: Duration::from_secs(20),
            keep_replies: minutes(7 * 24 * 60),
            seldom: (minutes(25), minutes(30)),
            facts: Arc::new(NodeFacts::detect),
        }
    }
}

/// A node's agent. One at a time has the node's folder.
pub struct Agent {
    api: Arc<Api>,
    records: Arc<Records>,
    deliveries: Arc<Deliveries>,
    commands: Arc<Commands>,
    status: StatusKeeper,
    facts: Facts,
    options: Options,
    when_idle: Box<dyn Fn() + Send + Sync>,
    _lock: File,
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent")
            .field("node", &self.api.node_id())
            .finish_non_exhaustive()
    }
}

/// Whatever ends it, nothing is left behind that goes on by itself.
impl Drop for Agent {
    fn drop(&mut self) {
        self.commands.stop();
    }
}

impl Agent {
    /// Takes the folder.
    ///
    /// # Errors
    /// When another agent has it.
    pub fn new(
        folder: &AgentFolder,
        api: Arc<Api>,
        executor: Arc<dyn Executor>,
        options: Options,
    ) -> Result<Self, AgentError> {
        let lock = folder.lock()?.ok_or_else(|| {
            AgentError::Registration(format!(
                "another agent runs with {}",
                folder.path("").display()
            ))
        })?;
        let records = Arc::new(Records::new(folder.clone()));
        let deliveries = Arc::new(Deliveries::default());
        let limits = Limits {
            concurrency: options.concurrency,
            buffer: options.buffer,
            report_every: options.report_every,
            cancel_grace: options.cancel_grace,
        };
        Ok(Self {
            status: StatusKeeper::new(folder.clone(), Arc::clone(&api.clock)),
            commands: Commands::new(
                Arc::clone(&api),
                Arc::clone(&records),
                Arc::clone(&deliveries),
                executor,
                limits,
            ),
            facts: Arc::clone(&options.facts),
            api,
            records,
            deliveries,
            options,
            when_idle: Box::new(|| ()),
            _lock: lock,
        })
    }

    /// What to do when nothing was to be done for the time of a poll, once each time.
    #[must_use]
    pub fn when_idle(mut self, act: impl Fn() + Send + Sync + 'static) -> Self {
        self.when_idle = Box::new(act);
        self
    }

    /// Runs until `stop` is ready, and a little longer for the commands that run then. What is not over by then is
    /// gone on with at the next start.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), AgentError> {
        let keep = SignedDuration::try_from(self.options.keep_replies);
        self.records
            .forget(self.api.clock.now(), keep.unwrap_or(SignedDuration::MAX))?;
        self.commands.take_up()?;
        let deliver = self
            .deliveries
            .run(&self.api, &self.records, self.options.keep_replies);
        let work = async {
            let beat = heartbeat::run(
                &self.api,
                &self.facts,
                &self.status,
                self.options.heartbeat_every,
                self.options.seldom,
            );
            tokio::select! {
                biased;
                () = stop => {}
                () = beat => {}
                () = self.poll() => {}
            }
            let end = async {
                self.commands.idle().await;
                self.deliveries.done(&self.records).await;
            };
            tokio::select! {
                biased;
                () = end => {}
                () = pause(&*self.api.clock, self.options.stop_grace) => {
                    tracing::info!("what is not over is gone on with at the next start");
                }
            }
        };
        // In the same order each time, here and in what it waits for: a simulation that begins alike goes alike.
        tokio::select! {
            biased;
            () = work => {}
            () = deliver => {}
        }
        Ok(())
    }

    /// Asks for messages, one poll after the other.
    async fn poll(&self) {
        let (clock, chance) = (&*self.api.clock, &self.api.chance);
        let mut backoff = Backoff::default();
        let mut forgotten = clock.now();
        let mut is_idle = false;
        loop {
            let asked = clock.now();
            match self.api.messages().await {
                Ok(messages) => {
                    self.status.online();
                    let took = clock.now().duration_since(asked).unsigned_abs();
                    if messages.is_empty() && took < HELD {
                        pause(clock, backoff.next(chance)).await;
                    } else {
                        backoff.reset();
                    }
                    let was_idle = is_idle;
                    is_idle = messages.is_empty() && self.commands.are_none();
                    if is_idle && !was_idle {
                        (self.when_idle)();
                    }
                    for message in messages {
                        self.commands
                            .take(message::read(message, self.api.node_id()));
                    }
                }
                Err(error) => {
                    self.status.failed(&error);
                    let (least, most) = self.options.seldom;
                    let wait = match error.is_lasting() {
                        true => chance.between(least, most),
                        false => backoff.next(chance),
                    };
                    pause(clock, wait).await;
                }
            }
            let day = SignedDuration::from_hours(24);
            if clock.now().duration_since(forgotten) > day {
                forgotten = clock.now();
                let keep = SignedDuration::try_from(self.options.keep_replies)
                    .unwrap_or(SignedDuration::MAX);
                if let Err(error) = self.records.forget(forgotten, keep) {
                    tracing::warn!(%error, "what is done cannot be forgotten");
                }
            }
        }
    }
}
