//! A control plane in a few lines, a clock that runs fast, and an executor that only says what it would do.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use capstan_agent::{
    Agent, AgentFolder, Api, Command, Control, Executor, Identity, NodeFacts, Options, Outcome,
    Progress, Registration, Report, Status, StepReport, register,
};
use capstan_client::{Connect, Stream};
use capstan_clock::Clock;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::{
    AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream,
};
use tokio::task::JoinHandle;

/// How much faster than real time the agent's clock runs.
const FASTER: u32 = 100;

#[derive(Debug)]
struct Fast(Instant);

#[async_trait]
impl Clock for Fast {
    fn now(&self) -> Timestamp {
        let start = Timestamp::from_second(1_800_000_000).unwrap();
        start + self.0.elapsed() * FASTER
    }

    async fn sleep_until(&self, time: Timestamp) {
        if let Ok(left) = Duration::try_from(time.duration_since(self.now())) {
            tokio::time::sleep(left / FASTER).await;
        }
    }
}

type Answer = Result<Value, (u16, &'static str)>;
type Rule = Box<dyn Fn(&str, &Value) -> Option<Answer> + Send>;

/// What the control plane knows and does.
#[derive(Default)]
pub struct Plane {
    messages: Mutex<VecDeque<Value>>,
    calls: Mutex<Vec<(String, Value)>>,
    /// Answers in the place of the usual ones.
    rule: Mutex<Option<Rule>>,
    node: Mutex<String>,
}

impl std::fmt::Debug for Plane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Plane")
    }
}

impl Plane {
    pub fn rule(&self, rule: impl Fn(&str, &Value) -> Option<Answer> + Send + 'static) {
        *self.rule.lock().unwrap() = Some(Box::new(rule));
    }

    pub fn no_rule(&self) {
        *self.rule.lock().unwrap() = None;
    }

    pub fn message_id(&self, command: &str) -> String {
        format!("aws.ssm.{command}.{}", self.node.lock().unwrap())
    }

    fn post(&self, id: &str, topic: &str, payload: &Value) {
        self.messages.lock().unwrap().push_back(json!({
            "MessageId": self.message_id(id), "Topic": topic, "Payload": payload.to_string(),
        }));
    }

    pub fn send(&self, command: &str) {
        let payload = json!({"CommandId": command, "DocumentName": "D", "DocumentContent": {}});
        self.post(command, "aws.ssm.sendCommand.x", &payload);
    }

    pub fn cancel(&self, command: &str) {
        let payload = json!({"CancelMessageId": self.message_id(command)});
        self.post("cancel", "aws.ssm.cancelCommand.x", &payload);
    }

    pub fn count(&self, operation: &str) -> usize {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(name, _)| name == operation).count()
    }

    /// The statuses that were told of a command, in their order.
    pub fn told(&self, command: &str) -> Vec<String> {
        let id = self.message_id(command);
        let calls = self.calls.lock().unwrap();
        calls
            .iter()
            .filter(|(name, input)| name == "SendReply" && input["MessageId"] == id.as_str())
            .map(|(_, input)| {
                let payload: Value =
                    serde_json::from_str(input["Payload"].as_str().unwrap()).unwrap();
                payload["documentStatus"].as_str().unwrap().to_owned()
            })
            .collect()
    }

    pub fn is_told(&self, command: &str, status: &str) -> bool {
        self.told(command).last().is_some_and(|last| last == status)
    }

    async fn answer(&self, operation: &str, input: Value) -> Answer {
        let ruled = self
            .rule
            .lock()
            .unwrap()
            .as_ref()
            .and_then(|rule| rule(operation, &input));
        if !matches!(ruled, Some(Err((500.., _)))) {
            self.calls
                .lock()
                .unwrap()
                .push((operation.to_owned(), input));
        }
        if let Some(answer) = ruled {
            return answer;
        }
        match operation {
            "RegisterManagedInstance" => {
                *self.node.lock().unwrap() = "mi-0123456789abcdef0".to_owned();
                Ok(json!({"InstanceId": "mi-0123456789abcdef0"}))
            }
            "RequestManagedInstanceRoleToken" => Ok(json!({
                "AccessKeyId": "ASIA", "SecretAccessKey": "s", "SessionToken": "t",
                "TokenExpirationDate": 1_900_000_000.5, "UpdateKeyPair": false,
            })),
            "GetMessages" => {
                for _ in 0..20 {
                    let found: Vec<Value> = self.messages.lock().unwrap().drain(..).collect();
                    if !found.is_empty() {
                        return Ok(json!({"Messages": found}));
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Ok(json!({"Messages": []}))
            }
            _ => Ok(json!({})),
        }
    }

    /// As much of HTTP as the client speaks.
    async fn serve(self: Arc<Self>, stream: DuplexStream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let (mut operation, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).await? == 0 {
                    return Ok(());
                }
                match line.trim_end().split_once(": ") {
                    None if line == "\r\n" => break,
                    Some(("x-amz-target", target)) => {
                        target
                            .rsplit('.')
                            .next()
                            .unwrap()
                            .clone_into(&mut operation);
                    }
                    Some(("content-length", text)) => length = text.parse().unwrap(),
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await?;
            let input = serde_json::from_slice(&body)?;
            let (status, body) = match self.answer(&operation, input).await {
                Ok(value) => (200, value),
                Err((status, code)) => (status, json!({"__type": code, "message": "no"})),
            };
            let body = body.to_string();
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).await?;
        }
    }
}

