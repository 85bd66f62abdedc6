//! `capstan:host/files`: files by absolute path, as far as granted.
//!
//! The grant is asked for the path as it was passed, and again for what it turns out to be once links are followed.
//! What is then opened is opened by that second path with no link allowed in it (`openat2` with
//! `RESOLVE_NO_SYMLINKS`), and worked on through the handle: whoever puts a link in the way in between makes the
//! call fail, and leads it nowhere. The kernel has the last word: the worker is confined to the document's grants.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use cap_std::fs::Dir;
use capstan_policy::FileAccess;
use capstan_sandbox::User;
use rustix::fs::{
    AtFlags, CWD, FlockOperation, Gid, Mode, OFlags, ResolveFlags, Uid, chownat, fchown, flock,
    openat, openat2, renameat, statat, unlinkat,
};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use wasmtime::component::Resource;

use super::{Answer, io as io_error};
use crate::bindings::capstan::host::files::{Entry, Host, HostWriter, Kind, Metadata};
use crate::bindings::capstan::host::types::Error;
use crate::runtime::StepState;
use crate::shared::StepShared;
use crate::tariff;

/// A file that takes its name when it is complete.
pub struct Writer {
    file: File,
    place: Place,
    temporary: OsString,
    mode: u32,
    hash: Sha256,
    written: u64,
    keep: bool,
    done: bool,
}

impl Writer {
    fn remove(&mut self) {
        if !self.done {
            let _ = unlinkat(&self.place.folder, &self.temporary, AtFlags::empty());
        }
        self.done = true;
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.keep {
            self.remove();
        }
    }
}

/// Where something is or is to be: a folder, by handle, and a name in it.
struct Place {
    folder: OwnedFd,
    name: OsString,
    path: PathBuf,
}

/// Opens a path that has no links in it.
fn open_plain(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    Ok(openat2(
        CWD,
        path,
        flags | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )?)
}

/// Opens for reading. A pipe without a writer does not hold the call up.
fn open_to_read(path: &Path) -> io::Result<File> {
    open_plain(path, OFlags::RDONLY | OFlags::NONBLOCK).map(File::from)
}

impl Place {
    /// Of a path without links.
    fn of(path: &Path) -> io::Result<Self> {
        let name = path
            .file_name()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        Ok(Self {
            folder: open_plain(parent, OFlags::PATH | OFlags::DIRECTORY)?,
            name: name.to_owned(),
            path: path.to_owned(),
        })
    }

    /// Opens what is there, or makes it, but follows no link.
    fn open(&self, name: &OsString, flags: OFlags, mode: u32) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = openat(&self.folder, name, flags, Mode::from_raw_mode(mode))?;
        Ok(file.into())
    }

    /// Gives what is there to a user.
    fn give(&self, owner: Option<&User>) -> io::Result<()> {
        let Some(user) = owner else {
            return Ok(());
        };
        let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(chownat(
            &self.folder,
            &self.name,
            Some(uid),
            Some(gid),
            flags,
        )?)
    }

    /// Removes what is there: a link itself, not where it leads.
    fn remove(&self, recursive: bool) -> io::Result<()> {
        match unlinkat(&self.folder, &self.name, AtFlags::empty()) {
            // POSIX says the one for folders, Linux the other.
            Err(Errno::PERM | Errno::ISDIR) => {}
            result => return Ok(result?),
        }
        if recursive {
            Dir::from(self.folder.try_clone()?).remove_dir_all(&self.name)
        } else {
            Ok(unlinkat(&self.folder, &self.name, AtFlags::REMOVEDIR)?)
        }
    }
}

/// Asks the grant for a path and for where its links lead; the answer has no links in it.
fn check(shared: &StepShared, path: &str, access: FileAccess) -> Result<PathBuf, Error> {
    let refuse = |target: &str| {
        let word = serde_json::to_value(access)
            .ok()
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default();
        shared.deny(
            "files",
            target,
            format!("grants: {{ files: [{{ path: {target}, access: [{word}] }}] }}"),
        )
    };
    if !shared.component.allows_file(path, access) {
        return Err(refuse(path));
    }
    let given = Path::new(path);
    // What does not exist yet is where its folder is.
    let real = fs::canonicalize(given).or_else(|_| {
        let parent = given.parent().unwrap_or(Path::new("/"));
        fs::canonicalize(parent).map(|parent| {
            given
                .file_name()
                .map_or_else(|| parent.clone(), |name| parent.join(name))
        })
    });
    let real = real.map_err(|error| io_error(&error, path))?;
    match real.to_str() {
        Some(text) if shared.component.allows_file(text, access) => Ok(real),
        Some(text) => Err(refuse(text)),
        None => Err(Error::Invalid(format!(
            "{path} leads to a name that is not UTF-8"
        ))),
    }
}

