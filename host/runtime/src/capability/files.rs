//! `capstan:host/files`: files by absolute path, as far as granted.
//!
//! The grant is asked for the path as it was passed, and again for what it turns out to be once links are
//! followed. The kernel has the last word: the worker is confined to the document's grants itself.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use capstan_policy::FileAccess;
use sha2::{Digest as _, Sha256};
use wasmtime::component::Resource;

use super::{Answer, io};
use crate::bindings::capstan::host::files::{Entry, Host, HostWriter, Kind, Metadata};
use crate::bindings::capstan::host::types::Error;
use crate::runtime::StepState;
use crate::shared::StepShared;
use crate::tariff;

/// A file that takes its name when it is complete.
pub struct Writer {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    mode: u32,
    hash: Sha256,
    written: u64,
    keep: bool,
    done: bool,
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.done && !self.keep {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Asks the grant for a path and for where its links lead.
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
    let Ok(real) = real else {
        return Ok(given.to_owned());
    };
    match real.to_str() {
        Some(text) if shared.component.allows_file(text, access) => Ok(real),
        Some(text) => Err(refuse(text)),
        None => Err(Error::Invalid(format!(
            "{path} leads to a name that is not UTF-8"
        ))),
    }
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
        Ok(fs::metadata(&real)
            .map_err(|error| io(&error, &path))
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
        let read = || -> std::io::Result<Vec<Entry>> {
            let mut list = Vec::new();
            for entry in fs::read_dir(&real)? {
                let entry = entry?;
                list.push(Entry {
                    name: entry.file_name().to_string_lossy().into_owned(),
                    kind: kind(entry.file_type()?),
                });
            }
            list.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(list)
        };
        Ok(read().map_err(|error| io(&error, &path)))
    }

    async fn read(&mut self, path: String, offset: u64, length: u32) -> Answer<Vec<u8>> {
        let shared = &self.shared;
        let real = match check(shared, &path, FileAccess::Read) {
            Ok(real) => real,
            Err(error) => return Ok(Err(error)),
        };
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(&real)?;
            file.seek(SeekFrom::Start(offset))?;
            let mut data = Vec::new();
            file.take(u64::from(length).min(shared.limits.host_call_bytes))
                .read_to_end(&mut data)?;
            Ok(data)
        };
        let answer = read().map_err(|error| io(&error, &path));
        shared.charge_bytes(tariff::FILE_CALL, answer.as_ref().map_or(0, Vec::len));
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
        for folder in missing.into_iter().rev() {
            let text = folder.to_string_lossy();
            let real = match check(shared, &text, FileAccess::Create) {
                Ok(real) => real,
                Err(error) => return Ok(Err(error)),
            };
            if let Err(error) = fs::create_dir(&real) {
                return Ok(Err(io(&error, &text)));
            }
        }
        Ok(Ok(()))
    }

    async fn remove(&mut self, path: String, recursive: bool) -> Answer<()> {
        let shared = &self.shared;
        shared.charge(tariff::FILE_CALL);
        if let Err(error) = check(shared, &path, FileAccess::Remove) {
            return Ok(Err(error));
        }
        // The link itself, not where it leads.
        let target = Path::new(&path);
        let remove = || -> std::io::Result<()> {
            if fs::symlink_metadata(target)?.is_dir() {
                if recursive {
                    fs::remove_dir_all(target)
                } else {
                    fs::remove_dir(target)
                }
            } else {
                fs::remove_file(target)
            }
        };
        Ok(remove().map_err(|error| io(&error, &path)))
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
            fs::set_permissions(real, fs::Permissions::from_mode(mode))
                .map_err(|error| io(&error, &path))
        }))
    }

    async fn append(&mut self, path: String, data: Vec<u8>) -> Answer<()> {
        let shared = &self.shared;
        shared.charge_bytes(tariff::FILE_CALL, data.len());
        let real = match check(shared, &path, FileAccess::Append)
            .or_else(|denied| check(shared, &path, FileAccess::Write).map_err(|_| denied))
        {
            Ok(real) => real,
            Err(error) => return Ok(Err(error)),
        };
        let append = || {
            OpenOptions::new()
                .append(true)
                .create(true)
                .open(&real)?
                .write_all(&data)
        };
        shared.record().files.insert(path.clone());
        Ok(append().map_err(|error: std::io::Error| io(&error, &path)))
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
        shared.record().files.insert(path.clone());
        match open_writer(&target, mode & 0o777, resume.as_deref()) {
            Ok(writer) => {
                let kept = writer.written;
                Ok(Ok((self.table.push(writer)?, kept)))
            }
            Err(error) => Ok(Err(io(&error, &path))),
        }
    }
}

/// The temporary file stands beside its target, so that the last step is a rename.
fn open_writer(target: &Path, mode: u32, resume: Option<&str>) -> std::io::Result<Writer> {
    let name = target
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let key = resume.map_or_else(
        || std::process::id().to_string(),
        |key| crate::component::digest(key.as_bytes())[..16].to_owned(),
    );
    let folder = target.parent().unwrap_or(Path::new("/"));
    let temporary = folder.join(format!(
        ".{}.{key}.part",
        name.chars().take(100).collect::<String>()
    ));
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(resume.is_none())
        .mode(0o600)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(&temporary)?;
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
        temporary,
        target: target.to_owned(),
        mode,
        hash,
        written,
        keep: resume.is_some(),
        done: false,
    })
}

impl HostWriter for StepState {
    async fn write(&mut self, this: Resource<Writer>, data: Vec<u8>) -> Answer<()> {
        self.shared.charge_bytes(tariff::FILE_CALL, data.len());
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
            Err(error) => Err(io(&error, &writer.target.display().to_string())),
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
                "the file is already in its place".into(),
            )));
        }
        let commit = || -> std::io::Result<()> {
            writer
                .file
                .set_permissions(fs::Permissions::from_mode(writer.mode))?;
            fs::rename(&writer.temporary, &writer.target)
        };
        let answer = commit();
        writer.done = answer.is_ok();
        Ok(answer.map_err(|error| io(&error, &writer.target.display().to_string())))
    }

    async fn drop(&mut self, this: Resource<Writer>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
