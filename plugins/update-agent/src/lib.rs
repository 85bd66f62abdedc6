//! `aws:updateSsmAgent` and `aws:updateAgent`, for a node whose agent is Capstan.
//!
//! The operator names the update source in the parameter `/capstan/update/source`: the URL of a JSON text
//! `{"version": "1.2.3", "files": {"linux-x86_64": {"file": "capstan", "sha256": "…"}}}`, with the files beside it.

use capstan_sdk::download::{self, Part};
use capstan_sdk::{
    Context, Error, Failure, Platform, Value, action, files, http, parameters, step,
};
use serde::Deserialize;

/// The component is a part of the program, and has its version.
const OWN_VERSION: &str = env!("CARGO_PKG_VERSION");
const SOURCE_PARAMETER: &str = "/capstan/update/source";
const PROGRAM: &str = "/usr/local/bin/capstan";
const MANIFEST_BYTES: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inputs {
    agent_name: Option<String>,
    target_version: Option<String>,
    allow_downgrade: Option<String>,
    program: Option<String>,
}

#[action(manifest = "../manifest.json")]
fn update(context: &Context, inputs: Inputs) -> Result<(), Failure> {
    let agent = inputs.agent_name.as_deref().unwrap_or("amazon-ssm-agent");
    let target = inputs.target_version.filter(|version| version != "latest");
    let downgrade = inputs.allow_downgrade.is_some_and(|word| word == "true");
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
        // The host tells also without a grant that there is none; a denial is about a source that is set.
        Err(Error::NotFound(_)) => {
            return match target {
                Some(target) if target != OWN_VERSION => Err(Failure::failed(format!(
                    "version {target} cannot be had: the node has no update source (the parameter {SOURCE_PARAMETER})"
                ))),
                _ => {
                    step::print(&format!(
                        "Nothing was updated: the node has no update source (the parameter {SOURCE_PARAMETER}).\n"
                    ));
                    Ok(())
                }
            };
        }
        Err(error) => return Err(error.into()),
    };
    let response = http::get(&source).send()?;
    let status = response.status();
    if status != 200 {
        return Err(Failure::failed(format!(
            "{source} answered with status {status}"
        )));
    }
    let manifest: Value =
        capstan_sdk::serde_json::from_slice(&http::body(&response, MANIFEST_BYTES)?)
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
        return Ok(());
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
    let program = inputs.program.as_deref().unwrap_or(PROGRAM);
    // Looked at before it takes the place of the old one.
    let new = format!("{}/capstan.new", context.work_directory);
    let get = |part: &Part| http::get_part(&url, part).send();
    download::to_file(&url, get, &new, 0o700, Some(sha256))?;
    let checked = match look(&files::read(&new, 0, HEADER as u32)?, &context.platform) {
        Ok(checked) => checked,
        Err(why) => {
            return Err(Failure::failed(format!(
                "{url} {why}; {program} is as it was"
            )));
        }
    };
    put(&new, program)?;
    step::print(&format!(
        "{url}, which {source} calls Capstan {version}, was written to {program}. Checked were {checked}; it was not started, so its version is the source's word.\nThis run goes on with {OWN_VERSION}.{}\n",
        if inputs.program.is_some() {
            ""
        } else {
            " If the node's Capstan is started from another file, that one is as it was: the input `program` names the file to replace."
        }
    ));
    Ok(())
}

/// How much of a file tells what it is.
const HEADER: usize = 20;

/// Whether a file begins like a program for this machine; what was checked, in words.
fn look(header: &[u8], platform: &Platform) -> Result<String, String> {
    if platform.kind != "linux" {
        return Ok("its SHA-256".to_owned());
    }
    // The class and order of bytes, and the machine, as the header of ELF has them.
    let machine: Option<u16> = match platform.architecture.as_str() {
        "x86_64" => Some(62),
        "aarch64" => Some(183),
        _ => None,
    };
    let Some((ident, rest)) = header.split_first_chunk::<16>() else {
        return Err("is too short for a program".to_owned());
    };
    if !ident.starts_with(b"\x7fELF") {
        return Err("is no program for Linux".to_owned());
    }
    match (machine, rest) {
        (Some(machine), [_, _, low, high, ..]) if u16::from_le_bytes([*low, *high]) != machine => {
            Err(format!(
                "is a program for another machine than {}",
                platform.architecture
            ))
        }
        _ => Ok(format!(
            "its SHA-256, and that it is a program for Linux on {}",
            platform.architecture
        )),
    }
}

/// Puts the new program in its place.
fn put(new: &str, program: &str) -> Result<(), Failure> {
    let (writer, _) = files::create_with_folder(program, 0o755, None)?;
    let mut at = 0;
    loop {
        let part = files::read(new, at, 1 << 20)?;
        if part.is_empty() {
            break;
        }
        at += part.len() as u64;
        writer.write(&part)?;
    }
    writer.commit()?;
    Ok(files::remove(new, false)?)
}

/// A version's numbers, for comparing.
fn numbers(version: &str) -> Vec<u64> {
    version
        .split(['.', '-', '+'])
        .map_while(|part| part.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use capstan_sdk::Platform;

    use super::{look, numbers};

    #[test]
    fn a_file_is_looked_at_before_it_replaces_the_program() {
        let platform = Platform {
            kind: "linux".into(),
            name: "debian".into(),
            version: "12".into(),
            architecture: "x86_64".into(),
        };
        let elf = |machine: u8| {
            let mut header = b"\x7fELF\x02\x01\x01".to_vec();
            header.resize(16, 0);
            header.extend([3, 0, machine, 0]);
            header
        };
        assert!(look(&elf(62), &platform).unwrap().contains("x86_64"));
        assert!(look(&elf(183), &platform).is_err());
        assert!(look(b"#!/bin/sh\nexec something", &platform).is_err());
        assert!(look(b"", &platform).is_err());
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(numbers("0.10.0") > numbers("0.9.9"));
        assert!(numbers("1.0.0") > numbers("0.99"));
        assert_eq!(numbers("1.2.3-rc1"), numbers("1.2.3"));
    }
}