/// A folder can only be made if the one above it is granted, which has to be there. It need not be all that is above:
/// whoever makes the folder beforehand has to grant no more than that.
fn refuse_to_make(shared: &StepShared, folder: &Path) -> Error {
    let above = folder.parent().filter(|above| *above != Path::new("/"));
    let grant = |path: &Path| {
        format!(
            "grants: {{ files: [{{ path: {}, access: read-write }}] }}",
            path.display()
        )
    };
    let hint = above.map_or_else(
        || format!("{}, once the folder is there", grant(folder)),
        grant,
    );
    shared.deny("files", &folder.to_string_lossy(), hint)
}

/// The place of a path whose last part is not followed if it is a link: for what acts on names.
fn check_name(shared: &StepShared, path: &str, access: FileAccess) -> Result<Place, Error> {
    if !shared.component.allows_file(path, access) {
        // Says why, and writes it down.
        check(shared, path, access)?;
    }
    let given = Path::new(path);
    let (Some(parent), Some(name)) = (given.parent(), given.file_name()) else {
        return Err(Error::Invalid(format!("{path} cannot be removed")));
    };
    let parent = fs::canonicalize(parent).map_err(|error| io_error(&error, path))?;
    let real = parent.join(name);
    match real.to_str() {
        Some(text) if shared.component.allows_file(text, access) => {}
        _ => {
            return Err(shared.deny(
                "files",
                &real.to_string_lossy(),
                format!(
                    "grants: {{ files: [{{ path: {}, access: read-write }}] }}",
                    real.display()
                ),
            ));
        }
    }
    Place::of(&real).map_err(|error| io_error(&error, path))
}

fn kind(kind: fs::FileType) -> Kind {
    if kind.is_file() {
        Kind::File
    } else if kind.is_dir() {
        Kind::Directory
    } else if kind.is_symlink() {
        Kind::Symlink
    } else {
        Kind::Other
    }
}

