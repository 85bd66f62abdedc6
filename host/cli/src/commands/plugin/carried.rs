//! The SDKs and templates that are a part of this program: a new project needs no package that has to be published
//! first, also where there is no network, and its SDK fits the host.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::Language;

include!(concat!(env!("OUT_DIR"), "/carried.rs"));

/// Where a project keeps the SDK that it is built with.
pub(super) const FOLDER: &str = ".capstan";

impl Language {
    /// Its folder below `sdk/`.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::Javascript => "javascript",
        }
    }
}

/// The files of a template: their paths in the project, and contents with placeholders.
pub(super) fn template(
    language: Language,
    collector: bool,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    let kind = if collector { "-collector" } else { "" };
    let folder = format!("sdk/templates/{}{kind}/", language.folder());
    CARRIED
        .iter()
        .filter_map(move |(path, content)| Some((path.strip_prefix(folder.as_str())?, *content)))
}

/// Puts the SDK of a language into a project, in the place of one that is there.
pub(super) fn put_sdk(project: &Path, language: Language) -> Result<()> {
    let folder = project.join(FOLDER);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    let sdk = format!("sdk/{}/", language.folder());
    for (path, content) in CARRIED {
        let to = match path.strip_prefix("wit/") {
            // npm packs the folder of the SDK and nothing beside it.
            Some(rest) if language == Language::Javascript => format!("{sdk}wit/{rest}"),
            Some(_) => (*path).to_owned(),
            None if path.starts_with(&sdk) => (*path).to_owned(),
            None => continue,
        };
        write(&folder.join(to), content)?;
    }
    Ok(())
}

/// Writes a file and makes its folder.
pub(super) fn write(path: &Path, content: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    fs::write(path, content).with_context(|| path.display().to_string())
}
