//! The mount namespace of a worker.
//!
//! Everything is mounted read-only but what the document was granted for writing, because Landlock does not
//! cover changes of mode, owner, times and attributes. `/tmp` and `/var/tmp` are a private folder, and `/run` is
//! empty but for the sockets and files that were granted, because Landlock of today does not cover connecting
//! to a socket by its path.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use capstan_policy::{FileAccess, FileRule, Grant};

use crate::error::SandboxError;
use crate::overlay::{self, Overlay, Planned};

const AT_RECURSIVE: libc::c_uint = 0x8000;
const OPEN_TREE_CLONE: libc::c_uint = 1;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 4;

/// What to lay out.
#[derive(Debug)]
pub(crate) struct Layout<'a> {
    pub(crate) grant: &'a Grant,
    /// Appears as `/tmp` and `/var/tmp`.
    pub(crate) private_tmp: &'a Path,
    /// Must be reachable, also below a hidden folder.
    pub(crate) readable: &'a [PathBuf],
    /// The same, for writing.
    pub(crate) writable: &'a [PathBuf],
    /// For what programs write beside single files.
    pub(crate) overlays: &'a Path,
    /// Mount a `/proc` of the process namespace.
    pub(crate) proc: bool,
}

/// Folders whose content is replaced.
const HIDDEN: &[&str] = &["/tmp", "/var/tmp", "/run"];

fn c_path(path: &Path) -> Result<CString, SandboxError> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| SandboxError::Nul(path.display().to_string()))
}

/// Whether a rule lets its holder change something.
fn writes(rule: &FileRule) -> bool {
    rule.access.iter().any(|access| {
        matches!(
            access,
            FileAccess::Write
                | FileAccess::Create
                | FileAccess::Remove
                | FileAccess::Replace
                | FileAccess::Append
        )
    })
}

fn is_device(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    fs::metadata(path).is_ok_and(|metadata| {
        metadata.file_type().is_char_device() || metadata.file_type().is_block_device()
    })
}

/// Files in `/proc` that tell of the kernel and of everybody's processes, to root alone or more than they should.
const TELLING: &[&str] = &[
    "/proc/slabinfo",
    "/proc/kpageflags",
    "/proc/kpagecount",
    "/proc/kpagecgroup",
    "/proc/timer_list",
    "/proc/vmallocinfo",
    "/proc/pagetypeinfo",
    "/proc/keys",
    "/proc/key-users",
    "/proc/kcore",
    "/proc/sched_debug",
];