impl Host for StepState {
    async fn stat(&mut self, path: String) -> Answer<Metadata> {
        let shared = &self.shared;
        shared.charge(tariff::FILE_CALL);
        let real = match check(shared, &path, FileAccess::Read)
            .or_else(|denied| check(shared, &path, FileAccess::Write).map_err(|_| denied))
        {
            Ok(real) => real,
            Err(error) => return Ok(Err(error)),
        };
        Ok(open_plain(&real, OFlags::PATH)
            .and_then(|handle| File::from(handle).metadata())
            .map_err(|error| io_error(&error, &path))
            .map(|metadata| Metadata {
                kind: kind(metadata.file_type()),
                size: metadata.len(),
                modified: metadata
                    .modified()
                    .ok()
                    .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
                    .map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(0)),
                mode: metadata.mode() & 0o7777,
            }))
    }

    async fn list_directory(&mut self, path: String) -> Answer<Vec<Entry>> {
        let shared = &self.shared;
        shared.charge(tariff::FILE_CALL);
        let real = match check(shared, &path, FileAccess::List) {
            Ok(real) => real,
            Err(error) => return Ok(Err(error)),
        };
        let read = || -> io::Result<Vec<Entry>> {
            let folder = open_plain(&real, OFlags::RDONLY | OFlags::DIRECTORY)?;
            let mut list = Vec::new();
            for entry in Dir::from(folder).entries()? {
                let entry = entry?;
                let file_type = entry.file_type()?;
                list.push(Entry {
                    name: entry.file_name().to_string_lossy().into_owned(),
                    kind: if file_type.is_file() {
                        Kind::File
                    } else if file_type.is_dir() {
                        Kind::Directory
                    } else if file_type.is_symlink() {
                        Kind::Symlink
                    } else {
                        Kind::Other
                    },
                });
            }
            list.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(list)
        };
        Ok(read().map_err(|error| io_error(&error, &path)))
    }

    async fn read(&mut self, path: String, offset: u64, length: u32) -> Answer<Vec<u8>> {
        let shared = &self.shared;
        let real = match check(shared, &path, FileAccess::Read) {
            Ok(real) => real,
            Err(error) => return Ok(Err(error)),
        };
        let read = || -> io::Result<Vec<u8>> {
            let mut file = open_to_read(&real)?;
            file.seek(SeekFrom::Start(offset))?;
            let mut data = Vec::new();
            file.take(u64::from(length).min(shared.limits.host_call_bytes))
                .read_to_end(&mut data)?;
            Ok(data)
        };
        let answer = read().map_err(|error| io_error(&error, &path));
        shared.charge(tariff::FILE_CALL);
        shared.charge_bytes(answer.as_ref().map_or(0, Vec::len));
        Ok(answer)
    }

    async fn create_directory(&mut self, path: String) -> Answer<()> {
        let shared = &self.shared;
        shared.charge(tariff::FILE_CALL);
        if Path::new(&path).is_dir() {
            return Ok(check(shared, &path, FileAccess::Create).map(|_| ()));
        }
        // The missing ones above it too: each is asked for.
        let missing: Vec<&Path> = Path::new(&path)
            .ancestors()
            .take_while(|folder| !folder.exists())
            .collect();
        shared.wrote.store(true, Ordering::Relaxed);
        for folder in missing.into_iter().rev() {
            let text = folder.to_string_lossy();
            if !shared.component.allows_file(&text, FileAccess::Create) {
                return Ok(Err(refuse_to_make(shared, folder)));
            }
            let real = match check(shared, &text, FileAccess::Create) {
                Ok(real) => real,
                Err(error) => return Ok(Err(error)),
            };
            let made = Place::of(&real).and_then(|place| {
                let mode = Mode::from_raw_mode(0o777);
                rustix::fs::mkdirat(&place.folder, &place.name, mode)?;
                place.give(shared.owner())
            });
            match made {
                Ok(()) => {}
                // The kernel lets a folder be made where the folder above it is granted.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                    ) =>
                {
                    return Ok(Err(Error::Io(format!(
                        "{text} is not there and cannot be made, since the folder above it is not granted: make it before the run, or grant the folder above it ({error})"
                    ))));
                }
                Err(error) => return Ok(Err(io_error(&error, &text))),
            }
        }
        Ok(Ok(()))
    }

    async fn remove(&mut self, path: String, recursive: bool) -> Answer<()> {
        let shared = &self.shared;
        shared.charge(tariff::FILE_CALL);
        Ok(
            check_name(shared, &path, FileAccess::Remove).and_then(|place| {
                place
                    .remove(recursive)
                    .map_err(|error| io_error(&error, &path))
            }),
        )
    }

    async fn set_mode(&mut self, path: String, mode: u32) -> Answer<()> {
        let shared = &self.shared;
        shared.charge(tariff::FILE_CALL);
        if mode & !0o1777 != 0 {
            return Ok(Err(Error::Invalid(format!(
                "the mode {mode:o} sets the user or group of a program"
            ))));
        }
        Ok(check(shared, &path, FileAccess::Write).and_then(|real| {
            open_plain(&real, OFlags::PATH)
                .and_then(|handle| {
                    // A handle that only names its file cannot be changed itself, but through its own path.
                    use std::os::fd::AsRawFd as _;
                    let link = format!("/proc/self/fd/{}", handle.as_raw_fd());
                    fs::set_permissions(link, fs::Permissions::from_mode(mode))
                })
                .map_err(|error| io_error(&error, &path))
        }))
    }

    async fn append(&mut self, path: String, data: Vec<u8>) -> Answer<()> {
        let shared = &self.shared;
        shared.charge(tariff::FILE_CALL);
        shared.charge_bytes(data.len());
        let real = match check(shared, &path, FileAccess::Append)
            .or_else(|denied| check(shared, &path, FileAccess::Write).map_err(|_| denied))
        {
            Ok(real) => real,
            Err(error) => return Ok(Err(error)),
        };
        let append = || -> io::Result<()> {
            let place = Place::of(&real)?;
            let flags = OFlags::WRONLY | OFlags::APPEND;
            let mut file = match place.open(&place.name, flags, 0) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let file = place.open(&place.name, flags | OFlags::CREATE, 0o666)?;
                    place.give(shared.owner())?;
                    file
                }
                opened => opened?,
            };
            file.write_all(&data)
        };
        shared.wrote.store(true, Ordering::Relaxed);
        shared.record().files.insert(path.clone());
        Ok(append().map_err(|error| io_error(&error, &path)))
    }

    async fn create(
        &mut self,
        path: String,
        mode: u32,
        resume: Option<String>,
    ) -> Answer<(Resource<Writer>, u64)> {
        let shared = &self.shared;
        shared.charge(tariff::FILE_CALL);
        let exists = Path::new(&path).exists();
        let access = if exists {
            FileAccess::Write
        } else {
            FileAccess::Create
        };
        let target = match check(shared, &path, access) {
            Ok(target) => target,
            Err(error) => return Ok(Err(error)),
        };
        shared.wrote.store(true, Ordering::Relaxed);
        shared.record().files.insert(path.clone());
        match open_writer(&target, mode & 0o777, resume.as_deref()) {
            Ok(writer) => {
                let kept = writer.written;
                Ok(Ok((self.table.push(writer)?, kept)))
            }
            Err(error) => Ok(Err(io_error(&error, &path))),
        }
    }
}

