//! Receipts: one line for each step attempt, each chained to the one before by its hash.
//!
//! A line that was changed, added or removed breaks the chain; the last lines cannot be cut off unseen because a
//! second file keeps the number of lines and the last hash. That file is written after the line: a process that
//! dies in between leaves a whole chain that is one line longer than it says, which is no harm.
//!
//! The chain holds no secret. It shows damage and careless edits; who can write both files can write another
//! chain, against which only a copy of the last hash, kept elsewhere, helps.

mod body;

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::RunnerError;

pub(crate) use body::{Attempt, body};

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

fn head(path: &Path) -> PathBuf {
    path.with_extension("head")
}

fn hash_of(previous: &str, body: &str) -> String {
    capstan_runtime::digest(format!("{previous}\n{body}").as_bytes())
}

fn line(number: u64, previous: &str, receipt: &Value, hash: &str) -> String {
    let mut line =
        serde_json::json!({ "number": number, "previous": previous, "receipt": receipt, "hash": hash }).to_string();
    line.push('\n');
    line
}

/// Adds a receipt, and a copy of it to the second file. Processes that run at the same time take turns.
pub(crate) fn append(
    path: &Path,
    copy: &Path,
    body: Map<String, Value>,
) -> Result<(), RunnerError> {
    let add = || -> io::Result<()> {
        let mut file = open(path)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)?;
        let (number, previous) = last(&mut file)?;
        let number = number + 1;
        let receipt = Value::Object(body);
        let hash = hash_of(&previous, &receipt.to_string());
        let line = line(number, &previous, &receipt, &hash);
        file.write_all(line.as_bytes())?;
        let heads = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(head(path))?;
        heads.write_all_at(format!("{number:020} {hash}\n").as_bytes(), 0)?;
        open(copy)?.write_all(line.as_bytes())
    };
    add().map_err(RunnerError::io(format!(
        "the receipts in {}",
        path.display()
    )))
}

/// Number and hash of the last line. What a process that died left of a line is cut off.
fn last(file: &mut File) -> io::Result<(u64, String)> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut window = 8 << 10;
    loop {
        let from = length.saturating_sub(window);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let whole = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let begin = bytes[..whole.saturating_sub(1)]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map(|at| at + 1);
        if begin.is_none() && from > 0 {
            window *= 4;
            continue;
        }
        if whole < bytes.len() {
            file.set_len(from + whole as u64)?;
        }
        if whole == 0 {
            return Ok((0, BEGINNING.to_owned()));
        }
        let value: Value = serde_json::from_slice(&bytes[begin.unwrap_or(0)..whole])?;
        return match (value["number"].as_u64(), value["hash"].as_str()) {
            (Some(number), Some(hash)) => Ok((number, hash.to_owned())),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the last line is no receipt; keep the file and move it away",
            )),
        };
    }
}

