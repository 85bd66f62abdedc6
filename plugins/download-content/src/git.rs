//! `sourceType: Git`: a repository, with the machine's own git and ssh.

use capstan_sdk::process::{Command, ExitStatus, OutputTarget, find};
use capstan_sdk::{Context, Error, Failure, Outcome, files};

use crate::remote::{Remote, remote};
use crate::source::{Revision, revision, secure};
use crate::{done, folder};

/// Answers git's questions with two variables, so that no password is in a command line or a file.
const HELPER: &str = "credential.helper=!f() { test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' \"$CAPSTAN_GIT_USER\" \"$CAPSTAN_GIT_PASSWORD\"; }; f";

/// Starts ssh for git: through the step's proxy where there is one, with the key and the known hosts in files that
/// nobody else can read and that go with the connection.
const SSH: &str = r#"f() { \
    folder=$(umask 077; mktemp -d) || return; \
    test -z "$CAPSTAN_GIT_KEY" || (umask 077; printf '%s\n' "$CAPSTAN_GIT_KEY" > "$folder/key") || return; \
    test -z "$CAPSTAN_GIT_HOSTS" || printf '%s\n' "$CAPSTAN_GIT_HOSTS" > "$folder/hosts" || return; \
    ssh -F none -o BatchMode=yes -o IdentitiesOnly=yes -o IdentityAgent=none -o ConnectTimeout=60 \
        -o StrictHostKeyChecking="$CAPSTAN_GIT_CHECK" -o UpdateHostKeys=no \
        ${CAPSTAN_GIT_HOSTS:+-o "UserKnownHostsFile=$folder/hosts"} \
        ${CAPSTAN_CONNECT:+-o "ProxyCommand=\"\$CAPSTAN_CONNECT\" connect %h %p"} \
        ${CAPSTAN_GIT_USER:+-l "$CAPSTAN_GIT_USER"} ${CAPSTAN_GIT_KEY:+-i "$folder/key"} "$@"; \
    status=$?; rm -rf "$folder"; return $status; \
}; f"#;

pub(crate) fn fetch(
    context: &Context,
    text: &dyn Fn(&str) -> Option<String>,
    destination: &str,
) -> Result<Outcome, Failure> {
    let repository =
        text("repository").ok_or_else(|| Failure::invalid("sourceInfo has no repository"))?;
    let remote = remote(&repository)?;
    let access = Access::of(text, &remote)?;
    let revision = revision(&text("getOptions").unwrap_or_default())?;
    for (program, package, needed) in [
        ("git", "git", true),
        (
            "ssh",
            "openssh-client",
            matches!(remote, Remote::Ssh { .. }),
        ),
    ] {
        if needed && find(program).is_none() {
            return Err(Failure::failed(format!(
                "{program} is not on this machine, or this step may not start it; install the package {package}"
            )));
        }
    }
    let folder = folder(context, destination)?;
    if !files::list_directory(&folder)?.is_empty() {
        return Err(Failure::failed(format!(
            "{folder} is not empty; git clones into an empty folder only"
        )));
    }
    may_remove(&folder)?;
    // What is in the folder from here on is ours, and would be in the way of the next attempt.
    if let Err(failure) = clone(&access, &repository, &revision, &folder) {
        for entry in files::list_directory(&folder)? {
            files::remove(&format!("{folder}/{}", entry.name), true)?;
        }
        return Err(failure);
    }
    done(&folder)
}

