//! Packages in the distributor's format: an archive with `install.sh`, `uninstall.sh`, and perhaps `update.sh` and
//! `validate.sh`.

use std::time::Duration;

use capstan_sdk::process::{Command, ExitStatus, find};
use capstan_sdk::{Context, Event, Failure, Outcome, Status, Step, files, http, serde_json, step};
use serde::{Deserialize, Serialize};

use crate::{archive, repository, system};

/// A script of a package has this long.
const SCRIPT_TIME: Duration = Duration::from_secs(3600);
/// The script asks for a restart.
const REBOOT: i32 = 194;

/// What a step asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    pub(crate) uninstall: bool,
    pub(crate) in_place: bool,
    pub(crate) arguments: Vec<(String, String)>,
}

/// What is known of a package on this node, in `state.json` of its folder.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Installed {
    version: Option<String>,
    state: State,
}

/// The agent's words.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    #[default]
    None,
    Installing,
    Installed,
    Uninstalling,
    Uninstalled,
    Updating,
    RollbackInstall,
    Failed,
}

/// Work in progress, across restarts of the machine.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    wanted: Wanted,
    /// What is to be there in the end; none is nothing.
    target: Option<String>,
    /// What was there.
    old: Option<String>,
    next: Phase,
}

/// The phases of the work, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    RemoveOld,
    Install,
    Update,
    Validate,
    /// The new version did not install: it goes again,
    RemoveNew,
    /// and the old one comes back.
    InstallOld,
    Done,
}

struct Folder {
    path: String,
}

impl Folder {
    fn of(context: &Context, name: &str) -> Self {
        Self {
            path: format!("{}/{name}", context.data_directory),
        }
    }

    fn version(&self, version: &str) -> String {
        format!("{}/{version}", self.path)
    }

    fn read(&self) -> Result<Installed, Failure> {
        let path = format!("{}/state.json", self.path);
        if files::stat(&path).is_err() {
            return Ok(Installed::default());
        }
        serde_json::from_slice(&files::read_all(&path)?).map_err(|error| {
            Failure::failed(format!(
                "{path} is damaged ({error}); remove it to have the package installed anew"
            ))
        })
    }

    fn write(&self, version: Option<&str>, state: State) -> Result<(), Failure> {
        let installed = Installed {
            version: version.map(str::to_owned),
            state,
        };
        let text = serde_json::to_vec(&installed).unwrap_or_default();
        Ok(files::write(
            &format!("{}/state.json", self.path),
            0o600,
            &text,
        )?)
    }
}

pub(crate) fn configure(
    context: &Context,
    wanted: &Wanted,
    repository: &str,
) -> Result<Step<Plan, Outcome>, Failure> {
    let folder = Folder::of(context, &wanted.name);
    let installed = folder.read()?;
    let old = installed
        .version
        .clone()
        .filter(|version| files::stat(&folder.version(version)).is_ok());
    if wanted.uninstall {
        let there = match (&old, &wanted.version) {
            (Some(old), Some(version)) if old != version => None,
            (old, _) => old.clone(),
        };
        let Some(old) = there else {
            step::print(&format!("{} is not installed\n", wanted.name));
            return Ok(Step::Done(Outcome::success()));
        };
        return go_on(
            context,
            Plan {
                wanted: wanted.clone(),
                target: None,
                old: Some(old),
                next: Phase::RemoveOld,
            },
        );
    }
    let (source, manifest) = repository::find(repository, &wanted.name, wanted.version.as_deref())?;
    let target = manifest.version.clone();
    let same = old.as_ref() == Some(&target);
    if same && installed.state == State::Installed {
        let plan = Plan {
            wanted: wanted.clone(),
            target: Some(target.clone()),
            old: None,
            next: Phase::Validate,
        };
        if script(context, &plan, &folder.version(&target), "validate")? == Ran::Well {
            step::print(&format!("{} {target} is installed already\n", wanted.name));
            return Ok(Step::Done(Outcome::success()));
        }
    }
    files::create_directory(&folder.path)?;
    let archive = format!("{}/{target}.zip", folder.path);
    source.fetch(context, &manifest, &archive)?;
    let unpacked = archive::unpack(&archive, &folder.version(&target));
    files::remove(&archive, false)?;
    unpacked?;
    let old = old.filter(|_| !same);
    let next = match (&old, wanted.in_place) {
        (Some(_), true) => Phase::Update,
        (Some(_), false) => Phase::RemoveOld,
        (None, _) => Phase::Install,
    };
    go_on(
        context,
        Plan {
            wanted: wanted.clone(),
            target: Some(target),
            old,
            next,
        },
    )
}

pub(crate) fn resume(
    context: &Context,
    plan: Plan,
    _: Event,
) -> Result<Step<Plan, Outcome>, Failure> {
    go_on(context, plan)
}

/// How a script ended.
#[derive(Debug, PartialEq, Eq)]
enum Ran {
    /// With success, or there is none.
    Well,
    Badly(i32),
    Restart,
}

