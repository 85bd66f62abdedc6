//! Where a project of a plugin has its component.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::PluginError;
use crate::signature::{SIGNATURE_SUFFIX, Signature};
use crate::store::{Source, read_bounded};

/// A component has no more than this many bytes: those of Python have 19 MiB.
pub const MAX_COMPONENT: u64 = 256 << 20;
/// A signature has a few hundred bytes.
const MAX_SIGNATURE: u64 = 16 << 10;

/// A component from somewhere, not looked at yet.
#[derive(Debug)]
pub struct Fetched {
    /// The component.
    pub wasm: Vec<u8>,
    /// Its signature, not verified.
    pub signature: Option<Signature>,
    /// Where it came from.
    pub source: Source,
}

/// Reads a component, and the signature beside it if there is one.
///
/// # Errors
/// When it cannot be read, or the signature is malformed.
pub fn read_file(path: &Path) -> Result<Fetched, PluginError> {
    let path = path.canonicalize().map_err(PluginError::io(path))?;
    let wasm = read_bounded(&path, MAX_COMPONENT)?;
    let beside = signature_file(&path);
    let signature = if beside.exists() {
        let text = read_bounded(&beside, MAX_SIGNATURE)?;
        let text = String::from_utf8_lossy(&text);
        Some(
            Signature::parse(&text)
                .map_err(|error| PluginError::Refused(format!("{}: {error}", beside.display())))?,
        )
    } else {
        None
    };
    Ok(Fetched {
        wasm,
        signature,
        source: Source::File(path),
    })
}

/// Where the signature of a component is.
#[must_use]
pub fn signature_file(component: &Path) -> PathBuf {
    let mut name = component.as_os_str().to_owned();
    name.push(SIGNATURE_SUFFIX);
    name.into()
}

/// The component in a folder: what the project there builds, else the only one.
///
/// # Errors
/// When there is none, or one cannot tell which.
pub fn component_in(folder: &Path) -> Result<PathBuf, PluginError> {
    let not_built = |file: &Path| {
        PluginError::Invalid(format!(
            "{} is not there; run `capstan plugin build` in {} first",
            file.display(),
            folder.display()
        ))
    };
    if let Some(output) = declared_output(folder)? {
        let file = folder.join(output);
        return if file.is_file() {
            Ok(file)
        } else {
            Err(not_built(&file))
        };
    }
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .map_err(PluginError::io(folder))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|word| word == "wasm"))
        .collect();
    found.sort();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(PluginError::Invalid(format!(
            "there is no component in {}; a project of a plugin has one after `capstan plugin build`",
            folder.display()
        ))),
        several => {
            let names: Vec<_> = several
                .iter()
                .filter_map(|path| path.file_name())
                .map(|name| name.to_string_lossy())
                .collect();
            Err(PluginError::Invalid(format!(
                "there are several components in {}: {}; name one of them",
                folder.display(),
                names.join(", ")
            )))
        }
    }
}

/// The file that a project says it builds.
fn declared_output(folder: &Path) -> Result<Option<PathBuf>, PluginError> {
    let read = |name: &str| {
        let path = folder.join(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some((path, text))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(PluginError::io(&path)(error)),
        }
    };
    let malformed = |path: &Path, why: &dyn std::fmt::Display| {
        PluginError::Invalid(format!("{}: {why}", path.display()))
    };
    if let Some((path, text)) = read("pyproject.toml")? {
        let project: toml::Table = text.parse().map_err(|error| malformed(&path, &error))?;
        let output = project
            .get("tool")
            .and_then(|tool| tool.get("capstan")?.get("output")?.as_str());
        if let Some(output) = output {
            return Ok(Some(output.into()));
        }
    }
    if let Some((path, text)) = read("package.json")? {
        let project: Value =
            serde_json::from_str(&text).map_err(|error| malformed(&path, &error))?;
        if let Some(output) = project["capstan"]["output"].as_str() {
            return Ok(Some(output.into()));
        }
    }
    if let Some((path, text)) = read("Cargo.toml")? {
        let project: toml::Table = text.parse().map_err(|error| malformed(&path, &error))?;
        let name = project
            .get("package")
            .and_then(|package| package.get("name")?.as_str());
        if let Some(name) = name {
            return Ok(Some(format!("{name}.wasm").into()));
        }
    }
    Ok(None)
}
