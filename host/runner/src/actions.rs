//! The actions that there are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use capstan_plugins::{Installed, OpenComponent, PluginError, PluginStore, Signature};
use capstan_policy::{BUILT_IN_PUBLISHER, Manifest, Policy, Publisher};
use capstan_runtime::worker::ensure_compiled;
use capstan_runtime::{CompileCache, ComponentInfo, check_acceptable, inspect};

use crate::error::RunnerError;
use crate::state::StateFolder;

/// A component that is a part of the program: its name and its bytes.
pub type BuiltIn = (&'static str, &'static [u8]);

/// An action's component.
#[derive(Debug)]
pub struct Action {
    /// The name of its crate, its file, or the plugin.
    pub source: String,
    /// Whether it is a part of the program.
    pub built_in: bool,
    content: Content,
    signature: Option<String>,
    info: OnceLock<Result<ComponentInfo, Problem>>,
    publisher: OnceLock<Judged>,
}

#[derive(Debug)]
enum Content {
    BuiltIn(&'static [u8]),
    File(Vec<u8>),
    /// Read when it is used: a component can have many megabytes.
    Installed {
        plugin: Box<Installed>,
        file: OpenComponent,
        read: OnceLock<Result<Vec<u8>, Problem>>,
    },
}

/// What is wrong with a component, to be told at every use.
#[derive(Debug, Clone)]
struct Problem {
    refused: bool,
    message: String,
}

/// The publisher of a component, by a policy's publishers.
#[derive(Debug)]
struct Judged {
    by: BTreeMap<String, Publisher>,
    publisher: Result<Option<String>, Problem>,
}

/// All actions of a node.
#[derive(Debug, Default)]
pub struct ActionRegistry {
    /// Built in, or named for one run.
    actions: Vec<Action>,
    installed: Vec<Action>,
}

impl Problem {
    fn new(what: &str, error: &PluginError) -> Self {
        Self {
            refused: matches!(error, PluginError::Refused(_)),
            message: format!("{what}: {error}"),
        }
    }
}

impl From<Problem> for RunnerError {
    fn from(problem: Problem) -> Self {
        if problem.refused {
            Self::Refused(problem.message)
        } else {
            Self::Invalid(problem.message)
        }
    }
}

impl Action {
    fn new(source: String, content: Content, signature: Option<String>) -> Self {
        Self {
            source,
            built_in: matches!(content, Content::BuiltIn(_)),
            content,
            signature,
            info: OnceLock::new(),
            publisher: OnceLock::new(),
        }
    }

    /// What it says of itself; read when it is first asked for.
    ///
    /// # Errors
    /// When the file is no component, has no proper manifest, or is not what was installed.
    pub fn info(&self) -> Result<&ComponentInfo, RunnerError> {
        let info = self.info.get_or_init(|| {
            inspect(self.read()?).map_err(|error| Problem {
                refused: false,
                message: format!("the component {}: {error}", self.source),
            })
        });
        Ok(info.as_ref().map_err(Problem::clone)?)
    }

    /// Its manifest.
    ///
    /// # Errors
    /// As for `info`.
    pub fn manifest(&self) -> Result<&Manifest, RunnerError> {
        Ok(&self.info()?.manifest)
    }

    /// The component.
    ///
    /// # Errors
    /// When it is not what was installed.
    pub fn wasm(&self) -> Result<&[u8], RunnerError> {
        Ok(self.read()?)
    }

    fn read(&self) -> Result<&[u8], Problem> {
        match &self.content {
            Content::BuiltIn(wasm) => Ok(wasm),
            Content::File(wasm) => Ok(wasm),
            Content::Installed { file, read, .. } => read
                .get_or_init(|| {
                    let what = format!("the {}", self.source);
                    file.read().map_err(|error| Problem::new(&what, &error))
                })
                .as_deref()
                .map_err(Problem::clone),
        }
    }

    /// Every name that it serves. A component that is damaged serves nothing, and keeps nobody from the others.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let (of_lock, of_manifest) = match &self.content {
            Content::Installed { plugin, .. } => (Some(plugin.names()), None),
            _ => (None, self.manifest().ok().map(Manifest::names)),
        };
        of_lock
            .into_iter()
            .flatten()
            .chain(of_manifest.into_iter().flatten())
    }

    /// One sentence for people.
    #[must_use]
    pub fn description(&self) -> &str {
        match &self.content {
            Content::Installed { plugin, .. } => &plugin.description,
            _ => self
                .manifest()
                .map_or("", |manifest| manifest.description.as_str()),
        }
    }

    /// Who published it, as far as the policy knows.
    ///
    /// # Errors
    /// When the policy demands a signature for one of its names that it does not have.
    pub fn publisher(&self, policy: &Policy) -> Result<Option<String>, RunnerError> {
        if self.built_in {
            return Ok(Some(BUILT_IN_PUBLISHER.to_owned()));
        }
        let judged = self.publisher.get_or_init(|| Judged {
            by: policy.publishers.clone(),
            publisher: self.judge(policy),
        });
        let publisher = if judged.by == policy.publishers {
            judged.publisher.clone()
        } else {
            self.judge(policy)
        };
        Ok(publisher?)
    }

    fn judge(&self, policy: &Policy) -> Result<Option<String>, Problem> {
        let problem =
            |error| Problem::new(&format!("the component {} is refused", self.source), &error);
        let signature = self
            .signature
            .as_deref()
            .map(Signature::parse)
            .transpose()
            .map_err(problem)?;
        let names = self.names();
        capstan_plugins::publisher(policy, names, self.read()?, signature.as_ref())
            .map(|found| found.name)
            .map_err(problem)
    }
}

