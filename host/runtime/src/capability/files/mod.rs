//! `capstan:host/files`: files by absolute path, as far as granted.
//!
//! The grant is asked for the path as it was passed, and again for what it turns out to be once links are followed.
//! What is then opened is opened by that second path with no link allowed in it (`openat2` with
//! `RESOLVE_NO_SYMLINKS`), and worked on through the handle: whoever puts a link in the way in between makes the
//! call fail, and leads it nowhere. The kernel has the last word: the worker is confined to the document's grants.

mod check;
mod place;
mod temporary;
mod writer;

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::UNIX_EPOCH;

use cap_std::fs::Dir;
use capstan_policy::FileAccess;
use rustix::fs::{Mode, OFlags};
use wasmtime::component::Resource;

use super::{Answer, io as io_error};
use crate::bindings::capstan::host::files::{Entry, Host, Kind, Metadata};
use crate::bindings::capstan::host::types::Error;
use crate::runtime::StepState;
use crate::tariff;
use check::{check, check_either, check_name, refuse_to_make};
use place::{Place, open_plain, open_to_read};
pub use writer::Writer;
use writer::open_writer;

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
        let real = match check_either(shared, &path, FileAccess::Read, FileAccess::Write) {
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
        if shared.real(Path::new(&path)).is_dir() {
            return Ok(check(shared, &path, FileAccess::Create).map(|_| ()));
        }
        // The missing ones above it too: each is asked for.
        let missing: Vec<&Path> = Path::new(&path)
            .ancestors()
            .take_while(|folder| !shared.real(folder).exists())
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
        let real = match check_either(shared, &path, FileAccess::Append, FileAccess::Write) {
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
        let exists = shared.real(Path::new(&path)).exists();
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
        match open_writer(&path, &target, mode & 0o777, resume.as_deref()) {
            Ok(writer) => {
                let kept = writer.written;
                Ok(Ok((self.table.push(writer)?, kept)))
            }
            Err(error) => Ok(Err(io_error(&error, &path))),
        }
    }
}
