//! Files by absolute path, as far as granted.

use crate::Error;

pub use crate::__private::capstan::host::files::{
    Entry, Kind, Metadata, Writer, append, create, create_directory, list_directory, read, remove,
    set_mode, stat,
};

/// Opens a writer as `create` does, and makes the file's folder if it is missing. A folder that is there is not asked
/// for: the file alone may be granted.
///
/// # Errors
/// When the file, or a folder that has to be made, is not granted, or the disk fails.
pub fn create_with_folder(
    path: &str,
    mode: u32,
    resume: Option<&str>,
) -> Result<(Writer, u64), Error> {
    match create(path, mode, resume) {
        Err(Error::NotFound(_)) => {
            let folder = path.rsplit_once('/').map_or("/", |(folder, _)| folder);
            create_directory(folder)?;
            create(path, mode, resume)
        }
        result => result,
    }
}

/// Puts a file in its place, whole or not at all, and makes its folder if it is missing.
///
/// # Errors
/// When it is not granted or the disk fails.
pub fn write(path: &str, mode: u32, content: &[u8]) -> Result<(), Error> {
    let (writer, _) = create_with_folder(path, mode, None)?;
    writer.write(content)?;
    writer.commit()
}

/// The whole of a file, up to 16 MiB.
///
/// # Errors
/// When it is not granted, does not exist or is larger.
pub fn read_all(path: &str) -> Result<Vec<u8>, Error> {
    const MOST: u64 = 16 << 20;
    let mut content = Vec::new();
    loop {
        let part = read(path, content.len() as u64, 1 << 20)?;
        if part.is_empty() {
            return Ok(content);
        }
        content.extend(part);
        if content.len() as u64 > MOST {
            return Err(Error::LimitExceeded(format!(
                "{path} has more than {MOST} bytes"
            )));
        }
    }
}

/// The whole of a file as text, up to 16 MiB.
///
/// # Errors
/// The same, and when it is not UTF-8.
pub fn read_to_string(path: &str) -> Result<String, Error> {
    String::from_utf8(read_all(path)?).map_err(|_| Error::Invalid(format!("{path} is not UTF-8")))
}

/// Whether there is something of this name that the step may look at.
#[must_use]
pub fn exists(path: &str) -> bool {
    stat(path).is_ok()
}
