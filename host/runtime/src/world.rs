//! A scripted world in place of the machine: for those who test an action.
//!
//! Everything is checked as it is on a node: grants, argument templates, limits, the places of secrets. Only what
//! comes after the checks is another thing. Files lie below one folder, programs and servers are asked of the
//! [`World`], and the clock stands still but for what is waited for. Nodes have no such world.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

mod clock;

pub use clock::WorldClock;
pub(crate) use clock::{link_clock, set_up};

/// Answers for a step in place of the machine.
pub trait World: Debug + Send + Sync + 'static {
    /// The folder below which the files of the step lie, `/etc/hosts` as `etc/hosts`. It has no links in its path.
    fn root(&self) -> &Path;
    /// The time.
    fn clock(&self) -> &Arc<WorldClock>;
    /// Whether a program of the manifest is there, by the name of its capability.
    fn has_program(&self, name: &str) -> bool;
    /// Runs a program to its end.
    ///
    /// # Errors
    /// See [`NoAnswer`].
    fn run(&self, command: WorldCommand) -> Result<WorldEnd, NoAnswer>;
    /// What a server answers to the next request of this kind.
    ///
    /// # Errors
    /// See [`NoAnswer`].
    fn respond(&self, method: &str, url: &str) -> Result<WorldResponse, NoAnswer>;
    /// A request as it was sent, once [`respond`](Self::respond) has said that there is an answer.
    fn sent(&self, request: WorldRequest);
}

/// A command that was checked. Secrets are in their places.
#[derive(Debug, Clone)]
pub struct WorldCommand {
    /// The name of its capability.
    pub name: String,
    /// Its path.
    pub program: String,
    /// Without the program's own name.
    pub arguments: Vec<String>,
    /// What the action added, and what the step has from its host.
    pub environment: BTreeMap<String, String>,
    /// Absolute.
    pub directory: String,
    /// None is the end of the file at once.
    pub stdin: Option<Vec<u8>>,
    /// Its own.
    pub timeout: Option<Duration>,
}

/// How a program ended.
#[derive(Debug, Clone)]
pub struct WorldEnd {
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it printed to standard error.
    pub stderr: Vec<u8>,
    /// How it ended.
    pub exit: WorldExit,
    /// How long it took, in milliseconds.
    pub wall_millis: u64,
}

/// The end of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorldExit {
    /// By itself.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// By the time-out of its command.
    TimedOut,
}

/// A request as it would have gone over the wire. Secrets are in their places.
#[derive(Debug, Clone)]
pub struct WorldRequest {
    /// Upper case.
    pub method: String,
    /// Absolute.
    pub url: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// All of it.
    pub body: Vec<u8>,
}

/// A server's answer.
#[derive(Debug, Clone)]
pub struct WorldResponse {
    /// 100 to 999.
    pub status: u16,
    /// Names and values that HTTP allows.
    pub headers: Vec<(String, String)>,
    /// All of it.
    pub body: Vec<u8>,
}

/// Why a program or a server does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// The script has nothing to say of it; in words for whoever wrote the script.
    Unscripted(String),
    /// The program is not there.
    Absent,
    /// The server cannot be reached, for this reason.
    Fails(String),
    /// The server does not answer in time.
    TimesOut,
}

/// Where a path of a step lies on this machine.
pub(crate) fn real<'a>(world: Option<&Arc<dyn World>>, path: &'a Path) -> Cow<'a, Path> {
    match world {
        None => Cow::Borrowed(path),
        Some(world) => Cow::Owned(below(world.root(), path)),
    }
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// The step's name for a path on this machine; none for what lies outside of its world.
pub(crate) fn seen<'a>(world: Option<&Arc<dyn World>>, path: &'a Path) -> Option<Cow<'a, Path>> {
    match world {
        None => Some(Cow::Borrowed(path)),
        Some(world) => {
            let inner = path.strip_prefix(world.root()).ok()?;
            Some(Cow::Owned(Path::new("/").join(inner)))
        }
    }
}
