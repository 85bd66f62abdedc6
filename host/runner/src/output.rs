//! What a step prints: whole into files, the beginning into the result.
//!
//! The files are written by the supervisor, which is not confined, into folders that a worker may be able to write
//! to. So they are opened folder by folder, links are never followed, and only a plain file of a single name is
//! taken: what a step puts in the way of an output costs that output and leads nowhere.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use capstan_runtime::OutputStream;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, mkdirat, openat};
use rustix::io::Errno;

/// Characters of standard output in a result.
pub(crate) const STDOUT_CHARACTERS: usize = 24_000;
/// Characters of standard error in a result.
pub(crate) const STDERR_CHARACTERS: usize = 8_000;
/// Characters of both together, as SSM shows them in lists.
const COMBINED_CHARACTERS: usize = 2_500;
const TRUNCATED: &str = "--output truncated--";

/// The output of one step.
#[derive(Debug)]
pub(crate) struct StepOutput {
    root: PathBuf,
    /// Below the root: the action's folder and the step's.
    folders: [String; 2],
    stdout: Stream,
    stderr: Stream,
}

#[derive(Debug, Default)]
struct Stream {
    file: Option<File>,
    /// The beginning: enough bytes for the characters of the result.
    kept: Vec<u8>,
    total: u64,
}

impl StepOutput {
    /// Files go to these folders below the run's own, which are made with the first byte.
    pub(crate) fn new(root: PathBuf, folders: [String; 2]) -> Self {
        Self {
            root,
            folders,
            stdout: Stream::default(),
            stderr: Stream::default(),
        }
    }

    /// Takes the beginnings from files that an earlier process wrote. What is not a plain file is passed over.
    pub(crate) fn take_up(&mut self) {
        for (stream, name, characters) in [
            (&mut self.stdout, "stdout", STDOUT_CHARACTERS),
            (&mut self.stderr, "stderr", STDERR_CHARACTERS),
        ] {
            if stream.total > 0 {
                continue;
            }
            let Ok(mut file) = open(
                &self.root,
                &self.folders,
                name,
                OFlags::RDWR | OFlags::APPEND,
            ) else {
                continue;
            };
            let room = (characters * 4 + 4) as u64;
            stream.total = file.metadata().map_or(0, |metadata| metadata.len());
            let _ = (&mut file).take(room).read_to_end(&mut stream.kept);
            stream.file = Some(file);
        }
    }

    /// Where the whole outputs are; empty for a stream without any.
    pub(crate) fn paths(&self) -> [String; 2] {
        [(&self.stdout, "stdout"), (&self.stderr, "stderr")].map(|(stream, name)| {
            if stream.total == 0 {
                return String::new();
            }
            let [action, step] = &self.folders;
            let path = self.root.join(action).join(step).join(name);
            path.display().to_string()
        })
    }

    /// Takes a piece. A disk that is full costs the file, not the step.
    pub(crate) fn write(&mut self, stream: OutputStream, data: &[u8]) {
        let (target, name, characters) = match stream {
            OutputStream::Stdout => (&mut self.stdout, "stdout", STDOUT_CHARACTERS),
            OutputStream::Stderr => (&mut self.stderr, "stderr", STDERR_CHARACTERS),
        };
        if target.file.is_none() {
            target.file = open(
                &self.root,
                &self.folders,
                name,
                OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE,
            )
            .ok();
        }
        if let Some(file) = &mut target.file {
            let _ = file.write_all(data);
        }
        target.total += data.len() as u64;
        // Four bytes are the longest character; one more tells that there was more.
        let room = (characters * 4 + 4).saturating_sub(target.kept.len());
        target.kept.extend_from_slice(&data[..data.len().min(room)]);
    }

    /// Leaves standard error so far out of the result; the file keeps it.
    pub(crate) fn forget_stderr(&mut self) {
        self.stderr.kept.clear();
    }

    /// Standard output and error for the result.
    pub(crate) fn texts(&self) -> (String, String) {
        (
            truncate(
                &String::from_utf8_lossy(&self.stdout.kept),
                STDOUT_CHARACTERS,
                TRUNCATED,
            ),
            truncate(
                &String::from_utf8_lossy(&self.stderr.kept),
                STDERR_CHARACTERS,
                TRUNCATED,
            ),
        )
    }