/// What stands before and after the key in the name of a temporary file.
fn temporary_name(target: &Path) -> (String, &'static str) {
    let name = target
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let name: String = name.chars().take(100).collect();
    (format!(".{name}."), ".part")
}

/// Hexadecimal digits of the key in a name.
const KEY_DIGITS: usize = 16;

/// The temporary file stands beside its target, so that the last step is a rename.
fn open_writer(target: &Path, mode: u32, resume: Option<&str>) -> io::Result<Writer> {
    let place = Place::of(target)?;
    let (before, after) = temporary_name(target);
    let name = |key: &str| {
        let key = &crate::component::digest(key.as_bytes())[..KEY_DIGITS];
        OsString::from(format!("{before}{key}{after}"))
    };
    let kept = match resume {
        Some(key) => {
            let temporary = name(key);
            open_to_go_on(&place, &temporary)?.map(|file| (file, temporary))
        }
        None => None,
    };
    let keep = kept.is_some();
    let (mut file, temporary) = match kept {
        Some(kept) => kept,
        None => open_new(&place, name)?,
    };
    if resume.is_some() {
        remove_abandoned(&place, &temporary, (&before, after));
    }
    let mut hash = Sha256::new();
    let mut written = 0;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hash.update(&buffer[..count]);
        written += count as u64;
    }
    Ok(Writer {
        file,
        place,
        temporary,
        mode,
        hash,
        written,
        keep,
        done: false,
    })
}

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

impl HostWriter for StepState {
    async fn write(&mut self, this: Resource<Writer>, data: Vec<u8>) -> Answer<()> {
        self.shared.charge(tariff::FILE_CALL);
        self.shared.charge_bytes(data.len());
        let limit = self.shared.limits.disk_bytes;
        let writer = self.table.get_mut(&this)?;
        if writer.written + data.len() as u64 > limit {
            return Ok(Err(Error::LimitExceeded(format!(
                "a file of the step would have more than {limit} bytes"
            ))));
        }
        Ok(match writer.file.write_all(&data) {
            Ok(()) => {
                writer.hash.update(&data);
                writer.written += data.len() as u64;
                Ok(())
            }
            Err(error) => Err(io_error(&error, &writer.place.path.display().to_string())),
        })
    }

    async fn sha256(&mut self, this: Resource<Writer>) -> wasmtime::Result<String> {
        use std::fmt::Write as _;
        let writer = self.table.get(&this)?;
        Ok(writer
            .hash
            .clone()
            .finalize()
            .iter()
            .fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            }))
    }

    async fn commit(&mut self, this: Resource<Writer>) -> Answer<()> {
        self.shared.charge(tariff::FILE_CALL);
        let writer = self.table.get_mut(&this)?;
        if writer.done {
            return Ok(Err(Error::Invalid(
                "the file is already in its place, or was discarded".into(),
            )));
        }
        let commit = || -> io::Result<()> {
            if let Some(user) = self.shared.owner() {
                let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
                fchown(&writer.file, Some(uid), Some(gid))?;
            }
            writer
                .file
                .set_permissions(fs::Permissions::from_mode(writer.mode))?;
            let place = &writer.place;
            Ok(renameat(
                &place.folder,
                &writer.temporary,
                &place.folder,
                &place.name,
            )?)
        };
        let answer = commit();
        writer.done = answer.is_ok();
        Ok(answer.map_err(|error| io_error(&error, &writer.place.path.display().to_string())))
    }

    async fn discard(&mut self, this: Resource<Writer>) -> wasmtime::Result<()> {
        self.shared.charge(tariff::FILE_CALL);
        self.table.get_mut(&this)?.remove();
        Ok(())
    }

    async fn drop(&mut self, this: Resource<Writer>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
