//! Builds the actions in `plugins/` and makes them a part of the program, together with the SDKs and the templates of
//! plugin projects.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// What is carried for plugin developers: folders of the repository, and the endings of what is taken from there.
const CARRIED: &[(&str, &[&str])] = &[
    ("wit", &["wit", "md"]),
    ("sdk/rust/Cargo.toml", &["toml"]),
    ("sdk/rust/src", &["rs"]),
    ("sdk/rust/macros", &["rs", "toml"]),
    ("sdk/rust/test", &["rs", "toml"]),
    ("sdk/python/pyproject.toml", &["toml"]),
    ("sdk/python/hatch_build.py", &["py"]),
    ("sdk/python/README.md", &["md"]),
    ("sdk/python/src", &["py"]),
    ("sdk/javascript/package.json", &["json"]),
    ("sdk/javascript/README.md", &["md"]),
    ("sdk/javascript/bin", &["js"]),
    ("sdk/javascript/src", &["js", "ts"]),
    ("sdk/templates", &[]),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let workspace = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?)
        .join("../..")
        .canonicalize()?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for watched in ["plugins", "Cargo.toml", "host/cli/build.rs"] {
        watch(&workspace.join(watched));
    }
    built_in(&workspace, &out)?;
    carried(&workspace, &out)
}

fn watch(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}

fn built_in(workspace: &Path, out: &Path) -> Result<(), Box<dyn std::error::Error>> {
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
        capstan_sdk_build::build_components(workspace, &out.join("components"), &crates)?;
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

fn carried(workspace: &Path, out: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let mut table = String::from(
        "/// What plugin projects are made of: paths in the repository, and contents.\npub(crate) static CARRIED: &[(&str, &str)] = &[\n",
    );
    for (folder, endings) in CARRIED {
        watch(&workspace.join(folder));
        let mut files = Vec::new();
        collect(&workspace.join(folder), &mut files)?;
        files.sort();
        for file in files {
            let path = file.strip_prefix(workspace)?.display().to_string();
            let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
            if endings.is_empty() || endings.contains(&ending) {
                writeln!(table, "    ({path:?}, include_str!({file:?})),")?;
            }
        }
    }
    table.push_str("];\n");
    fs::write(out.join("carried.rs"), table)?;
    Ok(())
}

/// The files below a folder, without what tools leave there.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        if !matches!(
            name.to_str(),
            Some("__pycache__" | "node_modules" | "target" | "_wit" | ".pytest_cache" | ".venv")
        ) {
            collect(&entry.path(), files)?;
        }
    }
    Ok(())
}
