//! Files that appear whole: written under another name, and renamed at the end.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, Gid, Uid, fchown, renameat, unlinkat};
use sha2::{Digest as _, Sha256};
use wasmtime::component::Resource;

use super::place::Place;
use super::temporary::Temporary;
use crate::bindings::capstan::host::files::HostWriter;
use crate::bindings::capstan::host::types::Error;
use crate::capability::{Answer, io as io_error};
use crate::runtime::StepState;
use crate::tariff;

/// A file that takes its name when it is complete.
pub struct Writer {
    file: File,
    place: Place,
    /// As the component names it.
    path: String,
    temporary: OsString,
    mode: u32,
    hash: Sha256,
    pub(super) written: u64,
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

/// The temporary file stands beside its target, so that the last step is a rename.
pub(super) fn open_writer(
    path: &str,
    target: &Path,
    mode: u32,
    resume: Option<&str>,
) -> io::Result<Writer> {
    let place = Place::of(target)?;
    let Temporary {
        mut file,
        name: temporary,
        keep,
    } = Temporary::open(&place, resume)?;
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
        path: path.to_owned(),
        temporary,
        mode,
        hash,
        written,
        keep,
        done: false,
    })
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
            Err(error) => Err(io_error(&error, &writer.path)),
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
        Ok(answer.map_err(|error| io_error(&error, &writer.path)))
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
