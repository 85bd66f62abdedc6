//! What is to happen in a simulation: what an operator sends, and what goes wrong when.

use std::time::Duration;

use crate::chance::Chance;
use crate::machine::Work;
use crate::place::NODES;

/// A command that the operator sends.
#[derive(Debug, Clone)]
pub struct Order {
    pub at: Duration,
    pub label: String,
    pub concurrency: &'static str,
    pub errors: &'static str,
    /// Seconds in which it has to begin.
    pub timeout: u64,
    /// Seconds that it may take then.
    pub execution: u64,
    pub work: Work,
    /// It is cancelled after this time, everywhere or on one node.
    pub cancelled: Option<(Duration, Option<usize>)>,
}

impl Order {
    /// One for all nodes at once, whose documents take a few seconds and go well.
    pub fn new(at: Duration, label: &str) -> Self {
        Self {
            at,
            label: label.to_owned(),
            concurrency: "100%",
            errors: "0",
            timeout: 3600,
            execution: 3600,
            work: Work {
                seconds: (0, 8),
                fails: 0,
            },
            cancelled: None,
        }
    }

    /// The number or share of the nodes.
    fn of(limit: &str) -> usize {
        match limit.strip_suffix('%') {
            Some(percent) => percent.parse::<usize>().unwrap() * NODES / 100,
            None => limit.parse().unwrap(),
        }
    }

    pub fn concurrency(&self) -> usize {
        Self::of(self.concurrency).max(1)
    }

    pub fn errors(&self) -> u64 {
        Self::of(self.errors) as u64
    }
}

/// What goes wrong, or is well again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// What is sent between a node and the servers is lost.
    Partition(usize),
    /// What a node sends is lost; it still hears the servers.
    Mute(usize),
    Repair(usize),
    /// What is sent between a node and the servers waits.
    Hold(usize),
    Release(usize),
    KillServer(usize),
    StartServer(usize),
    KillAgent(usize),
    StartAgent(usize),
}

/// What is to happen in a simulation.
#[derive(Debug, Clone)]
pub struct Story {
    pub servers: usize,
    /// Agents reach the servers through one that repeats, delays and loses.
    pub relayed: bool,
    /// How often a link breaks when something is sent over it.
    pub loss: f64,
    pub orders: Vec<Order>,
    pub faults: Vec<(Duration, Fault)>,
    /// From here on nothing goes wrong.
    pub healed: Duration,
}

impl Story {
    pub fn new(orders: Vec<Order>, healed: Duration) -> Self {
        Self {
            servers: 1,
            relayed: false,
            loss: 0.0,
            orders,
            faults: Vec::new(),
            healed,
        }
    }

    /// Something goes wrong again and again, for a while each time, until all is healed.
    pub fn again_and_again(
        &mut self,
        chance: &mut Chance,
        every: (u64, u64),
        lasts: (u64, u64),
        fault: Fault,
        remedy: Fault,
    ) {
        let mut at = chance.seconds(BEGIN.as_secs()..=BEGIN.as_secs() + every.1);
        loop {
            let end = at + chance.millis(lasts.0..=lasts.1);
            if end >= self.healed {
                return;
            }
            self.faults.push((at, fault.clone()));
            self.faults.push((end, remedy.clone()));
            at = end + chance.seconds(every.0..=every.1);
        }
    }
}

/// By now all nodes are there, and the first command is sent.
pub const BEGIN: Duration = Duration::from_secs(5);
