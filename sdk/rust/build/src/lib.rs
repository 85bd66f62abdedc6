//! Builds actions written in Rust to components, from a build script or a test.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target that components are built for.
pub const TARGET: &str = "wasm32-wasip2";

/// Why components were not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The toolchain lacks the target and it could not be added.
    #[error("the target {TARGET} is not installed; add it with `rustup target add {TARGET}`")]
    MissingTarget,
    /// Cargo could not be started.
    #[error("cargo could not be started: {0}")]
    Cargo(#[from] std::io::Error),
    /// A crate does not compile; cargo has said why.
    #[error("building {0} for {TARGET} failed")]
    Failed(String),
}

/// Builds crates of a workspace, each a `cdylib`, and returns their components in the same order.
///
/// `workspace` is the folder of the workspace, `target` a folder for what is built: one of its own, since the
/// cargo that runs the caller holds the lock of the usual one.
///
/// # Errors
/// See [`BuildError`].
pub fn build_components(
    workspace: &Path,
    target: &Path,
    crates: &[&str],
) -> Result<Vec<PathBuf>, BuildError> {
    ensure_target()?;
    let mut command =
        Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command
        .args([
            "build",
            "--profile",
            "component",
            "--target",
            TARGET,
            "--target-dir",
        ])
        .arg(target)
        .current_dir(workspace);
    for name in crates {
        command.args(["-p", name]);
    }
    // What the outer cargo set for its own target, or for a lint run, is not meant for this one.
    for variable in [
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTFLAGS",
        "CARGO_TARGET_DIR",
        "CARGO_BUILD_TARGET",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_WRAPPER",
        "CLIPPY_ARGS",
        "CARGO_MAKEFLAGS",
        "MAKEFLAGS",
        "RUSTC",
        "RUSTDOC",
    ] {
        command.env_remove(variable);
    }
    if !command.status()?.success() {
        return Err(BuildError::Failed(crates.join(", ")));
    }
    let folder = target.join(TARGET).join("component");
    Ok(crates
        .iter()
        .map(|name| folder.join(format!("{}.wasm", name.replace('-', "_"))))
        .collect())
}

/// Makes sure that the toolchain has the target; a toolchain of rustup gets it.
///
/// # Errors
/// When rustc cannot be started, or the target cannot be added.
pub fn ensure_target() -> Result<(), BuildError> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let libraries = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()?;
    let folder = PathBuf::from(String::from_utf8_lossy(&libraries.stdout).trim().to_owned());
    if libraries.status.success() && folder.is_dir() {
        return Ok(());
    }
    let added = Command::new("rustup")
        .args(["target", "add", TARGET])
        .status();
    if added.is_ok_and(|status| status.success()) {
        Ok(())
    } else {
        Err(BuildError::MissingTarget)
    }
}
