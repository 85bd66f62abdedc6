//! Receipts: one line for each step attempt, each chained to the one before by its hash.
//!
//! A line that was changed, added or removed breaks the chain; the last lines cannot be cut off unseen because a
//! second file keeps the number of lines and the last hash.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use serde_json::{Map, Value};

use crate::error::RunnerError;

/// What the first line has as the hash before it.
const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Why a file of receipts is not to be trusted.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// The file cannot be read.
    #[error("the receipts cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A line does not fit the one before it.
    #[error("line {line}: {why}")]
    Broken {
        /// Counts from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// Lines are missing at the end.
    #[error(
        "there are {found} lines, but {expected} were written: lines were removed from the end"
    )]
    Shortened {
        /// Lines there are.
        found: usize,
        /// Lines there should be.
        expected: usize,
    },
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

fn head(path: &Path) -> std::path::PathBuf {
    path.with_extension("head")
}

fn hash_of(previous: &str, body: &str) -> String {
    capstan_runtime::digest(format!("{previous}\n{body}").as_bytes())
}

/// Adds a receipt. Processes that run at the same time take turns.
pub(crate) fn append(path: &Path, body: Map<String, Value>) -> Result<(), RunnerError> {
    let add = || -> io::Result<()> {
        let mut file = open(path)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)?;
        let last = last_line(&mut file)?;
        let previous = last
            .as_deref()
            .and_then(|line| serde_json::from_str::<Value>(line).ok())
            .and_then(|value| value["hash"].as_str().map(str::to_owned))
            .unwrap_or_else(|| BEGINNING.to_owned());
        let body = Value::Object(body);
        let text = body.to_string();
        let hash = hash_of(&previous, &text);
        let mut line =
            serde_json::json!({ "previous": previous, "receipt": body, "hash": hash }).to_string();
        line.push('\n');
        file.write_all(line.as_bytes())?;
        let heads = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(head(path))?;
        let mut text = String::new();
        (&heads).read_to_string(&mut text)?;
        let count = text
            .split(' ')
            .next()
            .and_then(|number| number.trim().parse::<u64>().ok())
            .unwrap_or(0)
            + 1;
        heads.write_all_at(format!("{count:020} {hash}\n").as_bytes(), 0)
    };
    add().map_err(RunnerError::io(format!(
        "the receipts in {}",
        path.display()
    )))
}

/// The last whole line.
fn last_line(file: &mut File) -> io::Result<Option<String>> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut window = 64 << 10;
    loop {
        let from = length.saturating_sub(window);
        file.seek(SeekFrom::Start(from))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let trimmed = text.trim_end_matches('\n');
        match trimmed.rfind('\n') {
            Some(at) => return Ok(Some(trimmed[at + 1..].to_owned())),
            None if from == 0 => {
                return Ok(Some(trimmed.to_owned()).filter(|line| !line.is_empty()));
            }
            None => window *= 4,
        }
    }
}

/// Checks a file of receipts and returns how many there are.
///
/// # Errors
/// The first line that does not fit.
pub fn verify_receipts(path: &Path) -> Result<usize, ReceiptError> {
    let mut previous = BEGINNING.to_owned();
    let mut count = 0;
    for (index, line) in BufReader::new(File::open(path)?).lines().enumerate() {
        let broken = |why: &str| ReceiptError::Broken {
            line: index + 1,
            why: why.to_owned(),
        };
        let value: Value = serde_json::from_str(&line?)
            .map_err(|error| broken(&format!("it is not JSON: {error}")))?;
        if value["previous"] != previous.as_str() {
            return Err(broken(
                "it does not follow the line before it: a line was removed, added or moved",
            ));
        }
        let hash = hash_of(&previous, &value["receipt"].to_string());
        if value["hash"] != hash.as_str() {
            return Err(broken(
                "its content does not have the hash that it says: it was changed",
            ));
        }
        previous = hash;
        count += 1;
    }
    let expected = std::fs::read_to_string(head(path)).unwrap_or_default();
    let mut fields = expected.split_whitespace();
    if let (Some(number), Some(hash)) = (
        fields
            .next()
            .and_then(|number| number.parse::<usize>().ok()),
        fields.next(),
    ) && (number != count || hash != previous)
    {
        return Err(ReceiptError::Shortened {
            found: count,
            expected: number,
        });
    }
    Ok(count)
}
