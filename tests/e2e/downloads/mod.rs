//! `aws:downloadContent`, from servers on loopback.

mod http;
mod repositories;
mod s3;
mod secrets;
mod ssh;

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{HttpServer, Machine, Run};

/// Downloads from a kind of source and prints what came.
fn fetch(
    machine: &Machine,
    kind: &str,
    info: &Value,
    script: &str,
    grants: &str,
    env: &[(&str, &str)],
) -> Run {
    let document = json!({
        "schemaVersion": "2.2",
        "mainSteps": [
            { "name": "get", "action": "aws:downloadContent", "inputs": {
                "onFailure": "exit", "sourceType": kind, "sourceInfo": info.to_string(), "destinationPath": "/tmp/got" } },
            { "name": "show", "action": "aws:runShellScript", "inputs": { "runCommand": [script] } },
        ],
    });
    let policy = machine.file(
        "policy.yaml",
        format!("version: 1\nrules:\n  - id: test\n    grants: {{ {grants} }}\n"),
    );
    let document = machine.file("document.json", document.to_string());
    let output = machine
        .command()
        .envs(env.iter().copied())
        .args(["run", "--output", "json", "--policy"])
        .args([&policy, &document])
        .output()
        .unwrap();
    Run::of(output)
}

/// Downloads to a path and shows nothing.
fn fetch_to(machine: &Machine, kind: &str, info: &Value, to: &Path, policy: &str) -> Run {
    let document = json!({
        "schemaVersion": "2.2",
        "mainSteps": [{ "name": "get", "action": "aws:downloadContent", "inputs": {
            "sourceType": kind, "sourceInfo": info, "destinationPath": to } }],
    });
    let policy = machine.file("policy.yaml", policy);
    machine.run(
        &document.to_string(),
        &["--policy", &policy.display().to_string()],
    )
}

/// A policy with hosts, and files each with its access.
fn grants(server: &HttpServer, files: &[(&Path, &str)]) -> String {
    let files: String = files
        .iter()
        .map(|(path, access)| format!("{{ path: {}, access: {access} }}, ", path.display()))
        .collect();
    format!(
        "version: 1\nrules:\n  - id: test\n    grants: {{ hosts: [\"{}\"], files: [{files}] }}\n",
        server.url("")
    )
}

/// The names in a folder, hidden ones too.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// All text below a folder.
fn walk(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            text.push_str(&walk(&path));
        } else if path.is_file() {
            text.push_str(&String::from_utf8_lossy(
                &std::fs::read(&path).unwrap_or_default(),
            ));
        }
    }
    text
}