    /// Writes the truncated copies that SSM's agent keeps beside the whole ones.
    pub(crate) fn finish(&self) {
        let (stdout, stderr) = self.texts();
        for (name, text, stream) in [
            ("stdoutConsole", stdout, &self.stdout),
            ("stderrConsole", stderr, &self.stderr),
        ] {
            if stream.total > 0
                && let Ok(mut file) = open(
                    &self.root,
                    &self.folders,
                    name,
                    OFlags::WRONLY | OFlags::CREATE,
                )
                && file.set_len(0).is_ok()
            {
                let _ = file.write_all(text.as_bytes());
            }
        }
    }
}

/// Opens the file of a whole output for reading, as a step's result names it ([`crate::StepResult::stdout_path`]).
///
/// # Errors
/// When it is gone, or when something else was put in its place.
pub fn open_output(path: &Path) -> io::Result<File> {
    let strange = || io::Error::new(io::ErrorKind::InvalidInput, "it is no output of a step");
    let mut parts = path.iter().rev();
    let mut next = || {
        parts
            .next()
            .and_then(|part| part.to_str())
            .map(str::to_owned)
    };
    let (Some(name), Some(step), Some(action)) = (next(), next(), next()) else {
        return Err(strange());
    };
    let root = path.ancestors().nth(3).ok_or_else(strange)?;
    open(root, &[action, step], &name, OFlags::RDONLY)
}

/// Copies a whole output below a folder, for this user alone. Folders and what was there before are made and replaced;
/// links below the folder are not followed.
///
/// # Errors
/// When it cannot be read or written.
pub fn copy_output(mut from: File, root: &Path, folders: &[String], name: &str) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(root)?;
    let mut to = open(root, folders, name, OFlags::WRONLY | OFlags::CREATE)?;
    to.set_len(0)?;
    io::copy(&mut from, &mut to)?;
    to.sync_all()
}

/// Opens a file below a folder; with `CREATE` also makes what is missing on the way. Only the root may be reached over
/// links.
fn open(root: &Path, folders: &[String], name: &str, flags: OFlags) -> io::Result<File> {
    let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at: OwnedFd = openat(CWD, root, folder, Mode::empty())?;
    for name in folders {
        if flags.contains(OFlags::CREATE) {
            match mkdirat(at.as_fd(), name.as_str(), Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        at = openat(
            at.as_fd(),
            name.as_str(),
            folder | OFlags::NOFOLLOW,
            Mode::empty(),
        )?;
    }
    // Without `NONBLOCK` a pipe that was put there would make the supervisor wait for a reader.
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(at, name, flags, Mode::RUSR | Mode::WUSR)?;
    let stat = fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_nlink != 1 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "there is something else in the place of an output",
        ));
    }
    Ok(file.into())
}

/// At most so many characters, the suffix included, if any are left out.
pub(crate) fn truncate(text: &str, characters: usize, suffix: &str) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    let keep = characters.saturating_sub(suffix.chars().count());
    text.chars().take(keep).chain(suffix.chars()).collect()
}

