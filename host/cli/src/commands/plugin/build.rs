//! `capstan plugin build`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use capstan_runtime::{ComponentInfo, check_acceptable, describe, inspect, with_manifest};

use super::project::Project;
use super::{Language, tools};

/// A component that was built.
pub(super) struct Built {
    path: PathBuf,
    info: ComponentInfo,
}

impl Built {
    /// Says what came out.
    pub(super) fn print(&self) {
        let names: Vec<&str> = self.info.manifest.names().collect();
        outln!(
            "{}: {} KB, {} {}",
            self.path.display(),
            self.info.size.div_ceil(1000),
            names.join(", "),
            self.info.manifest.version
        );
        outln!("imports {}", self.info.imports.join(", "));
    }
}

/// Builds a project's component, with its manifest in it.
pub(super) fn build(project: &Project) -> Result<Built> {
    match project.language {
        Language::Rust => rust(project)?,
        Language::Python => {
            let python = tools::python(project)?;
            let mut command = Command::new(python);
            command
                .args(["-m", "capstan.build", "--quiet"])
                .arg(&project.source)
                .arg("--output")
                .arg(&project.output)
                .current_dir(&project.folder);
            tools::run(&mut command, "")?;
        }
        Language::Javascript => {
            tools::node_modules(project)?;
            let mut command = Command::new("node");
            command
                .arg("node_modules/capstan-sdk/bin/capstan-build.js")
                .arg("--quiet")
                .arg(&project.source)
                .arg("--output")
                .arg(&project.output)
                .current_dir(&project.folder);
            tools::run(&mut command, tools::NODE)?;
        }
    }
    let wasm = fs::read(&project.output).with_context(|| project.output.display().to_string())?;
    let info = inspect(&wasm).with_context(|| project.output.display().to_string())?;
    check_acceptable(&info)
        .with_context(|| format!("{} would be refused", project.output.display()))?;
    Ok(Built {
        path: project.output.clone(),
        info,
    })
}

fn rust(project: &Project) -> Result<()> {
    tools::ensure_sdk(project)?;
    let target = capstan_sdk_build::TARGET;
    capstan_sdk_build::ensure_target().map_err(|error| match error {
        capstan_sdk_build::BuildError::Cargo(_) => {
            anyhow::anyhow!("Rust is not installed: {}", tools::CARGO)
        }
        other => other.into(),
    })?;
    let mut command = Command::new("cargo");
    command
        .args([
            "build",
            "--release",
            "--target",
            target,
            "--message-format",
            "json-render-diagnostics",
        ])
        .current_dir(&project.folder)
        .stdout(Stdio::piped());
    let child = command
        .spawn()
        .map_err(|error| tools::missing(&command, &error, tools::CARGO))?;
    let output = child.wait_with_output().context("cargo")?;
    if !output.status.success() {
        bail!("the component does not compile, see above");
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let Some(file) = artifact(&messages, &project.folder.join("Cargo.toml")) else {
        bail!(
            "cargo made no component of {}: a plugin is a library, with crate-type = [\"cdylib\"] in [lib] of Cargo.toml",
            project.folder.display()
        );
    };
    let wasm = fs::read(&file).with_context(|| file.display().to_string())?;
    let wasm = described(wasm).with_context(|| project.output.display().to_string())?;
    fs::write(&project.output, wasm).with_context(|| project.output.display().to_string())
}

/// With the manifest that the component makes, unless it holds one from a file.
fn described(wasm: Vec<u8>) -> Result<Vec<u8>> {
    if inspect(&wasm).is_ok() {
        return Ok(wasm);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let manifest = runtime.block_on(describe(&wasm))?;
    Ok(with_manifest(&wasm, &manifest)?)
}

/// The component of a package among cargo's messages.
fn artifact(messages: &str, manifest: &Path) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| {
            message["reason"] == "compiler-artifact"
                && message["manifest_path"].as_str().map(Path::new) == Some(manifest)
        })
        .filter_map(|message| {
            let files = message["filenames"].as_array()?;
            let mut files = files.iter().filter_map(serde_json::Value::as_str);
            files
                .find(|file| file.ends_with(".wasm"))
                .map(PathBuf::from)
        })
        .next_back()
}