/// Makes the view. Only in a mount namespace of one's own.
pub(crate) fn enter(layout: &Layout<'_>) -> Result<Vec<Overlay>, SandboxError> {
    mount(
        None,
        Path::new("/"),
        None,
        libc::MS_REC | libc::MS_PRIVATE,
        None,
    )?;

    let mut writable: BTreeSet<PathBuf> = layout.writable.iter().cloned().collect();
    writable.extend(
        layout
            .grant
            .files
            .iter()
            .filter(|rule| writes(rule) && !overlay::is_single(rule))
            .map(|rule| PathBuf::from(&rule.path))
            // A device is written to on a read-only mount as well, and its node keeps its mode and owner there.
            .filter(|path| !is_device(path)),
    );
    let everything = writable.contains(Path::new("/"));
    let hidden = |path: &Path| HIDDEN.iter().any(|folder| path.starts_with(folder));

    // Taken before anything changes: what stays writable, and what is granted below a folder that will be hidden.
    let mut kept: Vec<(PathBuf, OwnedFd)> = Vec::new();
    let readable = layout
        .grant
        .files
        .iter()
        .map(|rule| PathBuf::from(&rule.path))
        .chain(layout.readable.iter().cloned());
    // A file that may be replaced is in an overlay of its folder: one that is mounted on cannot be.
    let single: BTreeSet<&Path> = layout
        .grant
        .files
        .iter()
        .filter(|rule| overlay::is_single(rule))
        .map(|rule| Path::new(&rule.path))
        .collect();
    let below_hidden: BTreeSet<PathBuf> = readable
        .filter(|path| !single.contains(path.as_path()))
        .chain(layout.grant.sockets.iter().map(PathBuf::from))
        .filter(|path| hidden(path) && !HIDDEN.iter().any(|folder| path == Path::new(folder)))
        .collect();
    for path in writable.union(&below_hidden) {
        if path == Path::new("/") || HIDDEN.iter().any(|folder| path == Path::new(folder)) {
            continue;
        }
        // A link is opened where it leads to; what does not exist yet cannot be kept.
        let Ok(real) = fs::canonicalize(path) else {
            continue;
        };
        kept.push((real.clone(), open_tree(&real)?));
    }
    let paths: Vec<&Path> = kept.iter().map(|(path, _)| path.as_path()).collect();
    let overlays = overlay::plan(layout.grant, layout.overlays, &paths)?;
    // An overlay covers what was kept below its folder, which goes on top of it once more.
    let covered: Vec<(&Path, OwnedFd)> = paths
        .iter()
        .filter(|path| overlays.iter().any(|overlay| overlay.covers(path)))
        .map(|path| Ok((*path, open_tree(path)?)))
        .collect::<Result<_, SandboxError>>()?;
    let temporary = open_tree(layout.private_tmp)?;
    let temporary_again = open_tree(layout.private_tmp)?;

    if !everything {
        make_read_only()?;
    }
    mount(
        Some("tmpfs"),
        Path::new("/run"),
        Some("tmpfs"),
        libc::MS_NOSUID | libc::MS_NODEV,
        Some("mode=755,size=1m"),
    )?;
    move_to(&temporary, Path::new("/tmp"))?;
    if Path::new("/var/tmp").is_dir()
        && fs::canonicalize("/var/tmp").is_ok_and(|real| real == Path::new("/var/tmp"))
    {
        move_to(&temporary_again, Path::new("/var/tmp"))?;
    }
    // From the outside in, so that a kept folder does not cover one kept below it.
    for (path, tree) in &kept {
        if hidden(path) {
            make_target(path, tree)?;
        }
        move_to(tree, path)?;
    }
    let overlays = overlays
        .into_iter()
        .map(Planned::mount)
        .collect::<Result<Vec<_>, _>>()?;
    for (path, tree) in &covered {
        move_to(tree, path)?;
    }
    if layout.proc {
        // Some containers forbid it; then the old one stays, which Landlock closes. Read-only, because the modes
        // of its files are the same in every /proc.
        let own = mount(
            Some("proc"),
            Path::new("/proc"),
            Some("proc"),
            libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC | libc::MS_RDONLY,
            None,
        );
        if own.is_ok() {
            for path in TELLING.iter().map(Path::new).filter(|path| path.exists()) {
                move_to(&open_tree(Path::new("/dev/null"))?, path)?;
            }
        }
    }
    // The current folder still is the one before all this.
    std::env::set_current_dir("/").map_err(|error| SandboxError::system("chdir /", error))?;
    Ok(overlays)
}

/// Makes an empty file or folder to mount on.
fn make_target(path: &Path, tree: &OwnedFd) -> Result<(), SandboxError> {
    let failed = |error: io::Error| {
        SandboxError::system(
            format!("making {} in its hidden folder", path.display()),
            error,
        )
    };
    let is_directory = fs::metadata(format!("/proc/self/fd/{}", tree.as_raw_fd()))
        .map_err(failed)?
        .is_dir();
    if is_directory {
        return fs::create_dir_all(path).map_err(failed);
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    if !path.exists() {
        fs::File::create(path).map_err(failed)?;
    }
    Ok(())
}

pub(crate) fn mount(
    source: Option<&str>,
    target: &Path,
    kind: Option<&str>,
    flags: libc::c_ulong,
    data: Option<&str>,
) -> Result<(), SandboxError> {
    let text = |text: Option<&str>| {
        text.map(CString::new)
            .transpose()
            .map_err(|_| SandboxError::Nul("a mount".into()))
    };
    let (source, kind, data) = (text(source)?, text(kind)?, text(data)?);
    let target_text = c_path(target)?;
    let pointer =
        |text: &Option<CString>| text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr());
    // SAFETY: every pointer is null or to a string that lives until the call returns.
    let result = unsafe {
        libc::mount(
            pointer(&source),
            target_text.as_ptr(),
            pointer(&kind),
            flags,
            pointer(&data).cast(),
        )
    };
    if result < 0 {
        Err(SandboxError::last(format!("mounting {}", target.display())))
    } else {
        Ok(())
    }
}

