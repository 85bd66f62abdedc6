//! The tools of the languages: found, made ready, or missing with a word on how to get them.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use super::project::Project;
use super::{Language, carried};

/// Runs a tool to its end; its output is the terminal's.
pub(super) fn run(command: &mut Command, help: &str) -> Result<()> {
    let status = start(command, help)?;
    if !status {
        bail!("{} failed, see above", shown(command));
    }
    Ok(())
}

/// The same, and tells whether it ended well.
pub(super) fn start(command: &mut Command, help: &str) -> Result<bool> {
    Ok(command
        .status()
        .map_err(|error| missing(command, &error, help))?
        .success())
}

/// What to say of a tool that does not start.
pub(super) fn missing(command: &Command, error: &io::Error, help: &str) -> anyhow::Error {
    let name = command.get_program().display();
    match error.kind() {
        io::ErrorKind::NotFound => anyhow::anyhow!("`{name}` is not installed: {help}"),
        _ => anyhow::anyhow!("`{name}` could not be started: {error}"),
    }
}

fn shown(command: &Command) -> String {
    let words = command.get_args().map(|word| word.display().to_string());
    let name = command.get_program().display().to_string();
    std::iter::once(name)
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ")
}

/// How to get cargo.
pub(super) const CARGO: &str = "https://rustup.rs installs it";
const PYTHON: &str =
    "Python 3.11 or newer is needed; on Debian and Ubuntu: apt install python3 python3-venv";
/// How to get Node.
pub(super) const NODE: &str = "Node 20 or newer is needed, with npm: https://nodejs.org";

/// A Python that has the SDK: the one of the active environment, else the project's own, which is made if it is missing.
pub(super) fn python(project: &Project) -> Result<PathBuf> {
    if let Some(active) = std::env::var_os("VIRTUAL_ENV") {
        let python = Path::new(&active).join("bin/python");
        if has_sdk(&python) {
            return Ok(python);
        }
    }
    let environment = project.folder.join(".venv");
    let python = environment.join("bin/python");
    if has_sdk(&python) {
        return Ok(python);
    }
    ensure_sdk(project)?;
    if !python.exists() {
        errln!("making the environment {}", environment.display());
        let mut command = Command::new("python3");
        command.args(["-m", "venv"]).arg(&environment);
        if !start(&mut command, PYTHON)? {
            bail!("the environment could not be made, see above: {PYTHON}");
        }
    }
    errln!(
        "installing the SDK, pytest and what they need into {}",
        environment.display()
    );
    let sdk = project.folder.join(carried::FOLDER).join("sdk/python");
    run(pip(&python).arg(sdk).arg("pytest"), PYTHON)?;
    // What the project itself needs besides.
    run(pip(&python).arg("--editable").arg(&project.folder), PYTHON)?;
    Ok(python)
}

fn pip(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]);
    command
}

fn has_sdk(python: &Path) -> bool {
    Command::new(python)
        .args(["-c", "import capstan.build, pytest"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Installs the packages of a JavaScript project, if that was not done yet.
pub(super) fn node_modules(project: &Project) -> Result<()> {
    let sdk = project.folder.join("node_modules/capstan-sdk/package.json");
    if sdk.is_file() {
        return Ok(());
    }
    ensure_sdk(project)?;
    errln!("installing the packages of {}", project.folder.display());
    let mut command = Command::new("npm");
    command
        .args(["install", "--no-audit", "--no-fund", "--loglevel", "error"])
        .current_dir(&project.folder);
    run(&mut command, NODE)
}

/// Puts the SDK there if it is missing, as after a clone without it.
pub(super) fn ensure_sdk(project: &Project) -> Result<()> {
    let sdk = project
        .folder
        .join(carried::FOLDER)
        .join("sdk")
        .join(project.language.folder());
    // A project that takes the SDK from elsewhere has no such folder, and needs none.
    let wanted = match project.language {
        Language::Python => true,
        Language::Rust => mentions(&project.folder.join("Cargo.toml")),
        Language::Javascript => mentions(&project.folder.join("package.json")),
    };
    if wanted && !sdk.is_dir() {
        carried::put_sdk(&project.folder, project.language)?;
    }
    Ok(())
}

fn mentions(file: &Path) -> bool {
    std::fs::read_to_string(file).is_ok_and(|text| text.contains(carried::FOLDER))
}