/// Checks a file of receipts and returns how many there are.
///
/// # Errors
/// The first line that does not fit.
pub fn verify_receipts(path: &Path) -> Result<usize, ReceiptError> {
    let bytes = std::fs::read(path)?;
    let kept = std::fs::read_to_string(head(path)).unwrap_or_default();
    let mut fields = kept.split_whitespace();
    let kept = fields
        .next()
        .and_then(|number| number.parse::<usize>().ok())
        .zip(fields.next());
    let mut previous = BEGINNING.to_owned();
    let mut count = 0;
    for text in bytes.split_inclusive(|byte| *byte == b'\n') {
        let number = count + 1;
        let broken = |why: &str| ReceiptError::Broken {
            line: number,
            why: why.to_owned(),
        };
        if !text.ends_with(b"\n") {
            // A process died while it wrote; the line was never finished. Were it one that had been, the count
            // below would tell.
            break;
        }
        let value: Value = serde_json::from_slice(text)
            .map_err(|error| broken(&format!("it is not JSON: {error}")))?;
        if value["previous"] != previous.as_str() || value["number"] != number {
            return Err(broken(
                "it does not follow the line before it: a line was removed, added or moved",
            ));
        }
        let hash = hash_of(&previous, &value["receipt"].to_string());
        // Compared as a whole, so that nothing can be written in beside what the hash covers.
        if line(number as u64, &previous, &value["receipt"], &hash).as_bytes() != text {
            return Err(broken(
                "its content does not have the hash that it says: it was changed",
            ));
        }
        previous = hash;
        count = number;
        if let Some((last, kept)) = kept
            && last == number
            && kept != previous
        {
            return Err(broken(
                "it is not the line that was written last: the lines were written anew",
            ));
        }
    }
    match kept {
        Some((number, _)) if number > count => Err(ReceiptError::Shortened {
            found: count,
            expected: number,
        }),
        // The first line may be there before the count is.
        None if count > 1 => Err(ReceiptError::Broken {
            line: count,
            why: format!(
                "whether it is the last one cannot be told: {} is missing or damaged",
                head(path).display()
            ),
        }),
        _ => Ok(count),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;
    use std::path::PathBuf;

    use serde_json::{Map, json};

    use super::{ReceiptError, append, head, verify_receipts};
    use crate::testing::Folder;

    fn receipt(step: usize) -> Map<String, serde_json::Value> {
        let body = json!({ "step": format!("é{step}"), "usage": { "fuel": 1234, "wall": 0.25 }, "children": [{ "cpu": step }] });
        body.as_object().unwrap().clone()
    }

    fn written(folder: &Folder, count: usize) -> PathBuf {
        let path = folder.path().join("receipts.jsonl");
        for step in 0..count {
            append(&path, &folder.path().join("copy.jsonl"), receipt(step)).unwrap();
        }
        path
    }

    #[test]
    fn a_whole_chain_is_whole() {
        let folder = Folder::new();
        let path = written(&folder, 5);
        assert_eq!(verify_receipts(&path).unwrap(), 5);
        assert_eq!(
            fs::read(&path).unwrap(),
            fs::read(folder.path().join("copy.jsonl")).unwrap()
        );
    }

    #[test]
    fn every_changed_byte_shows() {
        let folder = Folder::new();
        let path = written(&folder, 3);
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).unwrap();
            assert!(verify_receipts(&path).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_line_that_was_removed_added_or_moved_shows_and_is_named() {
        let folder = Folder::new();
        let path = written(&folder, 4);
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (left, number) in [
            (vec![lines[1], lines[2], lines[3]], 1),
            (vec![lines[0], lines[2], lines[3]], 2),
            (vec![lines[0], lines[2], lines[1], lines[3]], 2),
            (vec![lines[0], lines[0], lines[1], lines[2]], 2),
        ] {
            fs::write(&path, format!("{}\n", left.join("\n"))).unwrap();
            let error = verify_receipts(&path).unwrap_err();
            assert!(
                matches!(error, ReceiptError::Broken { line, .. } if line == number),
                "{error}"
            );
        }
        for count in 0..4 {
            let left: String = lines[..count]
                .iter()
                .map(|line| format!("{line}\n"))
                .collect();
            fs::write(&path, left).unwrap();
            let error = verify_receipts(&path).unwrap_err();
            assert!(
                matches!(error, ReceiptError::Shortened { found, expected: 4 } if found == count),
                "{error}"
            );
        }
        fs::write(&path, text.trim_end()).unwrap();
        assert!(matches!(
            verify_receipts(&path).unwrap_err(),
            ReceiptError::Shortened {
                found: 3,
                expected: 4
            }
        ));
        fs::write(&path, &text).unwrap();
        fs::remove_file(head(&path)).unwrap();
        assert!(verify_receipts(&path).is_err());
    }

    #[test]
    fn a_process_that_dies_while_it_writes_does_no_harm() {
        let folder = Folder::new();
        let path = written(&folder, 2);
        let (two, count) = (fs::read(&path).unwrap(), fs::read(head(&path)).unwrap());
        written(&folder, 1);
        let three = fs::read(&path).unwrap();
        for length in two.len()..=three.len() {
            // The third line written up to here, and the count not yet.
            fs::write(&path, &three[..length]).unwrap();
            fs::write(head(&path), &count).unwrap();
            let whole = if length == three.len() { 3 } else { 2 };
            assert_eq!(verify_receipts(&path).unwrap(), whole, "cut at {length}");
            written(&folder, 1);
            assert_eq!(
                verify_receipts(&path).unwrap(),
                whole + 1,
                "cut at {length}"
            );
        }
    }

    #[test]
    fn writers_take_turns() {
        let folder = Folder::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| written(&folder, 25));
            }
        });
        assert_eq!(
            verify_receipts(&folder.path().join("receipts.jsonl")).unwrap(),
            100
        );
    }
}
