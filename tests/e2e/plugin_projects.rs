//! The way of a plugin developer: a new project in each language, and the examples, each built, tested and run.
//!
//! Rust always; Python and JavaScript where `CAPSTAN_TEST_LANGUAGES` names them (`rust,python,javascript`), since they take
//! packages from elsewhere.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::Machine;

/// `capstan` as a developer has it: with the tools of the languages within reach.
fn capstan(machine: &Machine, folder: &Path) -> Command {
    let mut command = machine.command();
    command.current_dir(folder);
    for name in [
        "PATH",
        "HOME",
        "CARGO_HOME",
        "RUSTUP_HOME",
        "PIP_INDEX_URL",
        "PIP_CONFIG_FILE",
        "NPM_CONFIG_REGISTRY",
    ] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    // What all projects depend on is compiled once.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-projects");
    command.env("CARGO_TARGET_DIR", target);
    command
}

fn wanted(language: &str) -> bool {
    let listed = std::env::var("CAPSTAN_TEST_LANGUAGES").unwrap_or_else(|_| "rust".to_owned());
    let wanted = listed.split(',').any(|one| one.trim() == language);
    if !wanted {
        eprintln!("left out: {language} is not in CAPSTAN_TEST_LANGUAGES");
    }
    wanted
}

fn succeed(command: &mut Command) -> String {
    let output: Output = command.output().unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

/// From an empty folder to a run of the generated document, by the commands of the guide.
fn goes_from_nothing_to_a_run(language: &str) {
    if !wanted(language) {
        return;
    }
    let machine = Machine::new();
    let empty = machine.path("");
    for collector in [false, true] {
        let name = if collector { "shop-config" } else { "hello" };
        let mut new = capstan(&machine, &empty);
        new.args(["plugin", "new", name, "--lang", language]);
        if collector {
            new.arg("--collector");
        }
        assert!(succeed(&mut new).contains("capstan plugin test"));
        let project = machine.path(name);
        let step = |arguments: &[&str]| succeed(capstan(&machine, &project).args(arguments));
        let tested = step(&["plugin", "test"]);
        assert!(tested.contains(&format!("{name}.wasm: ")), "{tested}");
        step(&["action", "inspect", &format!("./{name}.wasm")]);
        step(&["plugin", "install", ".", "--yes"]);
        let ran = step(&[
            "run",
            "document.yaml",
            "--policy",
            "policy.yaml",
            "--output",
            "json",
        ]);
        assert!(ran.contains("\"Success\""), "{ran}");
        if collector {
            assert!(ran.contains("Custom:ConfigFile"), "{ran}");
        } else {
            assert!(ran.contains("hello world"), "{ran}");
            let greeting = Path::new("/var/tmp").join(format!("{name}.txt"));
            assert_eq!(std::fs::read_to_string(&greeting).unwrap(), "hello world\n");
            std::fs::remove_file(greeting).unwrap();
        }
    }
}

#[test]
fn a_rust_project_goes_from_nothing_to_a_run() {
    goes_from_nothing_to_a_run("rust");
}

#[test]
fn a_python_project_goes_from_nothing_to_a_run() {
    goes_from_nothing_to_a_run("python");
}

#[test]
fn a_javascript_project_goes_from_nothing_to_a_run() {
    goes_from_nothing_to_a_run("javascript");
}

#[test]
fn dev_builds_and_runs_again_at_a_change() {
    let machine = Machine::new();
    let new = ["plugin", "new", "watched", "--lang", "rust"];
    succeed(capstan(&machine, &machine.path("")).args(new));
    let project = machine.path("watched");
    let mut dev = capstan(&machine, &project)
        .args(["plugin", "dev"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(dev.stdout.take().unwrap()).lines();
    let mut wait_for = |line: &str| {
        let found = lines.any(|found| found.unwrap().contains(line));
        assert!(found, "`{line}` was not printed");
    };
    wait_for("hello world");
    wait_for("waiting for a change");
    // What does not compile is told, and ends nothing.
    let source = project.join("src/lib.rs");
    let text = std::fs::read_to_string(&source).unwrap();
    std::fs::write(&source, text.replace("fn greeting", "fn greeting(")).unwrap();
    wait_for("waiting for a change");
    std::fs::write(&source, text.replace("hello {name}", "good day {name}")).unwrap();
    wait_for("good day world");
    dev.kill().unwrap();
    dev.wait().unwrap();
    std::fs::remove_file("/var/tmp/watched.txt").unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if matches!(
            name.to_str(),
            Some("target" | "node_modules" | ".venv" | ".capstan" | "__pycache__")
        ) {
            continue;
        }
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(name));
        } else {
            std::fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

/// The examples of a language, by the file that makes one a project of it.
fn examples(file: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/plugins");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join(file).is_file())
        .collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

/// Builds each example as somebody who copied it does, runs its tests, and looks at its document and policy.
fn examples_work(language: &str, file: &str) {
    if !wanted(language) {
        return;
    }
    let machine = Machine::new();
    for example in examples(file) {
        let name = example.file_name().unwrap().to_str().unwrap();
        let project = machine.path(name);
        copy(&example, &project);
        let step = |arguments: &[&str]| succeed(capstan(&machine, &project).args(arguments));
        let tested = step(&["plugin", "test"]);
        let component = tested
            .lines()
            .find_map(|line| {
                line.split_once(".wasm: ")
                    .map(|(path, _)| format!("{path}.wasm"))
            })
            .unwrap();
        step(&["validate", "document.yaml", "--component", &component]);
        step(&[
            "plan",
            "document.yaml",
            "--component",
            &component,
            "--policy",
            "policy.yaml",
        ]);
    }
}

#[test]
fn examples_in_rust_work() {
    examples_work("rust", "Cargo.toml");
}

#[test]
fn examples_in_python_work() {
    examples_work("python", "pyproject.toml");
}

#[test]
fn examples_in_javascript_work() {
    examples_work("javascript", "package.json");
}
