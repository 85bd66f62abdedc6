//! Documents by name: those that are a part of the program, and those in the state folder.

use std::fs;
use std::path::PathBuf;

use capstan_document::built_in;

use crate::error::RunnerError;

/// The documents of a node.
#[derive(Debug, Clone)]
pub struct DocumentStore {
    folder: PathBuf,
}

impl DocumentStore {
    /// With the documents of this folder.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Names, sorted.
    #[must_use]
    pub fn list(&self) -> Vec<String> {
        let mut names: Vec<String> = built_in()
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect();
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let known = path
                .extension()
                .is_some_and(|extension| extension == "yaml" || extension == "json");
            if let (true, Some(name)) = (known, path.file_stem()) {
                names.push(name.to_string_lossy().into_owned());
            }
        }
        names.sort();
        names.dedup();
        names
    }

    /// The text of a document, by name or ARN, with or without a version after a colon. A node keeps one version of
    /// each, which is the first, the default and the latest.
    ///
    /// # Errors
    /// When there is none of that name, and the message names the nearest; or not of that version.
    pub fn get(&self, name: &str) -> Result<String, RunnerError> {
        let name = name.rsplit('/').next().unwrap_or(name);
        let (name, version) = name.split_once(':').unwrap_or((name, "1"));
        let text = self.text(name)?;
        if matches!(version, "1" | "$DEFAULT" | "$LATEST") {
            return Ok(text);
        }
        Err(RunnerError::Invalid(format!(
            "there is no version {version} of the document {name}: this node keeps version 1 alone"
        )))
    }

    fn text(&self, name: &str) -> Result<String, RunnerError> {
        if let Some((_, text)) = built_in().iter().find(|(known, _)| *known == name) {
            return Ok((*text).to_owned());
        }
        let plain = !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
        if plain {
            for extension in ["yaml", "json"] {
                let path = self.folder.join(format!("{name}.{extension}"));
                if path.is_file() {
                    return fs::read_to_string(&path)
                        .map_err(RunnerError::io(format!("the document {}", path.display())));
                }
            }
        }
        let names = self.list();
        let near = capstan_document::nearest(name, names.iter().map(String::as_str));
        let help = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
        Err(RunnerError::Invalid(format!(
            "there is no document {name}{help}"
        )))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::DocumentStore;

    #[test]
    fn a_document_is_found_by_name_arn_and_version() {
        let folder = crate::testing::Folder::new();
        std::fs::write(folder.path().join("own.yaml"), "own").unwrap();
        let store = DocumentStore::new(folder.path().to_owned());
        for (name, expected) in [
            ("own", Ok("own")),
            ("own:1", Ok("own")),
            ("own:$LATEST", Ok("own")),
            (
                "arn:aws:ssm:eu-central-1:123456789012:document/own",
                Ok("own"),
            ),
            (
                "arn:aws:ssm:eu-central-1:123456789012:document/own:$DEFAULT",
                Ok("own"),
            ),
            ("own:2", Err("version 2")),
            ("owm", Err("did you mean own?")),
        ] {
            let found = store.get(name).map_err(|error| error.to_string());
            match (&found, expected) {
                (Ok(text), Ok(expected)) => assert_eq!(text, expected, "{name}"),
                (Err(why), Err(expected)) => assert!(why.contains(expected), "{name}: {why}"),
                _ => unreachable!("{name}: {found:?}"),
            }
        }
    }
}
