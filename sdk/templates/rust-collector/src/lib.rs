//! The inventory collector {{action}}.

use capstan_sdk::{Context, Error, Failure, Item, collector, files, json, step};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a document says of what to look for.
#[derive(Deserialize, JsonSchema)]
struct Settings {
    /// How the names of wanted files end.
    #[serde(default = "conf")]
    suffix: String,
}

fn conf() -> String {
    ".conf".to_owned()
}

/// One configuration file. Its fields are the attributes of an entry.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ConfigFile {
    name: String,
    path: String,
    size: u64,
    mode: String,
}

/// Lists configuration files.
#[collector("{{action}}")]
#[files("/etc", access = ["read-only"], reason = "looks for configuration files; it does not read what is in them")]
fn collect(_: &Context, settings: Settings) -> Result<Vec<Item>, Failure> {
    let mut item = Item::new("Custom:ConfigFile", "1.0");
    for entry in files::list_directory("/etc")? {
        if entry.kind != files::Kind::File || !entry.name.ends_with(&settings.suffix) {
            continue;
        }
        let path = format!("/etc/{}", entry.name);
        match files::stat(&path) {
            Ok(found) => item.push(&ConfigFile {
                name: entry.name,
                size: found.size,
                mode: format!("{:04o}", found.mode),
                path,
            })?,
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
    Ok(vec![item])
}
