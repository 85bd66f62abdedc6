//! What each simulation begins with: a database that knows some nodes, and these nodes' folders. Making keys takes long, so that
//! it is done once and copied.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use capstan_agent::{AgentFolder, Registration, register};
use capstan_client::{Connect, Credentials, Stream};
use capstan_clock::Clock;
use capstan_server::{Config, MasterKey, Role, Server, migrations};
use capstan_store::{Location, Options, Store};
use jiff::Timestamp;
use serde_json::json;
use tokio::task::JoinSet;

use crate::network::{BEGINNING, SimulatedClock};

/// The nodes of a simulation.
pub const NODES: usize = 6;
/// Where agents believe that their control plane is.
const ENDPOINT: &str = "http://control-plane";

/// A folder that is there as long as this is.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        // In memory where there is such a place: the agents sync what they write.
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() {
            memory
        } else {
            std::env::temp_dir()
        };
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let path = parent.join(format!("capstan-faults-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A clock that stands.
#[derive(Debug)]
pub struct Still(pub Timestamp);

#[async_trait]
impl Clock for Still {
    fn now(&self) -> Timestamp {
        self.0
    }

    async fn sleep_until(&self, _: Timestamp) {
        std::future::pending().await
    }
}

/// Connects within the process.
#[derive(Debug)]
struct Near(Arc<Server>);

#[async_trait]
impl Connect for Near {
    async fn connect(&self, _: &str, _: u16) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(capstan_server::connect(&self.0)))
    }
}

/// A database, the folders of its nodes, and an operator's key.
#[derive(Debug)]
pub struct Place {
    folder: Folder,
    master: String,
    pub operator: Credentials,
    /// The nodes' ids, in their order.
    pub nodes: Vec<String>,
}

impl Place {
    /// A copy of the one that is made at first.
    pub fn new() -> Self {
        static MADE: OnceLock<Place> = OnceLock::new();
        let made = MADE.get_or_init(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build();
            runtime.unwrap().block_on(Self::make())
        });
        let folder = Folder::new();
        copy(&made.folder.0, &folder.0).unwrap();
        Self {
            folder,
            master: made.master.clone(),
            operator: made.operator.clone(),
            nodes: made.nodes.clone(),
        }
    }

    async fn make() -> Self {
        let folder = Folder::new();
        let mut place = Self {
            folder,
            master: BASE64_STANDARD.encode([7; 32]),
            operator: Credentials {
                access_key_id: String::new(),
                secret_access_key: String::new(),
                session_token: None,
            },
            nodes: Vec::new(),
        };
        let clock = Arc::new(Still(Timestamp::from_second(BEGINNING).unwrap()));
        let server = place.server(clock.clone()).await;
        let key = server.create_access_key("operator", Role::Operator);
        let key = key.await.unwrap();
        place.operator.access_key_id = key.key.id;
        place.operator.secret_access_key = key.secret;
        let made = server.call_own(
            "CreateActivation",
            json!({"IamRole": "nodes", "RegistrationLimit": NODES}),
        );
        let made = made.await.unwrap();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        let mut tasks = JoinSet::new();
        for index in 0..NODES {
            let path = place.folder.0.join(format!("new-{index}"));
            let registration = Registration {
                connector: Arc::new(Near(server.clone())),
                clock: clock.clone(),
                ..Registration::new(ENDPOINT, text("ActivationId"), text("ActivationCode"))
            };
            tasks.spawn(async move {
                let folder = AgentFolder::open(&path).unwrap();
                let identity = register(&folder, &registration).await.unwrap();
                (identity.node_id, path)
            });
        }
        let mut nodes = tasks.join_all().await;
        // Commands go to their nodes in the order of their ids, which are chance.
        nodes.sort();
        for (index, (node, path)) in nodes.into_iter().enumerate() {
            fs::rename(path, place.state(index)).unwrap();
            place.nodes.push(node);
        }
        place
    }

    fn state(&self, node: usize) -> PathBuf {
        self.folder.0.join(format!("node-{node}"))
    }

    /// The folder of a node's agent.
    pub fn agent(&self, node: usize) -> AgentFolder {
        AgentFolder::open(&self.state(node)).unwrap()
    }

    /// A server on the database, which works without threads.
    pub async fn server(&self, clock: Arc<dyn Clock>) -> Arc<Server> {
        let location = Location::Sqlite(self.folder.0.join("server.db"));
        let options = Options {
            inline: true,
            ..Options::default()
        };
        let store = Store::open(&location, &migrations(), options).unwrap();
        let master = MasterKey::parse(&self.master, "the test").unwrap();
        Server::new(Config::default(), store, &master, clock)
            .await
            .unwrap()
    }

    /// A server in the simulation.
    pub async fn simulated(&self) -> Arc<Server> {
        self.server(Arc::new(SimulatedClock)).await
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir(&target)?;
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