/// How git shows who it is, as variables for its programs.
struct Access {
    plain: Vec<(&'static str, String)>,
    secret: Vec<(&'static str, String)>,
}

impl Access {
    fn of(text: &dyn Fn(&str) -> Option<String>, remote: &Remote) -> Result<Self, Failure> {
        let mut access = Self {
            plain: Vec::new(),
            secret: Vec::new(),
        };
        let key = text("privateSSHKey");
        let unchecked = match text("skipHostKeyChecking") {
            None => false,
            Some(word) if word.eq_ignore_ascii_case("true") => true,
            Some(word) if word.eq_ignore_ascii_case("false") => false,
            Some(word) => {
                return Err(Failure::invalid(format!(
                    "skipHostKeyChecking is true or false, and not `{word}`"
                )));
            }
        };
        match remote {
            Remote::Web if key.is_some() => {
                return Err(Failure::invalid(
                    "privateSSHKey is for a repository over ssh, and this one is over HTTP: it takes username and password",
                ));
            }
            Remote::Web => {
                access.password("CAPSTAN_GIT_PASSWORD", "password", text("password"))?;
                access.user(text("username"));
            }
            Remote::Ssh { names_user } => {
                if text("password").is_some() {
                    return Err(Failure::invalid(
                        "a repository over ssh takes a privateSSHKey, and no password",
                    ));
                }
                access.password("CAPSTAN_GIT_KEY", "privateSSHKey", key)?;
                if !names_user {
                    access.user(text("username"));
                }
                let check = if unchecked { "no" } else { "yes" };
                access.plain.push(("CAPSTAN_GIT_CHECK", check.into()));
                // A comment is a file of its own that knows nobody, so that what is known elsewhere does not disagree.
                let hosts = match (unchecked, text("knownHosts")) {
                    (true, _) => Some("#".to_owned()),
                    (false, hosts) => hosts,
                };
                access
                    .plain
                    .extend(hosts.map(|hosts| ("CAPSTAN_GIT_HOSTS", hosts)));
            }
        }
        Ok(access)
    }

    fn user(&mut self, user: Option<String>) {
        const VARIABLE: &str = "CAPSTAN_GIT_USER";
        let Some(user) = user else { return };
        match secure(&user) {
            Some(name) => self.secret.push((VARIABLE, name.to_owned())),
            None => self.plain.push((VARIABLE, user)),
        }
    }

    fn password(
        &mut self,
        variable: &'static str,
        key: &str,
        value: Option<String>,
    ) -> Result<(), Failure> {
        if let Some(value) = value {
            let name = secure(&value).ok_or_else(|| {
                Failure::invalid(format!(
                    "the {key} is a reference to a SecureString: {{{{ssm-secure:NAME}}}}"
                ))
            })?;
            self.secret.push((variable, name.to_owned()));
        }
        Ok(())
    }
}

/// Git puts its own files in place by way of others, which it removes. Asked before there is anything to clean up.
fn may_remove(folder: &str) -> Result<(), Failure> {
    match files::remove(&format!("{folder}/.git"), false) {
        Err(Error::Denied(_)) => Err(Failure::denied(format!(
            "git removes files of its own in {folder}, which is not granted to this step; a policy grants it with grants: {{ files: [{{ path: {folder}, access: read-write }}] }}"
        ))),
        _ => Ok(()),
    }
}

fn clone(
    access: &Access,
    repository: &str,
    revision: &Revision,
    folder: &str,
) -> Result<(), Failure> {
    let mut arguments = vec!["clone", "--quiet", "--no-hardlinks"];
    if let Revision::Branch(branch) = revision {
        arguments.extend(["--single-branch", "--branch", branch]);
    }
    arguments.extend(["--", repository, folder]);
    run(access, &arguments)?;
    if let Revision::Commit(commit) = revision {
        run(
            access,
            &["-C", folder, "checkout", "--quiet", "--detach", commit],
        )?;
    }
    Ok(())
}

fn run(access: &Access, arguments: &[&str]) -> Result<(), Failure> {
    let mut command = Command::new("git")
        .args(["-c", HELPER])
        .args(arguments.iter().copied())
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_ALLOW_PROTOCOL", "http:https:ssh")
        .env("GIT_SSH_COMMAND", SSH)
        .env("GIT_SSH_VARIANT", "ssh")
        .stdout(OutputTarget::Step)
        .stderr(OutputTarget::Step);
    for (variable, value) in &access.plain {
        command = command.env(variable, value);
    }
    for (variable, name) in &access.secret {
        command = command.env_secret(variable, name);
    }
    match command.status()? {
        ExitStatus::Code(0) => Ok(()),
        ExitStatus::Code(code) => Err(Failure::failed(format!(
            "git ended with code {code}; the step's output has its reason"
        ))),
        other => Err(Failure::failed(format!("git was ended: {other:?}"))),
    }
}
