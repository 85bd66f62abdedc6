//! How much of the disk a step uses.

use std::collections::HashSet;
use std::ffi::CStr;
use std::fs;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use capstan_policy::Limits;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;

/// Folders within folders. Each that is looked into costs a descriptor.
const MAX_DEPTH: usize = 200;
/// Where earlier steps left more than the limit, what a step may add: it is not to blame for them.
const SLACK_BYTES: u64 = 1 << 20;
const SLACK_FILES: u64 = 64;

/// What is in some folders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// Allocated to files and folders, each once.
    pub bytes: u64,
    /// Names of files and folders.
    pub files: u64,
    /// How many folders could not be looked into.
    unknown: u64,
    /// Which was the first of them, and why.
    why: String,
}

/// What a step's folders hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measured {
    /// In all of them.
    pub total: DiskUsage,
    /// In those that it shares with other steps.
    pub shared: DiskUsage,
}

impl Measured {
    /// Why this is more than the step may use; none when it is not. `before` is what its shared folders held when it
    /// began.
    #[must_use]
    pub fn excess(&self, before: &DiskUsage, limits: &Limits) -> Option<String> {
        let over = |now: u64, before: u64, limit: u64, slack: u64| {
            now > limit && (before <= limit || now - before.min(now) > slack)
        };
        let total = &self.total;
        if total.unknown > before.unknown {
            return Some(format!(
                "how much there is in the step's private folders cannot be told: {}",
                total.why
            ));
        }
        let bytes = limits.disk_bytes;
        if over(total.bytes, before.bytes, bytes, SLACK_BYTES) {
            return Some(format!(
                "there are more than {bytes} bytes in the step's private folders"
            ));
        }
        let files = limits.disk_files();
        over(total.files, before.files, files, SLACK_FILES)
            .then(|| format!("there are more than {files} files in the step's private folders"))
    }
}

/// What is to be measured.
#[derive(Debug, Clone, Default)]
pub struct DiskFolders {
    /// Shared with other steps.
    pub shared: Vec<PathBuf>,
    /// The step's own.
    pub own: Vec<PathBuf>,
    /// Count what processes of this namespace have open and has no name any more.
    pub processes: bool,
}

impl DiskFolders {
    /// Walks the folders, links and other file systems not followed. None when there are more files than `most`.
    #[must_use]
    pub fn measure(&self, most: u64) -> Option<Measured> {
        let mut walk = Walk {
            usage: DiskUsage::default(),
            seen: HashSet::new(),
            devices: HashSet::new(),
            most,
        };
        for folder in &self.shared {
            walk.folder(folder)?;
        }
        let shared = walk.usage.clone();
        for folder in &self.own {
            walk.folder(folder)?;
        }
        if self.processes {
            walk.without_names()?;
        }
        Some(Measured {
            total: walk.usage,
            shared,
        })
    }
}

struct Walk {
    usage: DiskUsage,
    /// Files with several names, or with none.
    seen: HashSet<(u64, u64)>,
    devices: HashSet<u64>,
    most: u64,
}

impl Walk {
    fn unknown(&mut self, why: String) {
        if self.usage.unknown == 0 {
            self.usage.why = why;
        }
        self.usage.unknown += 1;
    }

    fn file(&mut self, bytes: u64) -> Option<()> {
        self.usage.files += 1;
        self.usage.bytes = self.usage.bytes.saturating_add(bytes);
        (self.usage.files <= self.most).then_some(())
    }

