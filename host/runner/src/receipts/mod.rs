//! Receipts: one line for each step attempt, each chained to the one before by its hash.
//!
//! A line that was changed, added or removed breaks the chain; the last lines cannot be cut off unseen because a
//! second file, the head, keeps the number of lines and the last hash. It is written after the line: a process that
//! dies in between leaves a whole chain that is one line longer than it says, which is no harm. Whoever adds the next
//! line compares the two first. If they disagree by more than that, the chain itself gets a line that says so, and
//! is not whole ever after.
//!
//! The chain holds no secret. It shows damage and careless edits; who can write both files, and the copies beside the
//! runs' journals, can write another chain, against which only a copy of the last hash, kept elsewhere, helps.

mod body;

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::error::RunnerError;
use crate::state::open_private;

pub(crate) use body::{Attempt, body};

/// What the first line has as the hash before it.
const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// The kind of a receipt that is for no step: the line before it is not the one that was written last.
const BREAK: &str = "break";

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
    /// Lines were missing at the end, or other ones there, when the next one was added.
    #[error(
        "line {line}: the chain was broken before it: {expected}, but {found} was found when it was written; lines were removed, added or written anew"
    )]
    Interrupted {
        /// Counts from 1.
        line: usize,
        /// What the head said.
        expected: String,
        /// What the chain was.
        found: String,
    },
    /// A run has a copy of a receipt that the chain does not have.
    #[error(
        "{copy}: receipt {number} of the run is not in the chain: it was removed or changed, here or there", copy = copy.display()
    )]
    Copy {
        /// The run's copies.
        copy: PathBuf,
        /// The receipt's number.
        number: usize,
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

/// Number and hash of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    number: u64,
    hash: String,
}

impl Mark {
    fn beginning() -> Self {
        Self {
            number: 0,
            hash: BEGINNING.to_owned(),
        }
    }

    /// What the head says; none when it is missing or damaged.
    fn of_head(path: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(head(path)).ok()?;
        let mut fields = text.split_whitespace();
        Some(Self {
            number: fields.next()?.parse().ok()?,
            hash: fields.next()?.to_owned(),
        })
    }

    fn keep(&self, path: &Path) -> io::Result<()> {
        open_private(&head(path))?
            .write_all_at(format!("{:020} {}\n", self.number, self.hash).as_bytes(), 0)
    }

    fn value(&self) -> Value {
        json!({ "number": self.number, "hash": self.hash })
    }
}

/// The end of a chain.
struct Last {
    mark: Mark,
    /// The hash of the line before it.
    previous: String,
}

impl Last {
    /// Whether this is what was written last. A process that died after the line has not written the head.
    fn is_expected(&self, kept: Option<&Mark>) -> bool {
        kept.is_some_and(|kept| {
            *kept == self.mark
                || (kept.number + 1 == self.mark.number && kept.hash == self.previous)
        })
    }
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
        let last = last(&mut file)?;
        let kept = Mark::of_head(path);
        let mut mark = last.mark.clone();
        if mark.number == 0 && kept.is_none() {
            // The head is there before the first line, so that a line without one is no beginning.
            mark.keep(path)?;
        } else if !last.is_expected(kept.as_ref()) {
            let receipt = json!({
                "kind": BREAK,
                "time": body.get("time").cloned().unwrap_or_default(),
                "expected": kept.map(|kept| kept.value()),
                "found": mark.value(),
            });
            mark = add_line(&mut file, path, &mark, &receipt)?.0;
        }
        let (_, line) = add_line(&mut file, path, &mark, &Value::Object(body))?;
        let mut copies = open(copy)?;
        cut_unfinished(&mut copies)?;
        copies.write_all(line.as_bytes())
    };
    add().map_err(RunnerError::io(format!(
        "the receipts in {}",
        path.display()
    )))
}

