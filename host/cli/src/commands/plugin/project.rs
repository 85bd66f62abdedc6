//! A plugin project: in which language it is, and where its component goes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Language;

/// A folder with the sources of one component.
#[derive(Debug)]
pub(super) struct Project {
    /// Absolute.
    pub(super) folder: PathBuf,
    pub(super) language: Language,
    /// The module that is built, in Python and JavaScript.
    pub(super) source: PathBuf,
    /// The component.
    pub(super) output: PathBuf,
}

#[derive(Deserialize)]
struct CargoToml {
    package: Package,
}

#[derive(Deserialize)]
struct Package {
    name: String,
}

#[derive(Deserialize)]
struct PyprojectToml {
    #[serde(default)]
    tool: Tool,
}

/// `[tool]`, or a `package.json` as a whole.
#[derive(Default, Deserialize)]
struct Tool {
    capstan: Option<Paths>,
}

#[derive(Deserialize)]
struct Paths {
    source: PathBuf,
    output: PathBuf,
}

impl Project {
    /// Looks at a folder.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let shown = folder.display();
        let folder = folder
            .canonicalize()
            .with_context(|| format!("the project {shown}"))?;
        let (language, paths) = if folder.join("Cargo.toml").is_file() {
            let path = folder.join("Cargo.toml");
            let cargo: CargoToml = read(&path, |text| Ok(toml::from_str(text)?))?;
            let paths = Paths {
                source: "src/lib.rs".into(),
                output: format!("{}.wasm", cargo.package.name).into(),
            };
            (Language::Rust, Some(paths))
        } else if folder.join("pyproject.toml").is_file() {
            let path = folder.join("pyproject.toml");
            let python: PyprojectToml = read(&path, |text| Ok(toml::from_str(text)?))?;
            (Language::Python, python.tool.capstan)
        } else if folder.join("package.json").is_file() {
            let path = folder.join("package.json");
            let package: Tool = read(&path, |text| Ok(serde_json::from_str(text)?))?;
            (Language::Javascript, package.capstan)
        } else {
            bail!(
                "{shown} is no plugin project: it has neither Cargo.toml nor pyproject.toml nor package.json; `capstan plugin new` makes one"
            );
        };
        let Some(paths) = paths else {
            let (file, example) = match language {
                Language::Python => (
                    "pyproject.toml",
                    "[tool.capstan] with source = \"action.py\" and output = \"NAME.wasm\"",
                ),
                _ => (
                    "package.json",
                    "\"capstan\": { \"source\": \"src/action.js\", \"output\": \"NAME.wasm\" }",
                ),
            };
            bail!("{shown}/{file} does not say what is built; add {example}");
        };
        Ok(Self {
            source: folder.join(paths.source),
            output: folder.join(paths.output),
            folder,
            language,
        })
    }

    /// Whether a name in the project's folder is of no interest to a build: what tools put there.
    pub(super) fn is_generated(name: &str) -> bool {
        matches!(
            name,
            "target" | "node_modules" | "__pycache__" | "Cargo.lock" | "package-lock.json"
        ) || name.starts_with('.')
            || name.ends_with(".wasm")
    }
}

fn read<T: DeserializeOwned>(path: &Path, parse: impl FnOnce(&str) -> Result<T>) -> Result<T> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    parse(&text).with_context(|| format!("{} is malformed", path.display()))
}