#[derive(Debug)]
struct Wire(Arc<Plane>);

#[async_trait]
impl Connect for Wire {
    async fn connect(&self, _: &str, _: u16) -> io::Result<Box<dyn Stream>> {
        let (near, far) = tokio::io::duplex(64 * 1024);
        tokio::spawn(Arc::clone(&self.0).serve(far));
        Ok(Box::new(near))
    }
}

/// Runs nothing. What it does of a command is in the command's id: `quick…`, `slow…`, `reboot…`.
#[derive(Debug, Default)]
pub struct Fake {
    pub runs: Mutex<Vec<String>>,
    begun: Mutex<BTreeSet<String>>,
    pub boots: AtomicUsize,
    pub restarts: AtomicUsize,
}

impl Fake {
    pub fn runs(&self, command: &str) -> usize {
        let runs = self.runs.lock().unwrap();
        runs.iter().filter(|id| *id == command).count()
    }
}

#[async_trait]
impl Executor for Fake {
    async fn run(&self, command: &Command, progress: Arc<Progress>, control: &Control) -> Outcome {
        self.runs.lock().unwrap().push(command.id.clone());
        let again = !self.begun.lock().unwrap().insert(command.id.clone());
        progress.steps([("one".to_owned(), "x:y".to_owned())]);
        progress.started(0, String::new());
        progress.output(0, false, b"so far");
        let slow = command.id.starts_with("slow") && !again;
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(60)), if slow => {}
            () = control.cancelled() => {
                return Outcome::Finished(Report::without_steps(Status::Cancelled, ""));
            }
            () = tokio::time::sleep(Duration::from_millis(50)) => {
                if slow {
                    std::future::pending::<()>().await;
                }
            }
        }
        let report = Report {
            status: Status::Success,
            trace: String::new(),
            steps: vec![StepReport {
                key: "one".to_owned(),
                status: Status::Success,
                ..StepReport::default()
            }],
        };
        if command.id.starts_with("reboot") && !again {
            Outcome::Restart(report)
        } else {
            Outcome::Finished(report)
        }
    }

    fn has_begun(&self, command: &str) -> bool {
        self.begun.lock().unwrap().contains(command)
    }

    fn boot(&self) -> String {
        self.boots.load(Ordering::SeqCst).to_string()
    }

    async fn restart_machine(&self) -> Result<(), String> {
        self.restarts.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// A node with its control plane.
pub struct World {
    pub plane: Arc<Plane>,
    pub executor: Arc<Fake>,
    pub folder: AgentFolder,
    pub options: Options,
    clock: Arc<Fast>,
    root: PathBuf,
}

impl World {
    pub async fn new(name: &str) -> Self {
        let root =
            std::env::temp_dir().join(format!("capstan-agent-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        let world = Self {
            plane: Arc::default(),
            executor: Arc::default(),
            folder: AgentFolder::open(&root).unwrap(),
            options: Options {
                facts: Arc::new(NodeFacts::default),
                ..Options::default()
            },
            clock: Arc::new(Fast(Instant::now())),
            root,
        };
        let registration = Registration {
            connector: Arc::new(Wire(Arc::clone(&world.plane))),
            clock: world.clock.clone(),
            ..Registration::new("http://plane.example", "id", "code")
        };
        register(&world.folder, &registration).await.unwrap();
        world
    }

    /// Starts an agent; aborting it is what `kill -9` is.
    pub fn start(&self) -> JoinHandle<()> {
        let api = Api::new(
            self.folder.clone(),
            Identity::load(&self.folder).unwrap(),
            Arc::new(Wire(Arc::clone(&self.plane))),
            self.clock.clone(),
            Some(1),
        );
        let agent = Agent::new(
            &self.folder,
            Arc::new(api.unwrap()),
            self.executor.clone(),
            self.options.clone(),
        )
        .unwrap();
        tokio::spawn(async move { agent.run(std::future::pending()).await.unwrap() })
    }

    /// Kills an agent, with all that it was doing.
    pub async fn kill(&self, agent: JoinHandle<()>) {
        agent.abort();
        let _ = agent.await;
    }

    /// Waits for something to be so.
    pub async fn until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        for _ in 0..1000 {
            if is(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!(
            "{what} did not come; {:?}",
            self.plane.calls.lock().unwrap()
        );
    }

    /// Waits until a message was fetched and what it leads to at once has happened.
    pub async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}
