//! Builds the actions in `plugins/` and makes them a part of the program.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let workspace = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?)
        .join("../..")
        .canonicalize()?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for watched in [
        "plugins",
        "sdk/rust/src",
        "sdk/rust/macros/src",
        "wit",
        "Cargo.toml",
        "host/cli/build.rs",
    ] {
        println!(
            "cargo::rerun-if-changed={}",
            workspace.join(watched).display()
        );
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(workspace.join("plugins"))? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    let crates: Vec<&str> = names.iter().map(String::as_str).collect();
    let components =
        capstan_sdk_build::build_components(&workspace, &out.join("components"), &crates)?;
    let mut table = String::from(
        "/// The built-in actions: the name of the crate, and the component.\npub(crate) static BUILT_IN: &[(&str, &[u8])] = &[\n",
    );
    for (name, component) in crates.iter().zip(components) {
        writeln!(table, "    ({name:?}, include_bytes!({component:?})),")?;
    }
    table.push_str("];\n");
    fs::write(out.join("built_in.rs"), table)?;
    Ok(())
}
