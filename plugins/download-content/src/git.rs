//! `sourceType: Git`: a repository, with the machine's own git.

use capstan_sdk::process::{Command, ExitStatus, OutputTarget, find};
use capstan_sdk::{Context, Error, Failure, FailureKind, Outcome, files};

use crate::source::{Revision, revision, secure};
use crate::{done, folder};

/// Answers git's questions with two variables, so that no password is in a command line or a file.
const HELPER: &str = "credential.helper=!f() { test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' \"$CAPSTAN_GIT_USER\" \"$CAPSTAN_GIT_PASSWORD\"; }; f";

pub(crate) fn fetch(
    context: &Context,
    text: &dyn Fn(&str) -> Option<String>,
    destination: &str,
) -> Result<Outcome, Failure> {
    let repository =
        text("repository").ok_or_else(|| Failure::invalid("sourceInfo has no repository"))?;
    if text("privateSSHKey").is_some() || !is_web(&repository) {
        return Err(Failure::invalid(format!(
            "{repository}: a step reaches hosts through a proxy by name, which ssh does not speak; use the repository's https URL with username and password"
        )));
    }
    let revision = revision(&text("getOptions").unwrap_or_default())?;
    if find("git").is_none() {
        return Err(Failure::failed(
            "git is not on this machine, or this step may not start it; install the package git",
        ));
    }
    let folder = folder(context, destination)?;
    if !files::list_directory(&folder)?.is_empty() {
        return Err(Failure::failed(format!(
            "{folder} is not empty; git clones into an empty folder only"
        )));
    }
    may_remove(&folder)?;
    // What is in the folder from here on is ours, and would be in the way of the next attempt.
    if let Err(failure) = clone(text, &repository, &revision, &folder) {
        for entry in files::list_directory(&folder)? {
            files::remove(&format!("{folder}/{}", entry.name), true)?;
        }
        return Err(failure);
    }
    done(&folder)
}

/// Git puts its own files in place by way of others, which it removes. Asked before there is anything to clean up.
fn may_remove(folder: &str) -> Result<(), Failure> {
    match files::remove(&format!("{folder}/.git"), false) {
        Err(Error::Denied(_)) => Err(Failure {
            kind: FailureKind::Denied,
            message: format!(
                "git removes files of its own in {folder}, which is not granted to this step; a policy grants it with grants: {{ files: [{{ path: {folder}, access: read-write }}] }}"
            ),
        }),
        _ => Ok(()),
    }
}

fn clone(
    text: &dyn Fn(&str) -> Option<String>,
    repository: &str,
    revision: &Revision,
    folder: &str,
) -> Result<(), Failure> {
    let mut arguments = vec!["clone", "--quiet", "--no-hardlinks"];
    if let Revision::Branch(branch) = revision {
        arguments.extend(["--single-branch", "--branch", branch]);
    }
    arguments.extend(["--", repository, folder]);
    run(text, &arguments)?;
    if let Revision::Commit(commit) = revision {
        run(
            text,
            &["-C", folder, "checkout", "--quiet", "--detach", commit],
        )?;
    }
    Ok(())
}

fn is_web(repository: &str) -> bool {
    (repository.starts_with("https://") || repository.starts_with("http://"))
        && !repository.contains(char::is_whitespace)
}

fn run(text: &dyn Fn(&str) -> Option<String>, arguments: &[&str]) -> Result<(), Failure> {
    let mut command = Command::new("git")
        .args(["-c", HELPER])
        .args(arguments.iter().copied())
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdout(OutputTarget::Step)
        .stderr(OutputTarget::Step);
    if let Some(user) = text("username") {
        command = match secure(&user) {
            Some(name) => command.env_secret("CAPSTAN_GIT_USER", name),
            None => command.env("CAPSTAN_GIT_USER", user),
        };
    }
    if let Some(password) = text("password") {
        let name = secure(&password).ok_or_else(|| {
            Failure::invalid("the password is a reference to a SecureString: {{ssm-secure:NAME}}")
        })?;
        command = command.env_secret("CAPSTAN_GIT_PASSWORD", name);
    }
    match command.status()? {
        ExitStatus::Code(0) => Ok(()),
        ExitStatus::Code(code) => Err(Failure::failed(format!("git ended with code {code}"))),
        other => Err(Failure::failed(format!("git was ended: {other:?}"))),
    }
}