    /// By descriptors, so that no path is too long and no folder is exchanged for a link on the way.
    fn folder(&mut self, root: &Path) -> Option<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let enter = |at: BorrowedFd<'_>, name: &CStr| -> Result<Dir, Errno> {
            Dir::new(openat(at, name, flags, Mode::empty())?)
        };
        let opened = openat(CWD, root, flags, Mode::empty())
            .and_then(|folder| Ok((fstat(&folder)?.st_dev, Dir::new(folder)?)));
        let (device, top) = match opened {
            Ok(opened) => opened,
            Err(Errno::NOENT) => return Some(()),
            Err(error) => {
                self.unknown(format!("{}: {error}", root.display()));
                return Some(());
            }
        };
        self.devices.insert(device);
        let mut open = vec![top];
        while let Some(folder) = open.last_mut() {
            let entry = match folder.read() {
                None => {
                    open.pop();
                    continue;
                }
                Some(Ok(entry)) => entry,
                Some(Err(error)) => {
                    self.unknown(format!("a folder in {}: {error}", root.display()));
                    open.pop();
                    continue;
                }
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let looked = folder.fd().and_then(|at| {
                let stat = statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?;
                let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
                let below = (is_folder && stat.st_dev == device).then(|| enter(at, name));
                Ok((stat, below.transpose()?))
            });
            let (stat, below) = match looked {
                Ok(looked) => looked,
                // Gone, or something else, in the meantime.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(error) => {
                    self.file(0)?;
                    let name = name.to_string_lossy();
                    self.unknown(format!("{name} in {}: {error}", root.display()));
                    continue;
                }
            };
            let linked = stat.st_nlink > 1 && below.is_none();
            if stat.st_dev != device || (linked && !self.seen.insert((stat.st_dev, stat.st_ino))) {
                self.file(0)?;
                continue;
            }
            self.file(blocks(stat.st_blocks))?;
            if let Some(below) = below {
                if open.len() < MAX_DEPTH {
                    open.push(below);
                } else {
                    self.unknown(format!(
                        "there are more than {MAX_DEPTH} folders within each other in {}",
                        root.display()
                    ));
                }
            }
        }
        Some(())
    }

    /// Files that were removed and are still open take up as much as before.
    fn without_names(&mut self) -> Option<()> {
        // Of another namespace, the numbers would mean other processes.
        let own = std::process::id().to_string();
        if fs::read_link("/proc/self").map_or(true, |link| link != Path::new(&own)) {
            return Some(());
        }
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let number = process.file_name();
            let is_number = number.as_bytes().iter().all(u8::is_ascii_digit);
            if !is_number || number == *own {
                continue;
            }
            let descriptors = fs::read_dir(process.path().join("fd"));
            for descriptor in descriptors.into_iter().flatten().flatten() {
                let Ok(file) = fs::metadata(descriptor.path()) else {
                    continue;
                };
                if file.is_file()
                    && file.nlink() == 0
                    && self.devices.contains(&file.dev())
                    && self.seen.insert((file.dev(), file.ino()))
                {
                    self.file(file.blocks() * 512)?;
                }
            }
        }
        Some(())
    }
}

fn blocks(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0).saturating_mul(512)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};

    use capstan_policy::Limits;

    use super::{DiskFolders, DiskUsage, MAX_DEPTH, Measured};

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("capstan-disk-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn measure(&self) -> Measured {
            let folders = DiskFolders {
                own: vec![self.0.clone()],
                ..DiskFolders::default()
            };
            folders.measure(u64::MAX).unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn each_file_counts_once_and_links_are_not_followed() {
        let folder = Folder::new("once");
        fs::write(folder.0.join("a"), vec![1; 1 << 20]).unwrap();
        let once = folder.measure().total;
        assert!(once.bytes >= 1 << 20 && once.files == 1, "{once:?}");
        fs::hard_link(folder.0.join("a"), folder.0.join("b")).unwrap();
        symlink("/usr", folder.0.join("c")).unwrap();
        let more = folder.measure().total;
        assert!(more.bytes < once.bytes + (64 << 10), "{more:?}");
        assert_eq!(more.files, 3);
    }

    #[test]
    fn folders_that_are_too_deep_are_told() {
        let folder = Folder::new("deep");
        let deep: PathBuf = (0..MAX_DEPTH).map(|_| Path::new("d")).collect();
        fs::create_dir_all(folder.0.join(&deep)).unwrap();
        let excess =
            |measured: &Measured| measured.excess(&DiskUsage::default(), &Limits::default());
        let measured = folder.measure();
        assert!(
            excess(&measured)
                .unwrap()
                .contains("folders within each other"),
            "{measured:?}"
        );
        assert_eq!(measured.excess(&measured.total, &Limits::default()), None);
        fs::remove_dir_all(folder.0.join("d/d")).unwrap();
        assert_eq!(excess(&folder.measure()), None);
    }

    #[test]
    fn a_step_answers_for_what_it_adds() {
        let limits = Limits {
            disk_bytes: 100 << 20,
            ..Limits::default()
        };
        let usage = |mebibytes: u64, files: u64| DiskUsage {
            bytes: mebibytes << 20,
            files,
            ..DiskUsage::default()
        };
        assert_eq!(limits.disk_files(), 25_600);
        for (before, now, over) in [
            (usage(0, 0), usage(100, 10), false),
            (usage(0, 0), usage(101, 10), true),
            (usage(90, 0), usage(101, 10), true),
            (usage(200, 10), usage(200, 11), false),
            (usage(200, 10), usage(150, 10), false),
            (usage(200, 10), usage(202, 10), true),
            (usage(0, 0), usage(1, 25_601), true),
            (usage(0, 30_000), usage(1, 30_010), false),
            (usage(0, 30_000), usage(1, 30_100), true),
        ] {
            let measured = Measured {
                total: now.clone(),
                shared: DiskUsage::default(),
            };
            let excess = measured.excess(&before, &limits);
            assert_eq!(excess.is_some(), over, "{before:?} {now:?}");
        }
    }
}
