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
description: Run another document, from the node's store or from a file.
parameters:
  documentPath:
    type: String
    description: The name of a stored document, or the path of a file.
    default: ""
  sourceType:
    type: String
    description: Where the document comes from.
    allowedValues: [SSMDocument, LocalPath]
    default: SSMDocument
  documentParameters:
    type: StringMap
    description: Parameters of that document.
    default: {}
mainSteps:
  - name: runDocument
    action: aws:runDocument
    inputs:
      documentType: "{{ sourceType }}"
      documentPath: "{{ documentPath }}"
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

    /// The text of a document, by name or ARN; a version after a colon is passed over where there is only one.
    ///
    /// # Errors
    /// When there is none of that name; the message names the nearest.
    pub fn get(&self, name: &str) -> Result<String, RunnerError> {
        let name = name.rsplit('/').next().unwrap_or(name);
        let name = name.split(':').next().unwrap_or(name);
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

    #[test]
    fn the_built_in_documents_are_well_formed() {
        for (name, text) in super::BUILT_IN {
            Document::parse(text, name).unwrap();
        }
    }
}
