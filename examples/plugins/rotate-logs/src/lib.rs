//! Rotates the logs of a folder: what has grown too large is set aside, compressed, and dropped after a while.

use std::fs;
use std::path::{Path, PathBuf};

use capstan_sdk::process::{Command, find};
use capstan_sdk::{Context, Failure, action, json, step};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a document gives to the step.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Rotate {
    /// The folder with the logs, an absolute path.
    folder: String,
    /// How the names of logs end.
    #[serde(default = "log")]
    suffix: String,
    /// A log that has fewer bytes is left alone.
    #[serde(default = "one_mebibyte")]
    max_bytes: u64,
    /// How many old ones of each log are kept.
    #[serde(default = "seven")]
    #[schemars(range(min = 1, max = 100))]
    keep: u32,
}

fn log() -> String {
    ".log".to_owned()
}

fn one_mebibyte() -> u64 {
    1 << 20
}

fn seven() -> u32 {
    7
}

#[derive(Default, Serialize)]
struct Rotated {
    rotated: usize,
    compressed: usize,
    removed: usize,
    bytes: u64,
}

/// Sets aside logs that have grown too large, compresses them, and removes the oldest.
#[action("acme:rotateLogs")]
#[files("${inputs.folder}", access = ["read-write"], reason = "moves and removes the logs in it")]
#[program("gzip", paths = ["/usr/bin/gzip", "/bin/gzip"], arguments = ["-9", "--", "{path}"],
          reason = "compresses what is set aside; without it, that stays as it is", optional)]
#[limits(fuel = 50_000_000, memory = "16MiB")]
fn rotate(_: &Context, inputs: Rotate) -> Result<Rotated, Failure> {
    if !inputs.folder.starts_with('/') {
        return Err(Failure::invalid(format!(
            "folder is an absolute path, and not `{}`",
            inputs.folder
        )));
    }
    let logs = large_logs(Path::new(&inputs.folder), &inputs.suffix, inputs.max_bytes)?;
    let mut done = Rotated::default();
    let gzip = find("gzip").is_some();
    for (index, (log, bytes)) in logs.iter().enumerate() {
        step::progress(
            index as u64,
            Some(logs.len() as u64),
            &log.display().to_string(),
        );
        done.removed += shift(log, inputs.keep)?;
        let first = numbered(log, 1, "");
        // Whoever writes the log holds it open: what it is called is moved, and a program that is not told goes on
        // writing there. So the content is copied, and the file is cut.
        fs::copy(log, &first)?;
        fs::File::options().write(true).truncate(true).open(log)?;
        if gzip {
            Command::new("gzip")
                .args(["-9", "--"])
                .arg(first.display().to_string())
                .output()?
                .success()?;
            done.compressed += 1;
        }
        done.rotated += 1;
        done.bytes += bytes;
        step::log_with(
            step::Level::Info,
            "rotated",
            &json!({ "log": log, "bytes": bytes }),
        );
    }
    println!("{} logs rotated, {} bytes", done.rotated, done.bytes);
    Ok(done)
}

/// The logs of a folder that have at least so many bytes, by name.
fn large_logs(folder: &Path, suffix: &str, least: u64) -> Result<Vec<(PathBuf, u64)>, Failure> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let is_log = entry.file_name().to_string_lossy().ends_with(suffix);
        if is_log && metadata.is_file() && metadata.len() >= least {
            found.push((entry.path(), metadata.len()));
        }
    }
    found.sort();
    Ok(found)
}

/// Makes room for a first old log: each gets the next number, and the one that would be too many goes.
fn shift(log: &Path, keep: u32) -> Result<usize, Failure> {
    let mut removed = 0;
    for ending in ["", ".gz"] {
        for number in (1..=keep).rev() {
            let path = numbered(log, number, ending);
            if !path.exists() {
                continue;
            }
            if number == keep {
                fs::remove_file(&path)?;
                removed += 1;
            } else {
                fs::rename(&path, numbered(log, number + 1, ending))?;
            }
        }
    }
    Ok(removed)
}

/// `app.log.2.gz`.
fn numbered(log: &Path, number: u32, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}.{number}{ending}", log.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{large_logs, shift};

    #[test]
    fn old_logs_move_up_and_the_oldest_goes() {
        let folder = std::env::temp_dir().join(format!("rotate-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let log = folder.join("app.log");
        fs::write(&log, "new").unwrap();
        for (name, content) in [
            ("app.log.1.gz", "one"),
            ("app.log.2.gz", "two"),
            ("other.txt", "x"),
        ] {
            fs::write(folder.join(name), content).unwrap();
        }
        assert_eq!(shift(&log, 2).unwrap(), 1);
        assert_eq!(
            fs::read_to_string(folder.join("app.log.2.gz")).unwrap(),
            "one"
        );
        assert!(!folder.join("app.log.1.gz").exists());
        assert_eq!(large_logs(&folder, ".log", 3).unwrap(), [(log, 3)]);
        assert!(large_logs(&folder, ".log", 4).unwrap().is_empty());
        fs::remove_dir_all(folder).unwrap();
    }
}