impl ActionRegistry {
    /// With the components of the program.
    #[must_use]
    pub fn new(built_in: &[BuiltIn]) -> Self {
        let action =
            |(name, wasm): &BuiltIn| Action::new((*name).to_owned(), Content::BuiltIn(wasm), None);
        Self {
            actions: built_in.iter().map(action).collect(),
            installed: Vec::new(),
        }
    }

    /// Adds what is installed.
    ///
    /// # Errors
    /// When the lock cannot be read.
    pub fn add_installed(&mut self, store: &PluginStore) -> Result<(), RunnerError> {
        for plugin in store.installed()? {
            let mut file = store.open(&plugin);
            let signature = file.signature.take();
            let content = Content::Installed {
                file,
                read: OnceLock::new(),
                plugin: Box::new(plugin.clone()),
            };
            let source = format!("plugin {} {}", plugin.name, plugin.version);
            self.installed.push(Action::new(source, content, signature));
        }
        Ok(())
    }

    /// Adds a component from a file, with the signature beside it. It must not take a name that is taken, unless an
    /// installed plugin has it: what is named for one run comes before.
    ///
    /// # Errors
    /// When the file cannot be read or is no proper component.
    pub fn add_file(&mut self, path: &Path) -> Result<(), RunnerError> {
        let read = capstan_plugins::read_file(path)?;
        let action = Action::new(
            path.display().to_string(),
            Content::File(read.wasm),
            read.signature.map(|signature| signature.text().to_owned()),
        );
        let info = action.info()?;
        check_acceptable(info).map_err(|error| {
            RunnerError::Invalid(format!(
                "the component {} is refused: {error}",
                action.source
            ))
        })?;
        for name in info.manifest.names() {
            if let Some(other) = self.not_installed(name) {
                return Err(RunnerError::Invalid(format!(
                    "the action {name} of {} is taken by {}",
                    action.source, other.source
                )));
            }
        }
        self.actions.push(action);
        Ok(())
    }

    /// The component of an action.
    ///
    /// # Errors
    /// None so far; what is wrong with a component is told when it is used.
    pub fn find(&self, action: &str) -> Result<Option<&Action>, RunnerError> {
        let serves = |one: &&Action| one.names().any(|name| name == action);
        Ok(self
            .not_installed(action)
            .or_else(|| self.installed.iter().find(serves)))
    }

    /// The same without the plugins that are installed. Built-in crates are named after their action, so that looking
    /// one up reads one component and not all of them.
    #[must_use]
    pub fn not_installed(&self, action: &str) -> Option<&Action> {
        let stem = action.strip_prefix("aws:").map(|name| match name {
            "updateSsmAgent" => "update-agent".to_owned(),
            name => kebab(name),
        });
        if let Some(stem) = stem
            && let Some(found) = self
                .actions
                .iter()
                .find(|one| one.built_in && one.source == stem)
        {
            return Some(found);
        }
        let serves = |one: &&Action| one.names().any(|name| name == action);
        self.actions.iter().find(serves)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Action> {
        self.actions.iter().chain(&self.installed)
    }
}

/// Compiles a component into the cache, unless it is there.
///
/// # Errors
/// When it does not compile.
pub async fn compile(
    state: &StateFolder,
    info: &ComponentInfo,
    wasm: &[u8],
) -> Result<(), RunnerError> {
    let cache = CompileCache::open(state.cache())?;
    Ok(ensure_compiled(&cache, &own_program(), &info.digest, wasm).await?)
}

/// `runShellScript` as `run-shell-script`. `runPowerShellScript` is one word in the middle.
fn kebab(name: &str) -> String {
    let mut text = String::new();
    for c in name.replace("PowerShell", "Powershell").chars() {
        if c.is_ascii_uppercase() {
            text.push('-');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

/// This very program, to be started again as a worker.
pub(crate) fn own_program() -> PathBuf {
    // The link stays good when the file is replaced by an update.
    PathBuf::from("/proc/self/exe")
}
