//! Packages of the machine's own package manager.

use capstan_sdk::process::{Command, ExitStatus, find};
use capstan_sdk::{Failure, Outcome, Status, step};

use crate::package::Wanted;

/// The package managers that are known, the preferred one first.
const MANAGERS: &[&str] = &["apt-get", "dnf", "yum", "zypper", "apk"];

/// The one that this machine has, as far as the step may start it.
pub(crate) fn manager() -> Option<&'static str> {
    MANAGERS.iter().copied().find(|name| find(name).is_some())
}

/// The version that is installed.
fn installed(manager: &str, name: &str) -> Result<Option<String>, Failure> {
    let command = match manager {
        "apt-get" => Command::new("dpkg-query").args([
            "-W",
            "-f",
            "${db:Status-Status} ${Version}",
            "--",
            name,
        ]),
        "apk" => Command::new("apk").args(["info", "-e", "-v", name]),
        _ => Command::new("rpm").args(["-q", "--qf", "%{VERSION}-%{RELEASE}", "--", name]),
    };
    let output = command.output()?;
    if !matches!(output.status, ExitStatus::Code(0)) {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(match manager {
        "apt-get" => text.strip_prefix("installed ").map(str::to_owned),
        "apk" => text.strip_prefix(&format!("{name}-")).map(str::to_owned),
        _ => Some(text),
    })
}

/// What installs or removes a package without asking.
fn arguments(manager: &str, wanted: &Wanted) -> Vec<String> {
    let package = match (&wanted.version, wanted.uninstall) {
        (Some(version), false) => {
            let joint = match manager {
                "dnf" | "yum" => '-',
                _ => '=',
            };
            format!("{}{joint}{version}", wanted.name)
        }
        _ => wanted.name.clone(),
    };
    let words: &[&str] = match (manager, wanted.uninstall) {
        // The step is confined already; apt's own user could not read the step's folders.
        ("apt-get", false) => &[
            "-y",
            "-q",
            "-o",
            "APT::Sandbox::User=root",
            "-o",
            "Dpkg::Options::=--force-confdef",
            "-o",
            "Dpkg::Options::=--force-confold",
            "install",
            "--",
        ],
        ("apt-get", true) => &["-y", "-q", "-o", "APT::Sandbox::User=root", "remove", "--"],
        ("zypper", false) => &["--non-interactive", "install", "--"],
        ("zypper", true) => &["--non-interactive", "remove", "--"],
        ("apk", false) => &["add", "--"],
        ("apk", true) => &["del", "--"],
        (_, false) => &["-y", "install", "--"],
        (_, true) => &["-y", "remove", "--"],
    };
    words
        .iter()
        .map(|word| (*word).to_owned())
        .chain([package])
        .collect()
}

pub(crate) fn configure(wanted: &Wanted) -> Result<Outcome, Failure> {
    let Some(manager) = manager() else {
        return Err(Failure::failed(
            "there is no package manager that this step may start (apt-get, dnf, yum, zypper, apk), and no repository is set",
        ));
    };
    let name = &wanted.name;
    let before = installed(manager, name)?;
    match (&before, wanted.uninstall) {
        (None, true) => {
            step::print(&format!("{name} is not installed\n"));
            return Ok(Outcome::success());
        }
        (Some(version), false) if wanted.version.as_ref() == Some(version) => {
            step::print(&format!("{name} {version} is installed already\n"));
            return Ok(Outcome::success());
        }
        _ => {}
    }
    let status = Command::new(manager)
        .args(arguments(manager, wanted))
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status()?;
    let code = match status {
        ExitStatus::Code(code) => code,
        ExitStatus::Signal(signal) => 128 + signal,
        _ => 137,
    };
    let after = installed(manager, name)?;
    let verb = if wanted.uninstall {
        "remove"
    } else {
        "install"
    };
    if code != 0 || after.is_some() == wanted.uninstall {
        step::print_error(&format!(
            "{manager} could not {verb} {name} (exit status {code})\n"
        ));
        return Ok(Outcome::done(
            Status::Failed,
            if code == 0 { 1 } else { code },
        ));
    }
    match after {
        Some(version) if before.as_ref() == Some(&version) => {
            step::print(&format!(
                "{name} {version} is the newest, and installed already\n"
            ));
        }
        Some(version) => step::print(&format!("{name} {version} is installed\n")),
        None => step::print(&format!("{name} is uninstalled\n")),
    }
    Ok(Outcome::success())
}
