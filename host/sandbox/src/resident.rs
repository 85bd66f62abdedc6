//! The memory that a process seems to take while it does nothing.

use std::io;
use std::os::unix::fs::MetadataExt as _;

use rustix::mm::{Advice, madvise};

/// Takes this program's code out of the process's resident memory. It is in the file, and what is needed comes back page
/// by page; until then the kernel can drop it without looking who uses it. For processes that will wait long.
///
/// # Errors
/// When the kernel does not tell what is where.
pub fn release_code() -> io::Result<()> {
    let program = std::fs::metadata("/proc/self/exe")?.ino();
    for line in std::fs::read_to_string("/proc/self/maps")?.lines() {
        let Some((start, length)) = code(line, program) else {
            continue;
        };
        let start = std::ptr::with_exposed_provenance_mut(start);
        // SAFETY: it is a mapping of this process, and one that is private to it, comes from the program's file and cannot
        // be written to, so that it has nothing that is not in the file: what is read next is what was there before.
        unsafe { madvise(start, length, Advice::LinuxDontNeed) }?;
    }
    Ok(())
}

/// Where a mapping is and how long, if it is the code of a program that has this inode: `proc_pid_maps(5)`.
fn code(line: &str, program: u64) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    if fields.next()? != "r-xp" {
        return None;
    }
    let inode = fields.nth(2)?.parse::<u64>().ok()?;
    let path = fields.next()?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    let (start, end) = (address(start)?, address(end)?);
    (inode == program && path.starts_with('/') && start < end).then(|| (start, end - start))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{code, release_code};

    #[test]
    fn only_code_of_the_program_is_taken() {
        let line = "55e4a9c8f000-55e4a9c91000 r-xp 00d67000 fe:00 5311145    /usr/bin/capstan";
        assert_eq!(code(line, 5_311_145), Some((0x55e4_a9c8_f000, 0x2000)));
        assert_eq!(code(line, 1), None);
        for strange in [
            // What the loader relocated and then closed for writing is not in the file.
            line.replace("r-xp", "r--p"),
            line.replace("r-xp", "rwxp"),
            line.replace("r-xp", "r-xs"),
            line.replace("/usr/bin/capstan", "[vdso]"),
            line.replace("55e4a9c91000", "x"),
            "55e4a9c8f000-55e4a9c91000 r-xp 00000000 00:00 5311145".to_owned(),
        ] {
            assert_eq!(code(&strange, 5_311_145), None, "{strange}");
        }
    }

    #[test]
    fn the_program_goes_on_without_it() {
        release_code().unwrap();
        assert_eq!(["b", "a"].iter().max(), Some(&"b"));
    }
}