/// A copy of the mounts at and below a path, attached nowhere.
pub(crate) fn open_tree(path: &Path) -> Result<OwnedFd, SandboxError> {
    let text = c_path(path)?;
    let flags = OPEN_TREE_CLONE | AT_RECURSIVE | libc::O_CLOEXEC as libc::c_uint;
    // SAFETY: the path is a valid string.
    let result =
        unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, text.as_ptr(), flags) };
    if result < 0 {
        return Err(SandboxError::last(format!("open_tree {}", path.display())));
    }
    // SAFETY: the kernel has just opened it for us.
    #[expect(clippy::cast_possible_truncation, reason = "a descriptor")]
    Ok(unsafe { OwnedFd::from_raw_fd(result as i32) })
}

pub(crate) fn move_to(tree: &OwnedFd, target: &Path) -> Result<(), SandboxError> {
    let text = c_path(target)?;
    // SAFETY: the paths are valid strings.
    let result = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            text.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH,
        )
    };
    if result < 0 {
        Err(SandboxError::last(format!(
            "move_mount {}",
            target.display()
        )))
    } else {
        Ok(())
    }
}

#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

/// Covers the control groups with a read-only view of themselves, when the worker has opened what it needs of its
/// own: a mount with files that are open for writing cannot be made read-only itself.
pub(crate) fn close_control_groups(grant: &Grant) -> Result<(), SandboxError> {
    let granted: Vec<&Path> = grant
        .files
        .iter()
        .filter(|rule| writes(rule))
        .map(|rule| Path::new(&rule.path))
        .collect();
    for_each_mount(|path, kind| {
        if !kind.starts_with("cgroup") || granted.iter().any(|folder| path.starts_with(folder)) {
            return Ok(());
        }
        let tree = open_tree(path)?;
        make_tree_read_only(&tree)?;
        move_to(&tree, path)
    })
}

/// Makes every mount of the namespace read-only, but for control groups, which the worker still has to set up
/// ([`close_control_groups`] comes after that).
fn make_read_only() -> Result<(), SandboxError> {
    for_each_mount(|path, kind| {
        if kind.starts_with("cgroup") {
            return Ok(());
        }
        make_mount_read_only(path)
    })
}

/// Does something to every mount of the namespace, by its path and kind, as far as it can be reached.
fn for_each_mount(
    act: impl Fn(&Path, &str) -> Result<(), SandboxError>,
) -> Result<(), SandboxError> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")
        .map_err(|error| SandboxError::system("/proc/self/mountinfo", error))?;
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else {
            continue;
        };
        let (Some(path), Some(kind)) = (left.split(' ').nth(4), right.split(' ').next()) else {
            continue;
        };
        match act(&unescape(path), kind) {
            Ok(()) => {}
            // Covered by another mount, or below a folder that this user cannot enter: nobody here reaches it.
            Err(SandboxError::System { error, .. })
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ENOENT | libc::EACCES | libc::EINVAL | libc::ENOTDIR)
                ) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes a tree that is attached nowhere read-only.
pub(crate) fn make_tree_read_only(tree: &OwnedFd) -> Result<(), SandboxError> {
    let flags = libc::AT_EMPTY_PATH as libc::c_uint | AT_RECURSIVE;
    if set_read_only(tree.as_raw_fd(), c"", flags) {
        Ok(())
    } else {
        Err(SandboxError::last("mount_setattr"))
    }
}

/// Makes one mount read-only.
fn make_mount_read_only(path: &Path) -> Result<(), SandboxError> {
    if set_read_only(libc::AT_FDCWD, &c_path(path)?, 0) {
        Ok(())
    } else {
        Err(SandboxError::last(format!(
            "mount_setattr {} (needs Linux 5.12 or later)",
            path.display()
        )))
    }
}

/// `mount_setattr`: no more writing, and no set-user-ID programs. Whether the kernel took it.
fn set_read_only(folder: RawFd, path: &CStr, flags: libc::c_uint) -> bool {
    let attributes = MountAttributes {
        set: libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID,
        clear: 0,
        propagation: 0,
        userns: 0,
    };
    // SAFETY: the path is a valid string; the structure and its size belong together.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            folder,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    result >= 0
}

/// Paths in mountinfo have spaces and the like as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'\\' {
            let digits: String = bytes.by_ref().take(3).map(char::from).collect();
            out.push(u8::from_str_radix(&digits, 8).unwrap_or(b'?'));
        } else {
            out.push(byte);
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(out))
}
