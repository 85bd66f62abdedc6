//! `aws:configurePackage`.

mod archive;
mod package;
mod repository;
mod system;

use capstan_sdk::{Context, Error, Failure, Outcome, Step, Value, action, parameters, serde_json};
use serde::Deserialize;

use package::{Plan, Wanted};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inputs {
    name: Option<String>,
    action: Option<Action>,
    version: Option<String>,
    installation_type: Option<InstallationType>,
    /// A mapping, or JSON text of one.
    #[serde(default)]
    additional_arguments: Value,
    repository: Option<String>,
    source: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
enum Action {
    Install,
    Uninstall,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
enum InstallationType {
    #[serde(rename = "Uninstall and reinstall")]
    Reinstall,
    #[serde(rename = "In-place update")]
    InPlace,
}

/// Where the node's own repository is named.
const REPOSITORY_PARAMETER: &str = "/capstan/packages/repository";
/// Packages of the machine's own package manager.
const SYSTEM: &str = "system";

#[action(manifest = "../manifest.json", resume = package::resume)]
fn configure(context: &Context, mut inputs: Inputs) -> Result<Step<Plan, Outcome>, Failure> {
    let repository = inputs.repository.take();
    let wanted = wanted(inputs)?;
    let repository = match repository {
        Some(repository) => repository,
        None => repository_of_node()?,
    };
    if repository == SYSTEM {
        system::configure(&wanted).map(Step::Done)
    } else {
        package::configure(context, &wanted, &repository)
    }
}

/// What the node's parameter names; the system's packages if there is none. Whether a parameter of Capstan's own is
/// set is no secret, and the host tells it also without a grant. So a denial is about one that is set, and is not
/// passed over: the packages would come from somewhere else than the node's operator said.
fn repository_of_node() -> Result<String, Failure> {
    match parameters::get(REPOSITORY_PARAMETER) {
        Ok(parameters::Value::Text(repository)) if repository.trim().is_empty() => {
            Ok(SYSTEM.to_owned())
        }
        Ok(parameters::Value::Text(repository)) => Ok(repository),
        Ok(parameters::Value::TextList(_)) => Err(Failure::invalid(format!(
            "the parameter {REPOSITORY_PARAMETER} is a list; it names one repository"
        ))),
        Err(Error::NotFound(_)) => Ok(SYSTEM.to_owned()),
        Err(Error::Denied(denial)) => Err(Failure::denied(format!(
            "this node has a repository of its own in the parameter {REPOSITORY_PARAMETER}, which is not granted to this step; a policy grants it with {}, and the input `repository: {SYSTEM}` asks for the system's packages",
            denial.hint
        ))),
        Err(error) => Err(error.into()),
    }
}

fn wanted(inputs: Inputs) -> Result<Wanted, Failure> {
    let name = inputs
        .name
        .ok_or_else(|| Failure::invalid("the step has no name"))?;
    // `arn:aws:ssm:REGION:ACCOUNT:package/NAME` names the same as NAME.
    let name = match name.strip_prefix("arn:") {
        Some(arn) => arn.rsplit('/').next().unwrap_or(arn).to_owned(),
        None => name,
    };
    let version = inputs.version.filter(|version| version != "latest");
    for (what, word) in [("name", Some(&name)), ("version", version.as_ref())] {
        if let Some(word) = word
            && !is_word(word)
        {
            return Err(Failure::invalid(format!(
                "`{word}` is no {what} of a package: letters, digits and . _ - + : ~ make one up"
            )));
        }
    }
    let action = inputs
        .action
        .ok_or_else(|| Failure::invalid("the step has no action"))?;
    if inputs.source.is_some() {
        return Err(Failure::invalid(
            "source is not supported and must be empty; repository says where packages are",
        ));
    }
    Ok(Wanted {
        name,
        version,
        uninstall: action == Action::Uninstall,
        in_place: inputs.installation_type == Some(InstallationType::InPlace),
        arguments: arguments(inputs.additional_arguments)?,
    })
}

fn is_word(word: &str) -> bool {
    !word.starts_with(['-', '.'])
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-+:~".contains(c))
}

/// `additionalArguments`: a mapping, or JSON text of one.
fn arguments(given: Value) -> Result<Vec<(String, String)>, Failure> {
    let value = match given {
        Value::Null => return Ok(Vec::new()),
        Value::String(text) if text.trim().is_empty() => return Ok(Vec::new()),
        Value::String(text) => serde_json::from_str(&text).map_err(|error| {
            Failure::invalid(format!("additionalArguments is not JSON: {error}"))
        })?,
        value => value,
    };
    let Value::Object(map) = value else {
        return Err(Failure::invalid("additionalArguments is a mapping"));
    };
    map.into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| {
            if !name.starts_with("SSM_") {
                return Err(Failure::invalid(format!(
                    "the additional argument {name} does not begin with SSM_"
                )));
            }
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            Ok((name, value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use capstan_sdk::{Failure, Value, inputs::typed, json};

    use super::Wanted;

    fn wanted(inputs: &Value) -> Result<Wanted, Failure> {
        super::wanted(typed(inputs)?)
    }

    #[test]
    fn inputs_are_read_as_ssm_reads_them() {
        let found = wanted(&json!({
            "name": "arn:aws:ssm:eu-west-1:123456789012:package/Tool", "action": "Install",
            "version": "latest", "additionalArguments": "{\"SSM_LEVEL\": 3}" }))
        .unwrap();
        assert_eq!(found.name, "Tool");
        assert_eq!(found.version, None);
        assert_eq!(found.arguments, [("SSM_LEVEL".into(), "3".into())]);
        for bad in [
            json!({ "name": "--root=/x", "action": "Install" }),
            json!({ "name": "../x", "action": "Install" }),
            json!({ "name": "a b", "action": "Install" }),
            json!({ "name": "a", "action": "install" }),
            json!({ "name": "a", "action": "Install", "version": "1/2" }),
            json!({ "name": "a", "action": "Install", "version": ["1.2"] }),
            json!({ "name": { "a": 1 }, "action": "Install" }),
            json!({ "name": "a", "action": "Install", "additionalArguments": { "PATH": "/x" } }),
            json!({ "name": "a", "action": "Install", "source": "https://example.com/a.rpm" }),
        ] {
            assert!(wanted(&bad).is_err(), "{bad}");
        }
    }
}