/// The line that follows another, written, and then the head.
fn add_line(
    file: &mut File,
    path: &Path,
    before: &Mark,
    receipt: &Value,
) -> io::Result<(Mark, String)> {
    let mark = Mark {
        number: before.number + 1,
        hash: hash_of(&before.hash, &receipt.to_string()),
    };
    let line = line(mark.number, &before.hash, receipt, &mark.hash);
    file.write_all(line.as_bytes())?;
    mark.keep(path)?;
    Ok((mark, line))
}

/// Cuts off what a process that died left of a line.
fn cut_unfinished(file: &mut File) -> io::Result<()> {
    let length = file.metadata()?.len();
    if length == 0 {
        return Ok(());
    }
    let mut end = [0];
    file.read_exact_at(&mut end, length - 1)?;
    if end == *b"\n" {
        return Ok(());
    }
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n');
    file.set_len(whole.map_or(0, |at| at as u64 + 1))
}

/// The last line. What a process that died left of a line is cut off.
fn last(file: &mut File) -> io::Result<Last> {
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
            return Ok(Last {
                mark: Mark::beginning(),
                previous: String::new(),
            });
        }
        let value: Value = serde_json::from_slice(&bytes[begin.unwrap_or(0)..whole])?;
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        return match (value["number"].as_u64(), text("hash"), text("previous")) {
            (Some(number), Some(hash), Some(previous)) => Ok(Last {
                mark: Mark { number, hash },
                previous,
            }),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the last line is no receipt; keep the file and move it away",
            )),
        };
    }
}

/// Checks a file of receipts, and the copies in the runs of its state folder against it, and returns how many
/// receipts there are.
///
/// # Errors
/// The first line that does not fit.
pub fn verify_receipts(path: &Path) -> Result<usize, ReceiptError> {
    let mut file = File::open(path)?;
    // Nobody adds a line between the two; a file system that knows no locks has to do without.
    let _ = rustix::fs::flock(&file, rustix::fs::FlockOperation::LockShared);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let kept = Mark::of_head(path);
    let mut lines = Vec::new();
    let mut previous = BEGINNING.to_owned();
    for text in bytes.split_inclusive(|byte| *byte == b'\n') {
        let number = lines.len() + 1;
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
        if value["receipt"]["kind"] == BREAK {
            return Err(interrupted(number, &value["receipt"]));
        }
        previous = hash;
        lines.push(text);
        if let Some(kept) = &kept
            && kept.number == number as u64
            && kept.hash != previous
        {
            return Err(broken(
                "it is not the line that was written last: the lines were written anew",
            ));
        }
    }
    let count = lines.len();
    match kept.map(|kept| usize::try_from(kept.number).unwrap_or(usize::MAX)) {
        Some(number) if number > count => {
            return Err(ReceiptError::Shortened {
                found: count,
                expected: number,
            });
        }
        Some(number) if number + 1 < count => {
            return Err(ReceiptError::Broken {
                line: number + 2,
                why: "it was not there when the last line was written: lines were added".into(),
            });
        }
        None if count > 0 => {
            return Err(ReceiptError::Broken {
                line: count,
                why: format!(
                    "whether it is the last one cannot be told: {} is missing or damaged",
                    head(path).display()
                ),
            });
        }
        _ => {}
    }
    verify_copies(&path.with_file_name("runs"), &lines)?;
    Ok(count)
}

/// What a receipt of a break says.
fn interrupted(line: usize, receipt: &Value) -> ReceiptError {
    let words = |mark: &Value, none: &str| {
        let number = mark["number"].as_u64();
        let hash = mark["hash"].as_str().unwrap_or_default();
        number.map_or_else(
            || none.to_owned(),
            |number| format!("{number} lines, the last one with the hash {hash}"),
        )
    };
    let expected = match words(&receipt["expected"], "") {
        known if !known.is_empty() => format!("{known}, had been written"),
        _ => "what had been written last could not be told, as the head was missing or damaged"
            .to_owned(),
    };
    ReceiptError::Interrupted {
        line,
        expected,
        found: words(&receipt["found"], "nothing"),
    }
}

