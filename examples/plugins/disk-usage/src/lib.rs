//! Looks how full file systems are, by what `df` prints.

use capstan_sdk::process::Command;
use capstan_sdk::{Context, Failure, action, json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a document gives to the step.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Inputs {
    /// The step fails when a file system is fuller than this, in percent.
    #[serde(default = "ninety")]
    #[schemars(range(min = 1, max = 100))]
    most_percent: u8,
    /// Only file systems that are mounted at or below one of these; all when there are none.
    #[serde(default)]
    below: Vec<String>,
}

fn ninety() -> u8 {
    90
}

/// One file system.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct FileSystem {
    mounted_at: String,
    bytes: u64,
    used_bytes: u64,
    used_percent: u8,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    file_systems: Vec<FileSystem>,
    fullest_percent: u8,
}

/// Tells how full the file systems are, and fails when one is too full.
#[action("acme:diskUsage")]
#[program("df", paths = ["/usr/bin/df", "/bin/df"], arguments = ["--block-size=1", "--output=size,used,pcent,target"],
          reason = "asks how full the file systems are")]
fn disk_usage(_: &Context, inputs: Inputs) -> Result<Usage, Failure> {
    let output = Command::new("df")
        .args(["--block-size=1", "--output=size,used,pcent,target"])
        .env("LC_ALL", "C")
        .output()?
        .success()?;
    let mut found = parse(output.text()?)?;
    found.retain(|one| {
        inputs.below.is_empty()
            || inputs
                .below
                .iter()
                .any(|path| is_below(&one.mounted_at, path))
    });
    for one in &found {
        println!("{:>3} % {}", one.used_percent, one.mounted_at);
    }
    let full: Vec<&FileSystem> = found
        .iter()
        .filter(|one| one.used_percent > inputs.most_percent)
        .collect();
    if !full.is_empty() {
        let names: Vec<String> = full
            .iter()
            .map(|one| format!("{} ({} %)", one.mounted_at, one.used_percent))
            .collect();
        let message = format!(
            "fuller than {} %: {}",
            inputs.most_percent,
            names.join(", ")
        );
        return Err(Failure::failed(message).with_detail(json!({ "full": full })));
    }
    let fullest_percent = found
        .iter()
        .map(|one| one.used_percent)
        .max()
        .unwrap_or_default();
    Ok(Usage {
        file_systems: found,
        fullest_percent,
    })
}

fn is_below(path: &str, folder: &str) -> bool {
    let folder = folder.trim_end_matches('/');
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The lines of `df`. A file system that holds nothing by itself, such as /proc, has a dash for its percentage.
fn parse(text: &str) -> Result<Vec<FileSystem>, Failure> {
    let odd =
        |line: &str| Failure::failed(format!("df printed a line that is none of its own: {line}"));
    let mut found = Vec::new();
    for line in text.lines().skip(1) {
        // The place comes last, since it may hold blanks.
        let mut words = line.trim_start().splitn(2, char::is_whitespace);
        let mut next = || {
            let word = words.next().filter(|word| !word.is_empty())?.to_owned();
            let rest = words.next().unwrap_or_default().trim_start();
            words = rest.splitn(2, char::is_whitespace);
            Some((word, rest.to_owned()))
        };
        let (Some((size, _)), Some((used, _)), Some((percent, place))) = (next(), next(), next())
        else {
            return Err(odd(line));
        };
        if percent == "-" {
            continue;
        }
        let number = |text: &str| text.parse::<u64>().map_err(|_| odd(line));
        found.push(FileSystem {
            mounted_at: place,
            bytes: number(&size)?,
            used_bytes: number(&used)?,
            used_percent: percent
                .trim_end_matches('%')
                .parse()
                .map_err(|_| odd(line))?,
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::{is_below, parse};

    #[test]
    fn lines_become_file_systems() {
        let text = "\
    1B-blocks         Used Use% Mounted on
 270553174016  58720256000  22% /
            0            0    - /proc
   1073741824   1019215872  95% /srv/two words
";
        let found = parse(text).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].used_percent, found[0].mounted_at.as_str()),
            (22, "/")
        );
        assert_eq!(
            (found[1].bytes, found[1].mounted_at.as_str()),
            (1_073_741_824, "/srv/two words")
        );
        assert!(
            parse("head\nnonsense")
                .unwrap_err()
                .message
                .contains("nonsense")
        );
    }

    #[test]
    fn a_place_is_below_a_folder_as_a_whole() {
        assert!(is_below("/srv/a", "/srv/") && is_below("/srv", "/srv") && is_below("/srv", "/"));
        assert!(!is_below("/srv2", "/srv"));
    }
}
