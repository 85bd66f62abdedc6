//! Collects the configuration files of applications.

use capstan_sdk::{Context, Error, Failure, Item, collector, files, json, step};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a document says of what to look for.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Settings {
    /// The folder with one folder for each application, an absolute path.
    folder: String,
    /// How the names of configuration files end.
    #[serde(default = "endings")]
    endings: Vec<String>,
}

fn endings() -> Vec<String> {
    [".conf", ".ini", ".toml", ".yaml"]
        .map(str::to_owned)
        .into()
}

/// One file, as the inventory has it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ApplicationConfig {
    name: String,
    version: Option<String>,
    config_file: String,
    last_modified: String,
}

/// Collects configuration files of applications, with the version that each of them names.
#[collector("acme:appConfig")]
#[files("${inputs.folder}", access = ["read-only"], reason = "looks for configuration files, and for the version in them")]
fn collect(_: &Context, settings: Settings) -> Result<Vec<Item>, Failure> {
    let mut item = Item::new("Custom:ApplicationConfig", "1.0");
    for application in files::list_directory(&settings.folder)? {
        if application.kind != files::Kind::Directory {
            continue;
        }
        let folder = format!(
            "{}/{}",
            settings.folder.trim_end_matches('/'),
            application.name
        );
        for entry in files::list_directory(&folder)? {
            let wanted = settings
                .endings
                .iter()
                .any(|ending| entry.name.ends_with(ending.as_str()));
            if entry.kind != files::Kind::File || !wanted {
                continue;
            }
            let path = format!("{folder}/{}", entry.name);
            match look(&application.name, &path) {
                Ok(found) => item.push(&found)?,
                // What is not granted is left out, and the rest is told.
                Err(Error::Denied(denial)) => {
                    step::log_with(
                        step::Level::Warn,
                        "left out",
                        &json!({ "path": path, "hint": denial.hint }),
                    );
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    step::log_with(
        step::Level::Info,
        "looked",
        &json!({ "files": item.entries().len() }),
    );
    Ok(vec![item])
}

fn look(name: &str, path: &str) -> Result<ApplicationConfig, Error> {
    // The version stands near the top, if at all.
    let head = files::read(path, 0, 64 << 10)?;
    let modified = i64::try_from(files::stat(path)?.modified).unwrap_or(i64::MAX);
    Ok(ApplicationConfig {
        name: name.to_owned(),
        version: version(&String::from_utf8_lossy(&head)),
        config_file: path.to_owned(),
        last_modified: Timestamp::from_millisecond(modified)
            .map(|time| time.to_string())
            .unwrap_or_default(),
    })
}

/// The value of the first key `version`, in any of the usual ways to write one.
fn version(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(['=', ':'])?;
        let value = value.trim().trim_matches(['"', '\'']);
        (key.trim().eq_ignore_ascii_case("version") && !value.is_empty()).then(|| value.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_are_found_in_whatever_form() {
        for (text, expected) in [
            ("# x\nversion=1.4\n", Some("1.4")),
            ("Version : \"2.0-rc1\"", Some("2.0-rc1")),
            ("[a]\nport = 80", None),
            ("version =", None),
        ] {
            assert_eq!(version(text).as_deref(), expected, "{text}");
        }
    }
}
