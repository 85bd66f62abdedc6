//! The clock and the network of the simulation, as the server and the agents take them from outside.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use capstan_client::{Connect, Stream};
use capstan_clock::Clock;
use capstan_server::Listener;
use jiff::Timestamp;
use turmoil::net::{TcpListener, TcpStream};

/// When each simulation begins.
pub const BEGINNING: i64 = 1_800_000_000;
const PORT: u16 = 80;

/// The time of the simulation, whatever became of the host meanwhile.
#[derive(Debug, Clone, Copy)]
pub struct SimulatedClock;

/// How long the simulation goes on, as the host that runs now sees it.
pub fn elapsed() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

#[async_trait]
impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(BEGINNING).unwrap() + elapsed()
    }

    async fn sleep_until(&self, time: Timestamp) {
        if let Ok(left) = Duration::try_from(time.duration_since(self.now())) {
            tokio::time::sleep(left).await;
        }
    }
}

/// Connects to each of some hosts in turn, and to the next if one cannot be reached.
#[derive(Debug)]
pub struct InTurn {
    hosts: Vec<String>,
    turn: AtomicUsize,
}

impl InTurn {
    pub fn new(hosts: impl IntoIterator<Item = String>, first: usize) -> Self {
        Self {
            hosts: hosts.into_iter().collect(),
            turn: AtomicUsize::new(first),
        }
    }
}

pub async fn dial(host: &str) -> io::Result<TcpStream> {
    TcpStream::connect((host, PORT)).await
}

#[async_trait]
impl Connect for InTurn {
    async fn connect(&self, _: &str, _: u16) -> io::Result<Box<dyn Stream>> {
        let turn = self.turn.fetch_add(1, Ordering::SeqCst);
        let mut last = io::ErrorKind::NotConnected.into();
        for index in turn..turn + self.hosts.len() {
            match dial(&self.hosts[index % self.hosts.len()]).await {
                Ok(stream) => return Ok(Box::new(stream)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// Listens on the host that runs now.
pub struct Simulated(TcpListener);

impl Simulated {
    pub async fn bind() -> io::Result<Self> {
        Ok(Self(TcpListener::bind(("0.0.0.0", PORT)).await?))
    }
}

impl Listener for Simulated {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<TcpStream> {
        Ok(self.0.accept().await?.0)
    }
}
