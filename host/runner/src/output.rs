//! What a step prints: whole into files, the beginning into the result.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use capstan_runtime::OutputStream;

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
    folder: PathBuf,
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
    /// Files go to this folder, which is made with the first byte.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            stdout: Stream::default(),
            stderr: Stream::default(),
        }
    }

    /// Takes a piece. A disk that is full costs the file, not the step.
    pub(crate) fn write(&mut self, stream: OutputStream, data: &[u8]) {
        let (target, name, characters) = match stream {
            OutputStream::Stdout => (&mut self.stdout, "stdout", STDOUT_CHARACTERS),
            OutputStream::Stderr => (&mut self.stderr, "stderr", STDERR_CHARACTERS),
        };
        if target.file.is_none() {
            let _ = crate::state::make_private(&self.folder);
            target.file = OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(self.folder.join(name))
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
                && let Ok(mut file) = OpenOptions::new()
                    .create(true)
                    .write(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(self.folder.join(name))
            {
                let _ = file.write_all(text.as_bytes());
            }
        }
    }
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
    use super::{combined, truncate};

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