/// Works through the phases. A script that asks for a restart is followed by the next phase after it.
fn go_on(context: &Context, mut plan: Plan) -> Result<Step<Plan, Outcome>, Failure> {
    let folder = Folder::of(context, &plan.wanted.name);
    let name = plan.wanted.name.clone();
    let mut failed = None;
    while plan.next != Phase::Done {
        let phase = plan.next;
        let (old, target) = (plan.old.clone(), plan.target.clone());
        let (version, word, state) = match phase {
            Phase::RemoveOld => (&old, "uninstall", State::Uninstalling),
            Phase::Install => (&target, "install", State::Installing),
            Phase::Update => (&target, "update", State::Updating),
            Phase::Validate => (&target, "validate", State::Installing),
            Phase::RemoveNew => (&target, "uninstall", State::RollbackInstall),
            Phase::InstallOld => (&old, "install", State::RollbackInstall),
            Phase::Done => break,
        };
        let Some(version) = version else {
            plan.next = Phase::Done;
            continue;
        };
        folder.write(Some(version), state)?;
        let path = folder.version(version);
        if word != "validate" && files::stat(&format!("{path}/{word}.sh")).is_err() {
            return Err(Failure::failed(format!(
                "version {version} of the package {name} has no {word}.sh"
            )));
        }
        let ran = script(context, &plan, &path, word)?;
        plan.next = match (phase, &ran) {
            (Phase::RemoveOld, Ran::Badly(code)) => {
                folder.write(Some(version), State::Failed)?;
                return Err(Failure::failed(format!(
                    "uninstall.sh of {name} {version} ended with code {code}; nothing else was done"
                )));
            }
            (Phase::RemoveOld, _) if target.is_none() => Phase::Done,
            (Phase::RemoveOld, _) => Phase::Install,
            (Phase::Install | Phase::Update, Ran::Badly(code))
            | (Phase::Validate, Ran::Badly(code)) => {
                failed = Some(format!(
                    "{word}.sh of {name} {version} ended with code {code}"
                ));
                // Without something to go back to, what there is stays for whoever looks into it.
                if old.is_some() {
                    Phase::RemoveNew
                } else {
                    Phase::Done
                }
            }
            (Phase::Install | Phase::Update, _) => Phase::Validate,
            (Phase::Validate | Phase::InstallOld, _) => Phase::Done,
            (Phase::RemoveNew, _) => Phase::InstallOld,
            (Phase::Done, _) => Phase::Done,
        };
        if ran == Ran::Restart {
            return Ok(Step::reboot(
                plan,
                format!("{word}.sh of {name} asked for a restart of the machine (exit code 194)"),
            ));
        }
        if phase == Phase::InstallOld && matches!(ran, Ran::Badly(_)) {
            failed = failed
                .map(|why| format!("{why}, and the version before could not be brought back"));
        }
    }
    finish(&folder, &plan, failed).map(Step::Done)
}

fn finish(folder: &Folder, plan: &Plan, failed: Option<String>) -> Result<Outcome, Failure> {
    let name = &plan.wanted.name;
    match (&plan.target, failed) {
        (_, Some(why)) => {
            let rolled_back = plan.old.is_some();
            match (&plan.old, &plan.target) {
                (Some(old), Some(target)) => {
                    folder.write(Some(old), State::Installed)?;
                    files::remove(&folder.version(target), true)?;
                }
                (_, target) => folder.write(target.as_deref(), State::Failed)?,
            }
            let after = if rolled_back {
                "; the version before was installed again"
            } else {
                ""
            };
            step::print_error(&format!("{why}{after}\n"));
            Ok(Outcome::done(Status::Failed, 1))
        }
        (Some(target), None) => {
            folder.write(Some(target), State::Installed)?;
            if let Some(old) = &plan.old {
                files::remove(&folder.version(old), true)?;
            }
            step::print(&format!("{name} {target} is installed\n"));
            Ok(Outcome::success())
        }
        (None, None) => {
            if let Some(old) = &plan.old {
                files::remove(&folder.version(old), true)?;
            }
            folder.write(None, State::Uninstalled)?;
            step::print(&format!("{name} is uninstalled\n"));
            Ok(Outcome::success())
        }
    }
}

/// Runs a script of a package, in the package's folder.
fn script(context: &Context, plan: &Plan, folder: &str, word: &str) -> Result<Ran, Failure> {
    let path = format!("{folder}/{word}.sh");
    if files::stat(&path).is_err() {
        return Ok(Ran::Well);
    }
    let mut command = Command::new("shell")
        .arg(&path)
        .current_dir(folder)
        .timeout(SCRIPT_TIME);
    let region = http::aws_region();
    for (name, value) in [
        (
            "BWS_ACTION_NAME",
            if plan.target.is_none() {
                "Uninstall"
            } else {
                "Install"
            },
        ),
        ("BWS_PLATFORM_NAME", &context.platform.name),
        ("BWS_PLATFORM_VERSION", &context.platform.version),
        ("BWS_PLATFORM_FAMILY", &context.platform.kind),
        ("BWS_ARCHITECTURE", &context.platform.architecture),
        (
            "BWS_INIT_SYSTEM",
            if find_file("/usr/lib/systemd/systemd") {
                "systemd"
            } else {
                ""
            },
        ),
        ("BWS_PACKAGE_MANAGER", system::manager().unwrap_or_default()),
        ("BWS_INSTANCE_ID", &context.node_id),
        ("BWS_INSTANCE_TYPE", ""),
        ("BWS_REGION", &region),
        ("BWS_ACCOUNT_ID", ""),
        ("BWS_AVAILABILITY_ZONE", ""),
    ] {
        command = command.env(name, value);
    }
    for (name, value) in &plan.wanted.arguments {
        command = command.env(name, value.as_str());
    }
    if find("shell").is_none() {
        return Err(Failure::failed("there is no shell on this machine"));
    }
    Ok(match command.status()? {
        ExitStatus::Code(0) => Ran::Well,
        ExitStatus::Code(REBOOT) => Ran::Restart,
        ExitStatus::Code(code) => Ran::Badly(code),
        ExitStatus::Signal(signal) => Ran::Badly(128 + signal),
        _ => Ran::Badly(137),
    })
}

fn find_file(path: &str) -> bool {
    files::stat(path).is_ok()
}
