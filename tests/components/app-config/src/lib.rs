//! Collects the configuration files of a folder, or something that no inventory takes.

use capstan_sdk::{Failure, Item, collector, files, json};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Settings {
    folder: Option<String>,
    odd: Option<Odd>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Odd {
    /// A type of AWS.
    Foreign,
    /// Names and values that are too long.
    Long,
    /// One type in two items.
    Twice,
    /// More than all items may have together.
    Large,
    /// A failure of its own.
    Fail,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration {
    name: String,
    version: Option<String>,
    config_file: String,
    size: u64,
}

#[collector(manifest = "../manifest.json")]
fn collect(settings: Settings) -> Result<Vec<Item>, Failure> {
    let item = || Item::new("Custom:ApplicationConfig", "1.0");
    Ok(match (settings.folder, settings.odd) {
        (Some(folder), _) => vec![item().with_all(&configurations(&folder)?)?],
        (_, Some(Odd::Foreign)) => vec![Item::new("AWS:Application", "1.0")],
        (_, Some(Odd::Long)) => {
            let long = json!({ "n".repeat(65): "x", "Text": "v".repeat(4097) });
            vec![item().with(&json!({ "A": 1 }))?.with(&long)?]
        }
        (_, Some(Odd::Twice)) => vec![item(), item()],
        (_, Some(Odd::Large)) => {
            let entries = vec![json!({ "A": "v".repeat(4000) }); 800];
            vec![item().with_all(&entries)?]
        }
        (_, Some(Odd::Fail)) => return Err(Failure::failed("there is nothing to look at")),
        (None, None) => vec![item()],
    })
}

fn configurations(folder: &str) -> Result<Vec<Configuration>, Failure> {
    let mut found = Vec::new();
    for entry in files::list_directory(folder)? {
        let Some(name) = entry.name.strip_suffix(".conf") else {
            continue;
        };
        let path = format!("{folder}/{}", entry.name);
        let text = files::read_to_string(&path)?;
        let version = text.lines().find_map(|line| line.strip_prefix("version="));
        found.push(Configuration {
            name: name.to_owned(),
            version: version.map(str::to_owned),
            size: files::stat(&path)?.size,
            config_file: path,
        });
    }
    Ok(found)
}
