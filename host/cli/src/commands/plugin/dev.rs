//! `capstan plugin dev`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use notify::{RecursiveMode, Watcher as _};

use super::project::Project;
use super::{DevArguments, build};
use crate::exit::Exit;
use crate::render;

/// Editors write a file in several steps; this much silence ends them.
const SETTLED: Duration = Duration::from_millis(150);

/// Builds and runs, and again at each change. Ends when the user interrupts it.
pub(super) fn dev(arguments: &DevArguments) -> Result<Exit> {
    let project = Project::open(&arguments.project.project)?;
    let document = arguments
        .document
        .clone()
        .unwrap_or_else(|| project.folder.join("document.yaml"));
    let policy = arguments
        .policy
        .clone()
        .unwrap_or_else(|| project.folder.join("policy.yaml"));
    for (file, option) in [(&document, "--document"), (&policy, "--policy")] {
        if !file.is_file() {
            bail!(
                "there is no file {}; name another one with {option}",
                file.display()
            );
        }
    }
    let (changes, changed) = mpsc::channel();
    let folder = project.folder.clone();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading is no change, and a build's own products start no other.
        if let Ok(event) = event
            && !event.kind.is_access()
            && event.paths.iter().any(|path| is_source(&folder, path))
        {
            let _ = changes.send(());
        }
    })
    .context("watching for changes")?;
    watch(&mut watcher, &project.folder)?;
    for file in [&document, &policy] {
        if !file.starts_with(&project.folder) {
            watcher
                .watch(file, RecursiveMode::NonRecursive)
                .context("watching for changes")?;
        }
    }
    loop {
        // What is wrong is told, and the next change may mend it.
        match build::build(&project) {
            Ok(built) => {
                built.print();
                run(&project, &document, &policy, &arguments.parameters)?;
            }
            Err(error) => render::error(&error),
        }
        outln!("waiting for a change; Ctrl+C ends this");
        if changed.recv().is_err() {
            bail!("the folder is watched no more");
        }
        while changed.recv_timeout(SETTLED).is_ok() {}
    }
}

/// Everything but the folders of tools, which are large.
fn watch(watcher: &mut notify::RecommendedWatcher, folder: &Path) -> Result<()> {
    let failed = "watching for changes";
    watcher
        .watch(folder, RecursiveMode::NonRecursive)
        .context(failed)?;
    for entry in std::fs::read_dir(folder).context(failed)? {
        let entry = entry.context(failed)?;
        if entry.file_type().context(failed)?.is_dir()
            && !Project::is_generated(&entry.file_name().to_string_lossy())
        {
            watcher
                .watch(&entry.path(), RecursiveMode::Recursive)
                .context(failed)?;
        }
    }
    Ok(())
}

fn is_source(folder: &Path, path: &Path) -> bool {
    let path = path.strip_prefix(folder).unwrap_or(path);
    !path
        .components()
        .any(|part| Project::is_generated(&part.as_os_str().to_string_lossy()))
}

/// As the user would run it. That the document fails is told by it, and is a part of the work.
fn run(project: &Project, document: &Path, policy: &Path, parameters: &[String]) -> Result<()> {
    let own: PathBuf = std::env::current_exe().context("this program")?;
    let mut command = Command::new(own);
    command
        .arg("run")
        .arg(document)
        .arg("--component")
        .arg(&project.output)
        .arg("--policy")
        .arg(policy);
    for parameter in parameters {
        command.args(["--parameters", parameter]);
    }
    command.status().context("this program")?;
    Ok(())
}
