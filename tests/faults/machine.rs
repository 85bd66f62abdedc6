//! What stands for the machine of a node: it starts documents, takes its time, and remembers, through all crashes of
//! the agent, what it did.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use capstan_agent::{
    AgentFolder, Command, Control, Executor, Outcome, Progress, Report, Status, StepReport,
};

use crate::chance::Chance;
use crate::ledger::Ledger;
use crate::network::elapsed;

/// The step of the document that is sent.
pub const STEP: &str = "aws:runShellScript";

/// What a node did of one command.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// When it was started, each time.
    pub starts: Vec<Duration>,
    /// In which life of the agent it was started last.
    life: u64,
    is_running: bool,
    /// How it ended, and in which life.
    pub ended: Option<(Report, u64)>,
}

/// How a document behaves, written into its first parameter.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// It takes between so many and so many seconds.
    pub seconds: (u64, u64),
    /// How often it fails.
    pub fails: u64,
}

impl Work {
    pub fn text(self, label: &str) -> String {
        let (least, most) = self.seconds;
        format!("{label} {least} {most} {}", self.fails)
    }

    fn parse(text: &str) -> (String, Self) {
        let mut words = text.split(' ');
        let label = words.next().unwrap().to_owned();
        let mut number = || words.next().unwrap().parse().unwrap();
        let work = Self {
            seconds: (number(), number()),
            fails: number(),
        };
        (label, work)
    }
}

/// A node's machine.
#[derive(Debug)]
pub struct Machine {
    pub index: usize,
    seed: u64,
    folder: AgentFolder,
    ledger: Arc<Ledger>,
    histories: Mutex<BTreeMap<String, History>>,
    life: Mutex<u64>,
}

/// Whatever ends a run.
struct Run<'a> {
    machine: &'a Machine,
    command: &'a str,
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let mut histories = self.machine.histories.lock().unwrap();
        histories.get_mut(self.command).unwrap().is_running = false;
    }
}

impl Machine {
    pub fn new(index: usize, seed: u64, folder: AgentFolder, ledger: Arc<Ledger>) -> Self {
        Self {
            index,
            seed,
            folder,
            ledger,
            histories: Mutex::default(),
            life: Mutex::default(),
        }
    }

    /// The agent is started.
    pub fn begin_life(&self) -> u64 {
        let mut life = self.life.lock().unwrap();
        *life += 1;
        *life
    }

    pub fn history(&self, command: &str) -> History {
        let histories = self.histories.lock().unwrap();
        histories.get(command).cloned().unwrap_or_default()
    }

    /// What is against the rules when a document is about to be started.
    fn objection(&self, command: &str, history: &History, life: u64) -> Option<&'static str> {
        let is_told = ["replies", "done"]
            .iter()
            .any(|name| self.folder.path(&format!("{name}/{command}.json")).exists());
        if is_told {
            return Some("after its final reply was written down");
        }
        if history.is_running {
            return Some("while it runs");
        }
        (!history.starts.is_empty() && history.life == life)
            .then_some("again although the agent did not crash meanwhile")
    }
}

#[async_trait]
impl Executor for Machine {
    async fn run(&self, command: &Command, progress: Arc<Progress>, control: &Control) -> Outcome {
        let id = command.id.as_str();
        let (label, work) = Work::parse(command.parameters["commands"][0].as_str().unwrap());
        let life = *self.life.lock().unwrap();
        {
            let mut histories = self.histories.lock().unwrap();
            let history = histories.entry(id.to_owned()).or_default();
            if let Some(objection) = self.objection(id, history, life) {
                self.ledger.violated(format!(
                    "{label} was started on node {} {objection}",
                    self.index
                ));
            }
            history.life = life;
            // As the runner's journal: what is over is not done again.
            if let Some((report, _)) = &history.ended {
                return Outcome::Finished(report.clone());
            }
            history.is_running = true;
            history.starts.push(elapsed());
        }
        let _run = Run {
            machine: self,
            command: id,
        };
        self.ledger.started(&label, self.index);
        progress.steps([(STEP.to_owned(), STEP.to_owned())]);
        progress.started(0, String::new());
        let mut chance = Chance::new(self.seed, &format!("{label} on {}", self.index));
        let takes = chance.seconds(work.seconds.0..=work.seconds.1);
        let fails = chance.percent(work.fails);
        progress.output(0, false, b"begun\n");
        let status = tokio::select! {
            biased;
            () = control.cancelled() => Status::Cancelled,
            () = tokio::time::sleep(takes) => if fails { Status::Failed } else { Status::Success },
        };
        let report = Report {
            status,
            trace: String::new(),
            steps: vec![StepReport {
                key: STEP.to_owned(),
                action: STEP.to_owned(),
                status,
                code: i32::from(status != Status::Success),
                stdout: format!("begun\n{label} is {status:?} on node {}\n", self.index),
                ..StepReport::default()
            }],
        };
        progress.finished(0, report.steps[0].clone());
        self.ledger.ended(&label, self.index, status.word());
        let mut histories = self.histories.lock().unwrap();
        histories.get_mut(id).unwrap().ended = Some((report.clone(), life));
        Outcome::Finished(report)
    }

    fn has_begun(&self, command: &str) -> bool {
        !self.history(command).starts.is_empty()
    }

    fn boot(&self) -> String {
        String::new()
    }

    async fn restart_machine(&self) -> Result<(), String> {
        Err("no document asks for it".to_owned())
    }
}
