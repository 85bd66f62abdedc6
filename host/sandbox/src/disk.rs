//! How much of the disk a step uses.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Bytes allocated to the files below these paths, links not followed, each file once.
#[must_use]
pub fn used_bytes<P: AsRef<Path>>(paths: &[P]) -> u64 {
    let mut seen = HashSet::new();
    let mut total = 0;
    let mut open: Vec<std::path::PathBuf> =
        paths.iter().map(|path| path.as_ref().to_owned()).collect();
    while let Some(path) = open.pop() {
        let Ok(metadata) = std::fs::symlink_metadata(&path) else {
            continue;
        };
        if !seen.insert((metadata.dev(), metadata.ino())) {
            continue;
        }
        total += metadata.blocks() * 512;
        if metadata.is_dir()
            && let Ok(entries) = std::fs::read_dir(&path)
        {
            open.extend(entries.flatten().map(|entry| entry.path()));
        }
    }
    total
}
