//! `aws:configurePackage`.

mod archive;
mod package;
mod repository;
mod system;

use capstan_sdk::{
    Action, Context, Error, Event, Failure, FailureKind, Outcome, Value, input, parameters,
    serde_json, text_input,
};

use package::Wanted;

struct ConfigurePackage;

/// Where the node's own repository is named.
const REPOSITORY_PARAMETER: &str = "/capstan/packages/repository";
/// Packages of the machine's own package manager.
const SYSTEM: &str = "system";

impl Action for ConfigurePackage {
    fn start(context: &Context, inputs: Value) -> Result<Outcome, Failure> {
        let wanted = wanted(&inputs)?;
        let repository = match text_input(&inputs, "repository")? {
            Some(repository) if !repository.is_empty() => repository,
            _ => repository_of_node()?,
        };
        if repository == SYSTEM {
            system::configure(&wanted)
        } else {
            package::configure(context, &wanted, &repository)
        }
    }

    fn resume(context: &Context, state: Vec<u8>, _: Event) -> Result<Outcome, Failure> {
        package::resume(context, &state)
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
        Err(Error::Denied(denial)) => Err(Failure {
            kind: FailureKind::Denied,
            message: format!(
                "this node has a repository of its own in the parameter {REPOSITORY_PARAMETER}, which is not granted to this step; a policy grants it with {}, and the input `repository: {SYSTEM}` asks for the system's packages",
                denial.hint
            ),
        }),
        Err(error) => Err(error.into()),
    }
}

fn wanted(inputs: &Value) -> Result<Wanted, Failure> {
    let text = |key: &str| -> Result<_, Failure> {
        Ok(text_input(inputs, key)?.filter(|text| !text.is_empty()))
    };
    let name = text("name")?.ok_or_else(|| Failure::invalid("the step has no name"))?;
    // `arn:aws:ssm:REGION:ACCOUNT:package/NAME` names the same as NAME.
    let name = match name.strip_prefix("arn:") {
        Some(arn) => arn.rsplit('/').next().unwrap_or(arn).to_owned(),
        None => name,
    };
    let version = text("version")?.filter(|version| version != "latest");
    for (what, word) in [("name", Some(&name)), ("version", version.as_ref())] {
        if let Some(word) = word
            && !is_word(word)
        {
            return Err(Failure::invalid(format!(
                "`{word}` is no {what} of a package: letters, digits and . _ - + : ~ make one up"
            )));
        }
    }
    let uninstall = match text("action")?.as_deref() {
        Some("Install") => false,
        Some("Uninstall") => true,
        Some(other) => {
            return Err(Failure::invalid(format!(
                "there is no action {other}; there are Install and Uninstall, written just so"
            )));
        }
        None => return Err(Failure::invalid("the step has no action")),
    };
    let in_place = match text("installationType")?.as_deref() {
        None | Some("Uninstall and reinstall") => false,
        Some("In-place update") => true,
        Some(other) => {
            return Err(Failure::invalid(format!(
                "there is no installationType {other}; there are `Uninstall and reinstall` and `In-place update`"
            )));
        }
    };
    if text("source")?.is_some() {
        return Err(Failure::invalid(
            "source is not supported and must be empty; repository says where packages are",
        ));
    }
    Ok(Wanted {
        name,
        version,
        uninstall,
        in_place,
        arguments: arguments(inputs)?,
    })
}

fn is_word(word: &str) -> bool {
    !word.starts_with(['-', '.'])
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-+:~".contains(c))
}

/// `additionalArguments`: a mapping, or JSON text of one.
fn arguments(inputs: &Value) -> Result<Vec<(String, String)>, Failure> {
    let value = match input(inputs, "additionalArguments") {
        None => return Ok(Vec::new()),
        Some(Value::String(text)) if text.trim().is_empty() => return Ok(Vec::new()),
        Some(Value::String(text)) => serde_json::from_str(text).map_err(|error| {
            Failure::invalid(format!("additionalArguments is not JSON: {error}"))
        })?,
        Some(value) => value.clone(),
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

capstan_sdk::action!(ConfigurePackage, "../manifest.json");

#[cfg(test)]
mod tests {
    use capstan_sdk::json;

    use super::wanted;

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