/// Both streams in one short text.
pub(crate) fn combined(stdout: &str, stderr: &str) -> String {
    const SEPARATOR: &str = "\n----------ERROR-------\n";
    if stderr.is_empty() {
        return truncate(stdout, COMBINED_CHARACTERS, "\n---Output truncated---");
    }
    let room = COMBINED_CHARACTERS - SEPARATOR.len();
    // Each may have what the other leaves, and half at least.
    let (out, err) = (stdout.chars().count(), stderr.chars().count());
    let for_out = if err < room / 2 { room - err } else { room / 2 };
    let for_err = room - out.min(for_out);
    format!(
        "{}{SEPARATOR}{}",
        truncate(stdout, for_out, "\n---Output truncated---"),
        truncate(stderr, for_err, "\n---Error truncated----")
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;
    use std::os::unix::fs::symlink;

    use capstan_runtime::OutputStream::{Stderr, Stdout};

    use super::{StepOutput, combined, copy_output, open_output, truncate};

    fn output(root: &std::path::Path) -> StepOutput {
        StepOutput::new(root.to_owned(), ["awsrunShellScript".into(), "step".into()])
    }

    #[test]
    fn the_files_hold_everything_and_their_copies_the_beginning() {
        let folder = crate::testing::Folder::new();
        let mut output = output(folder.path());
        output.write(Stdout, &[b'x'; 30_000]);
        output.write(Stdout, b"end");
        output.write(Stderr, b"bad \xff byte");
        output.finish();
        let step = folder.path().join("awsrunShellScript/step");
        assert_eq!(fs::read(step.join("stdout")).unwrap().len(), 30_003);
        assert_eq!(fs::read(step.join("stderr")).unwrap(), b"bad \xff byte");
        let copy = fs::read_to_string(step.join("stdoutConsole")).unwrap();
        assert_eq!(copy.chars().count(), 24_000);
        assert!(copy.ends_with("x--output truncated--"));
        assert_eq!(output.texts(), (copy, "bad \u{fffd} byte".to_owned()));
        assert!(open_output(&step.join("stdout")).is_ok());
        // What is gone is not made anew by those who look for it.
        for gone in ["stdin", "../other/stdout"] {
            assert!(open_output(&step.join(gone)).is_err(), "{gone}");
            assert!(!step.join(gone).exists(), "{gone}");
        }
    }

    #[test]
    fn an_output_never_leads_elsewhere() {
        // What a step may have put in the way: a link for the file, for a folder, a second name, a pipe.
        for way in ["file", "folder", "name", "pipe"] {
            let folder = crate::testing::Folder::new();
            let root = folder.path().join("run");
            let step = root.join("awsrunShellScript/step");
            fs::create_dir_all(&step).unwrap();
            let elsewhere = folder.path().join("elsewhere");
            fs::create_dir_all(&elsewhere).unwrap();
            fs::write(elsewhere.join("stdout"), "original").unwrap();
            match way {
                "file" => symlink(elsewhere.join("stdout"), step.join("stdout")).unwrap(),
                "folder" => {
                    fs::remove_dir(&step).unwrap();
                    symlink(&elsewhere, &step).unwrap();
                }
                "name" => fs::hard_link(elsewhere.join("stdout"), step.join("stdout")).unwrap(),
                _ => {
                    let mode = rustix::fs::Mode::RWXU;
                    rustix::fs::mknodat(
                        rustix::fs::CWD,
                        step.join("stdout"),
                        rustix::fs::FileType::Fifo,
                        mode,
                        0,
                    )
                    .unwrap();
                }
            }
            let mut output = output(&root);
            output.write(Stdout, b"printed");
            output.finish();
            assert_eq!(
                fs::read_to_string(elsewhere.join("stdout")).unwrap(),
                "original",
                "{way}"
            );
            assert!(!elsewhere.join("stdoutConsole").exists(), "{way}");
            assert_eq!(output.texts().0, "printed", "{way}");
            // Nor when it is read, or copied to such a place.
            let path = root.join("awsrunShellScript/step/stdout");
            assert!(open_output(&path).is_err(), "{way}");
            let own = folder.path().join("own");
            fs::write(&own, "own").unwrap();
            let folders = ["awsrunShellScript".to_owned(), "step".to_owned()];
            let own = fs::File::open(&own).unwrap();
            assert!(
                copy_output(own, &root, &folders, "stdout").is_err(),
                "{way}"
            );
        }
    }

    #[test]
    fn texts_are_cut_by_characters_and_keep_their_mark() {
        let text = truncate(&"é".repeat(30_000), 24_000, "--output truncated--");
        assert_eq!(text.chars().count(), 24_000);
        assert!(text.ends_with("é--output truncated--"));
        assert_eq!(
            truncate(&"é".repeat(24_000), 24_000, "x").chars().count(),
            24_000
        );
        let both = combined(&"o".repeat(5_000), &"e".repeat(5_000));
        assert_eq!(both.chars().count(), 2_500);
        assert!(both.contains("---Output truncated---\n----------ERROR-------\n"));
        assert!(both.ends_with("---Error truncated----"));
        assert_eq!(combined("a", ""), "a");
        assert_eq!(combined("a", "b"), "a\n----------ERROR-------\nb");
    }
}
