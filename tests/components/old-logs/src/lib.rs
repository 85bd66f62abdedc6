//! Packs old logs and tells of it: a bit of everything that a plugin does, for the test harness.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant, SystemTime};

use capstan_sdk::process::Command;
use capstan_sdk::step::{self, Level};
use capstan_sdk::{Error, Failure, action, files, http, json, parameters};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Inputs {
    /// Whose logs are packed.
    folder: String,
    /// Those that have not changed for so many days.
    #[serde(default)]
    days: u64,
    /// Where it is told.
    hook: Option<String>,
    /// An argument for gzip in the place of `-9`.
    level: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Packed {
    packed: usize,
    waited: u64,
    answer: String,
}

/// Packs old logs.
#[action("test:old-logs")]
#[files("${inputs.folder}", access = ["read-write"], reason = "packs the logs there")]
#[files("/etc/old-logs.keep", access = ["read"], reason = "reads what is kept", optional)]
#[program("gzip", paths = ["/usr/bin/gzip", "/bin/gzip"], arguments = ["-9", "--", "{path}"], reason = "packs them")]
#[program("pigz", paths = ["/usr/bin/pigz"], arguments = ["{path}"], reason = "packs them", optional)]
#[host("${inputs.hook}", methods = ["POST"], reason = "tells of it", optional)]
#[secret("/old-logs/*", uses = ["header"], reason = "proves who tells", optional)]
#[parameter("/old-logs/*", reason = "reads how many", optional)]
fn pack(inputs: Inputs) -> Result<Packed, Failure> {
    let keep = match files::read_to_string("/etc/old-logs.keep") {
        Ok(text) => text,
        Err(error @ (Error::Denied(_) | Error::NotFound(_))) => {
            step::log_with(
                Level::Warn,
                "nothing is kept",
                &json!({ "why": capstan_sdk::describe(&error) }),
            );
            String::new()
        }
        Err(error) => return Err(error.into()),
    };
    let most = match parameters::get("/old-logs/most") {
        Ok(value) => format!("{value:?}"),
        Err(_) => "no limit".to_owned(),
    };
    println!("most: {most}");
    let mut sizes = HashMap::new();
    for entry in fs::read_dir(&inputs.folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let metadata = entry.metadata()?;
        let age = SystemTime::now()
            .duration_since(metadata.modified()?)
            .unwrap_or_default();
        let old = age >= Duration::from_secs(inputs.days * 86_400);
        if old && name.ends_with(".log") && !keep.lines().any(|kept| kept == name) {
            sizes.insert(name, metadata.len());
        }
    }
    let mut names: Vec<&String> = sizes.keys().collect();
    names.sort();
    for (index, name) in names.iter().enumerate() {
        let path = format!("{}/{name}", inputs.folder);
        let level = inputs.level.as_deref().unwrap_or("-9");
        let output = Command::new("gzip")
            .args([level, "--"])
            .arg(&path)
            .output()?;
        if !output.stderr.is_empty() {
            eprintln!("gzip: {}", String::from_utf8_lossy(&output.stderr));
        }
        output.success()?;
        step::progress(index as u64 + 1, Some(names.len() as u64), name);
    }
    let began = Instant::now();
    std::thread::sleep(Duration::from_secs(3600));
    let waited = began.elapsed().as_secs();
    let answer = match &inputs.hook {
        Some(hook) => http::post(hook)
            .bearer("/old-logs/token")
            .json(&json!({ "packed": names }))?
            .redirects(3)
            .send()?
            .success()?
            .text()?,
        None => String::new(),
    };
    fs::write(
        format!("{}/packed.txt", inputs.folder),
        format!("{names:?}\n"),
    )?;
    Ok(Packed {
        packed: names.len(),
        waited,
        answer,
    })
}
