//! Whether what is on the disk is this user's alone, so that its content can be believed.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

/// Why the content of a file or folder cannot be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distrust {
    /// It belongs to the user with this number, who is another one.
    OwnedBy(u32),
    /// Others can write to it.
    WritableByOthers,
}

/// Checks that something belongs to the user of this process and that others cannot write to it.
///
/// # Errors
/// What is wrong with it.
pub fn check_own(metadata: &Metadata) -> Result<(), Distrust> {
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        Err(Distrust::OwnedBy(metadata.uid()))
    } else if metadata.mode() & 0o022 != 0 {
        Err(Distrust::WritableByOthers)
    } else {
        Ok(())
    }
}
