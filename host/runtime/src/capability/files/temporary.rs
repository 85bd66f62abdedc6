//! The temporary file of a writer: its name, its lock, and what killed writers left.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use cap_std::fs::Dir;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, openat, statat, unlinkat};
use rustix::io::Errno;

use super::place::Place;

/// An open temporary file that no other writer has.
pub(super) struct Temporary {
    pub(super) file: File,
    pub(super) name: OsString,
    /// It stays when the writer ends before its file is complete, for one that goes on with it.
    pub(super) keep: bool,
}

impl Temporary {
    /// The temporary file for a place: what an earlier writer with the same key left, if it is free, or a new one.
    pub(super) fn open(place: &Place, resume: Option<&str>) -> io::Result<Self> {
        let (before, after) = around_key(&place.path);
        let name = |key: &str| {
            let key = &crate::component::digest(key.as_bytes())[..KEY_DIGITS];
            OsString::from(format!("{before}{key}{after}"))
        };
        let kept = match resume {
            Some(key) => {
                let temporary = name(key);
                open_to_go_on(place, &temporary)?.map(|file| (file, temporary))
            }
            None => None,
        };
        let keep = kept.is_some();
        let (file, name) = match kept {
            Some(kept) => kept,
            None => open_new(place, name)?,
        };
        if resume.is_some() {
            remove_abandoned(place, &name, (&before, after));
        }
        Ok(Self { file, name, keep })
    }
}

/// What stands before and after the key in the name of a temporary file.
fn around_key(target: &Path) -> (String, &'static str) {
    let name = target
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let name: String = name.chars().take(100).collect();
    (format!(".{name}."), ".part")
}

/// Hexadecimal digits of the key in a name.
const KEY_DIGITS: usize = 16;

/// Opens what an earlier writer left, or nothing yet; none when another writer is at it.
fn open_to_go_on(place: &Place, temporary: &OsString) -> io::Result<Option<File>> {
    let file = place.open(temporary, OFlags::RDWR | OFlags::CREATE, 0o600)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("{} is in the way", temporary.display()),
        ));
    }
    Ok(take(place, temporary, &file).then_some(file))
}

/// Opens a file that nobody else has.
fn open_new(place: &Place, name: impl Fn(&str) -> OsString) -> io::Result<(File, OsString)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    for _ in 0..100 {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Workers in namespaces of their own all have the same few process numbers.
        let now = std::time::SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_nanos());
        let temporary = name(&format!("{} {number} {now}", std::process::id()));
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        match place.open(&temporary, flags, 0o600) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            // Another writer may have taken it for abandoned before the lock was there.
            Ok(file) if take(place, &temporary, &file) => return Ok((file, temporary)),
            Ok(_) => {}
        }
    }
    Err(io::Error::other(
        "there is no free name for a temporary file beside it",
    ))
}

/// Locks a temporary file for as long as it is open. False when another writer has it, or the name is another file's
/// by now.
fn take(place: &Place, temporary: &OsString, file: &File) -> bool {
    // A file system without locks has to do without.
    flock(file, FlockOperation::NonBlockingLockExclusive) != Err(Errno::WOULDBLOCK)
        && file.metadata().is_ok_and(|own| {
            statat(&place.folder, temporary, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|named| (named.st_dev, named.st_ino) == (own.dev(), own.ino()))
        })
}

/// Removes what writers of the same file left that nobody will go on with: of another version, or of a process that
/// was killed. As far as that can be done: it is no part of the work.
fn remove_abandoned(place: &Place, own: &OsString, (before, after): (&str, &str)) {
    let Ok(folder) = openat(
        &place.folder,
        ".",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    ) else {
        return;
    };
    for entry in Dir::from(folder).entries().into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_temporary = name.to_str().is_some_and(|text| {
            text.strip_prefix(before)
                .and_then(|text| text.strip_suffix(after))
                .is_some_and(|key| {
                    key.len() == KEY_DIGITS && key.bytes().all(|byte| byte.is_ascii_hexdigit())
                })
        });
        if !is_temporary || name == *own {
            continue;
        }
        if let Ok(file) = place.open(&name, OFlags::RDONLY, 0)
            && file.metadata().is_ok_and(|metadata| metadata.is_file())
            && take(place, &name, &file)
        {
            let _ = unlinkat(&place.folder, &name, AtFlags::empty());
        }
    }
}