/// Every copy has to be in the chain. A process that died may have left a receipt without a copy, or an unfinished one.
fn verify_copies(runs: &Path, lines: &[&[u8]]) -> Result<(), ReceiptError> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(runs)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    folders.sort();
    for folder in folders {
        let copy = folder.join("receipts.jsonl");
        let bytes = match std::fs::read(&copy) {
            Ok(bytes) => bytes,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        for text in bytes
            .split_inclusive(|byte| *byte == b'\n')
            .filter(|text| text.ends_with(b"\n"))
        {
            let number = serde_json::from_slice::<Value>(text)
                .ok()
                .and_then(|value| usize::try_from(value["number"].as_u64()?).ok())
                .unwrap_or(0);
            let same = number
                .checked_sub(1)
                .and_then(|index| lines.get(index))
                .is_some_and(|line| *line == text);
            if !same {
                return Err(ReceiptError::Copy { copy, number });
            }
        }
    }
    Ok(())
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
    fn what_was_removed_before_the_next_line_shows_ever_after() {
        // Lines left, whether the head is there.
        for (left, with_head) in [(1, true), (0, true), (2, false), (1, false)] {
            let folder = Folder::new();
            let path = written(&folder, 3);
            let text = fs::read_to_string(&path).unwrap();
            let kept: String = text.split_inclusive('\n').take(left).collect();
            fs::write(&path, kept).unwrap();
            if !with_head {
                fs::remove_file(head(&path)).unwrap();
            }
            assert!(verify_receipts(&path).is_err(), "{left} {with_head}");
            for _ in 0..3 {
                written(&folder, 1);
                let error = verify_receipts(&path).unwrap_err();
                assert!(
                    matches!(error, ReceiptError::Interrupted { line, .. } if line == left + 1),
                    "{left} {with_head}: {error}"
                );
            }
        }
    }

    #[test]
    fn lines_that_were_added_by_somebody_else_show() {
        let folder = Folder::new();
        let path = written(&folder, 2);
        let count = fs::read(head(&path)).unwrap();
        written(&folder, 2);
        fs::write(head(&path), count).unwrap();
        let error = verify_receipts(&path).unwrap_err();
        assert!(
            matches!(error, ReceiptError::Broken { line: 4, .. }),
            "{error}"
        );
        written(&folder, 1);
        let error = verify_receipts(&path).unwrap_err();
        assert!(
            matches!(error, ReceiptError::Interrupted { line: 5, .. }),
            "{error}"
        );
    }

    #[test]
    fn the_copies_of_the_runs_have_to_be_in_the_chain() {
        let folder = Folder::new();
        let path = folder.path().join("receipts.jsonl");
        let run = |name: &str| {
            let run = folder.path().join("runs").join(name);
            fs::create_dir_all(&run).unwrap();
            run.join("receipts.jsonl")
        };
        let (first, second) = (run("one"), run("two"));
        append(&path, &first, receipt(1)).unwrap();
        append(&path, &second, receipt(2)).unwrap();
        // What a process that died left of a copy is no receipt.
        let torn = fs::read_to_string(&first).unwrap();
        fs::write(&first, format!("{torn}{}", &torn[..20])).unwrap();
        assert_eq!(verify_receipts(&path).unwrap(), 2);
        append(&path, &first, receipt(3)).unwrap();
        assert_eq!(verify_receipts(&path).unwrap(), 3);

        // The chain and its head, written anew without the second.
        fs::remove_file(&path).unwrap();
        fs::remove_file(head(&path)).unwrap();
        append(&path, &run("three"), receipt(1)).unwrap();
        let error = verify_receipts(&path).unwrap_err();
        assert!(
            matches!(&error, ReceiptError::Copy { copy, number: 3 } if *copy == first),
            "{error}"
        );
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
