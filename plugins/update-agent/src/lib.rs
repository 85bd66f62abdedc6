//! `aws:updateSsmAgent` and `aws:updateAgent`, for a node whose agent is Capstan.
//!
//! The operator names the update source in the parameter `/capstan/update/source`: the URL of a JSON text
//! `{"version": "1.2.3", "files": {"linux-x86_64": {"file": "capstan", "sha256": "…"}}}`, with the files beside it.

use capstan_sdk::{
    Action, Context, Error, Failure, Outcome, Value, download, http, input_text, parameters,
    serde_json, step,
};

struct UpdateAgent;

/// The component is a part of the program, and has its version.
const OWN_VERSION: &str = env!("CARGO_PKG_VERSION");
const SOURCE_PARAMETER: &str = "/capstan/update/source";
const PROGRAM: &str = "/usr/local/bin/capstan";
const MANIFEST_BYTES: usize = 1 << 20;

impl Action for UpdateAgent {
    fn start(context: &Context, inputs: Value) -> Result<Outcome, Failure> {
        let text = |key: &str| input_text(&inputs, key).filter(|text| !text.is_empty());
        let agent = text("agentName").unwrap_or_else(|| "amazon-ssm-agent".to_owned());
        let target = text("targetVersion").filter(|version| version != "latest");
        let downgrade = text("allowDowngrade").is_some_and(|word| word == "true");
        step::print(&format!(
            "This node's agent is Capstan {OWN_VERSION}; {agent} is not what runs its documents.\n"
        ));
        let source = match parameters::get(SOURCE_PARAMETER) {
            Ok(parameters::Value::Text(source)) => source,
            Ok(parameters::Value::TextList(_)) => {
                return Err(Failure::invalid(format!(
                    "the parameter {SOURCE_PARAMETER} is a list; it names one URL"
                )));
            }
            Err(Error::NotFound(_) | Error::Denied(_)) => {
                return match target {
                    Some(target) if target != OWN_VERSION => Err(Failure::failed(format!(
                        "version {target} cannot be had: the node has no update source (the parameter {SOURCE_PARAMETER}, granted to this step)"
                    ))),
                    _ => {
                        step::print(&format!(
                            "Nothing was updated: the node has no update source (the parameter {SOURCE_PARAMETER}, granted to this step).\n"
                        ));
                        Ok(Outcome::success())
                    }
                };
            }
            Err(error) => return Err(error.into()),
        };
        let response = http::send(&http::get(&source))?;
        let status = response.status();
        if status != 200 {
            return Err(Failure::failed(format!(
                "{source} answered with status {status}"
            )));
        }
        let manifest: Value = serde_json::from_slice(&http::body(&response, MANIFEST_BYTES)?)
            .map_err(|error| Failure::failed(format!("{source} is not JSON: {error}")))?;
        let version = manifest["version"]
            .as_str()
            .ok_or_else(|| Failure::failed(format!("{source} names no version")))?;
        if let Some(target) = &target
            && target != version
        {
            return Err(Failure::failed(format!(
                "version {target} cannot be had: {source} has {version}"
            )));
        }
        if version == OWN_VERSION {
            step::print(&format!("Capstan {version} is up to date.\n"));
            return Ok(Outcome::success());
        }
        if numbers(version) < numbers(OWN_VERSION) && !downgrade {
            return Err(Failure::failed(format!(
                "{version} is older than {OWN_VERSION}; allowDowngrade: \"true\" allows it"
            )));
        }
        let platform = format!(
            "{}-{}",
            context.platform.kind, context.platform.architecture
        );
        let entry = &manifest["files"][&platform];
        let (Some(file), Some(sha256)) = (entry["file"].as_str(), entry["sha256"].as_str()) else {
            return Err(Failure::failed(format!(
                "{source} has no file with a SHA-256 for {platform}"
            )));
        };
        let folder = source.rsplit_once('/').map_or("", |(folder, _)| folder);
        let url = format!("{folder}/{file}");
        let program = text("program").unwrap_or_else(|| PROGRAM.to_owned());
        let get = |from| http::send(&http::get_from(&url, from));
        download::to_file(&url, get, &program, 0o755, Some(sha256))?;
        step::print(&format!(
            "Capstan {version} is at {program}; what is started from now on runs it, and this run goes on with {OWN_VERSION}.\n"
        ));
        Ok(Outcome::success())
    }
}

/// A version's numbers, for comparing.
fn numbers(version: &str) -> Vec<u64> {
    version
        .split(['.', '-', '+'])
        .map_while(|part| part.parse().ok())
        .collect()
}

capstan_sdk::action!(UpdateAgent, "../manifest.json");

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn versions_compare_by_number() {
        assert!(numbers("0.10.0") > numbers("0.9.9"));
        assert!(numbers("1.0.0") > numbers("0.99"));
        assert_eq!(numbers("1.2.3-rc1"), numbers("1.2.3"));
    }
}
