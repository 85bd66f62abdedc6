//! The actions that there are.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use capstan_policy::Manifest;
use capstan_runtime::{ComponentInfo, check_acceptable, inspect};

use crate::error::RunnerError;

/// A component that is a part of the program: its name and its bytes.
pub type BuiltIn = (&'static str, &'static [u8]);

/// An action's component.
#[derive(Debug)]
pub struct Action {
    /// The name of its crate, or its file.
    pub source: String,
    /// Whether it is a part of the program.
    pub built_in: bool,
    wasm: Cow<'static, [u8]>,
    info: OnceLock<Result<ComponentInfo, String>>,
}

/// All actions of a node.
#[derive(Debug, Default)]
pub struct ActionRegistry {
    actions: Vec<Action>,
}

impl Action {
    /// What it says of itself; read when it is first asked for.
    ///
    /// # Errors
    /// When the file is no component, or has no proper manifest.
    pub fn info(&self) -> Result<&ComponentInfo, RunnerError> {
        self.info
            .get_or_init(|| inspect(&self.wasm).map_err(|error| error.to_string()))
            .as_ref()
            .map_err(|why| RunnerError::Invalid(format!("the component {}: {why}", self.source)))
    }

    /// Its manifest.
    ///
    /// # Errors
    /// As for `info`.
    pub fn manifest(&self) -> Result<&Manifest, RunnerError> {
        Ok(&self.info()?.manifest)
    }

    /// The component.
    #[must_use]
    pub fn wasm(&self) -> &[u8] {
        &self.wasm
    }
}

impl ActionRegistry {
    /// With the components of the program.
    #[must_use]
    pub fn new(built_in: &[BuiltIn]) -> Self {
        let actions = built_in
            .iter()
            .map(|(name, wasm)| Action {
                source: (*name).to_owned(),
                built_in: true,
                wasm: Cow::Borrowed(wasm),
                info: OnceLock::new(),
            })
            .collect();
        Self { actions }
    }

    /// Adds a component from a file. It must not take a name that is taken.
    ///
    /// # Errors
    /// When the file cannot be read or is no proper component.
    pub fn add_file(&mut self, path: &Path) -> Result<(), RunnerError> {
        let wasm = std::fs::read(path)
            .map_err(RunnerError::io(format!("the component {}", path.display())))?;
        let action = Action {
            source: path.display().to_string(),
            built_in: false,
            wasm: Cow::Owned(wasm),
            info: OnceLock::new(),
        };
        let info = action.info()?;
        check_acceptable(info).map_err(|error| {
            RunnerError::Invalid(format!(
                "the component {} is refused: {error}",
                action.source
            ))
        })?;
        for name in info.manifest.names() {
            if let Some(other) = self.find(name)? {
                return Err(RunnerError::Invalid(format!(
                    "the action {name} of {} is taken by {}",
                    action.source, other.source
                )));
            }
        }
        self.actions.push(action);
        Ok(())
    }

    /// The component of an action. Built-in crates are named after their action, so that looking one up reads
    /// one component and not all of them.
    ///
    /// # Errors
    /// None so far; what is wrong with a component is told when it is used.
    pub fn find(&self, action: &str) -> Result<Option<&Action>, RunnerError> {
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
            return Ok(Some(found));
        }
        // A component that is damaged serves nothing, and keeps nobody from the others.
        let serves = |one: &&Action| {
            one.manifest()
                .is_ok_and(|manifest| manifest.names().any(|name| name == action))
        };
        Ok(self.actions.iter().find(serves))
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Action> {
        self.actions.iter()
    }
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
