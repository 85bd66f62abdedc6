//! Documents by name: those that are a part of the program, and those in the state folder.

use std::fs;
use std::path::PathBuf;

use crate::error::RunnerError;

/// The documents of a node.
#[derive(Debug, Clone)]
pub struct DocumentStore {
    folder: PathBuf,
}

/// Documents with the names and parameters that SSM's users know, in our own words.
const BUILT_IN: &[(&str, &str)] = &[
    (
        "AWS-RunShellScript",
        r#"schemaVersion: "1.2"
description: Run a shell script.
parameters:
  commands:
    type: StringList
    description: The lines of the script.
    minItems: 1
    displayType: textarea
  workingDirectory:
    type: String
    description: Where the script runs.
    default: ""
    maxChars: 4096
  executionTimeout:
    type: String
    description: Seconds until the script is ended, 5 to 172800.
    default: "3600"
    allowedPattern: '^[0-9]{1,6}$'
runtimeConfig:
  aws:runShellScript:
    properties:
      - id: 0.aws:runShellScript
        runCommand: "{{ commands }}"
        workingDirectory: "{{ workingDirectory }}"
        timeoutSeconds: "{{ executionTimeout }}"
"#,
    ),
    (
        "AWS-RunPowerShellScript",
        r#"schemaVersion: "1.2"
description: Run a PowerShell script.
parameters:
  commands:
    type: StringList
    description: The lines of the script.
    minItems: 1
    displayType: textarea
  workingDirectory:
    type: String
    description: Where the script runs.
    default: ""
    maxChars: 4096
  executionTimeout:
    type: String
    description: Seconds until the script is ended, 5 to 172800.
    default: "3600"
    allowedPattern: '^[0-9]{1,6}$'
runtimeConfig:
  aws:runPowerShellScript:
    properties:
      - id: 0.aws:runPowerShellScript
        runCommand: "{{ commands }}"
        workingDirectory: "{{ workingDirectory }}"
        timeoutSeconds: "{{ executionTimeout }}"
"#,
    ),
    (
        "AWS-RunDocument",
        r#"schemaVersion: "2.2"
description: Fetch a document and run it.
parameters:
  sourceType:
    type: String
    description: Where the document is.
    allowedValues: [SSMDocument, GitHub, Git, HTTP, S3]
  sourceInfo:
    type: StringMap
    description: What aws:downloadContent needs for that source, such as name for SSMDocument or path for S3.
    default: {}
    displayType: textarea
  documentPath:
    type: String
    description: The document's path within the download, where that is a folder with several.
    default: ""
  documentParameters:
    type: StringMap
    description: Parameters of that document.
    default: {}
    displayType: textarea
mainSteps:
  - name: downloadDocument
    action: aws:downloadContent
    inputs:
      onFailure: exit
      sourceType: "{{ sourceType }}"
      sourceInfo: "{{ sourceInfo }}"
      destinationPath: run-document/
  - name: runDocument
    action: aws:runDocument
    inputs:
      documentType: LocalPath
      documentPath: run-document/{{ documentPath }}
      documentParameters: "{{ documentParameters }}"
"#,
    ),
    (
        "AWS-ConfigureAWSPackage",
        r#"schemaVersion: "2.2"
description: Install or remove a package.
parameters:
  action:
    type: String
    description: Whether to install or to remove.
    allowedValues: [Install, Uninstall]
  installationType:
    type: String
    description: How another version is replaced.
    allowedValues: [Uninstall and reinstall, In-place update]
    default: Uninstall and reinstall
  name:
    type: String
    description: The package, or its ARN.
  version:
    type: String
    description: The newest one when empty.
    default: ""
  additionalArguments:
    type: StringMap
    description: Variables for the package's scripts; their names begin with SSM_.
    default: {}
mainSteps:
  - name: configurePackage
    action: aws:configurePackage
    inputs:
      name: "{{ name }}"
      action: "{{ action }}"
      version: "{{ version }}"
      installationType: "{{ installationType }}"
      additionalArguments: "{{ additionalArguments }}"
"#,
    ),
    (
        "AWS-UpdateSSMAgent",
        r#"schemaVersion: "1.2"
description: Update the agent of this node.
parameters:
  version:
    type: String
    description: The newest one when empty.
    default: ""
  allowDowngrade:
    type: String
    description: Whether an older version may replace a newer one.
    allowedValues: ["true", "false"]
    default: "false"
runtimeConfig:
  aws:updateSsmAgent:
    properties:
      agentName: amazon-ssm-agent
      source: https://s3.{Region}.amazonaws.com/amazon-ssm-{Region}/ssm-agent-manifest.json
      allowDowngrade: "{{ allowDowngrade }}"
      targetVersion: "{{ version }}"
"#,
    ),
    (
        "AWS-Noop",
        r#"schemaVersion: "2.2"
description: Do nothing, with success.
mainSteps:
  - name: nothing
    action: aws:runShellScript
    inputs:
      runCommand: [":"]
"#,
    ),
];

impl DocumentStore {
    /// With the documents of this folder.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Names, sorted.
    #[must_use]
    pub fn list(&self) -> Vec<String> {
        let mut names: Vec<String> = BUILT_IN
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
        if let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) {
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

    use capstan_document::Document;

    use super::DocumentStore;

    #[test]
    fn the_built_in_documents_are_well_formed() {
        for (name, text) in super::BUILT_IN {
            Document::parse(text, name).unwrap();
        }
    }

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
