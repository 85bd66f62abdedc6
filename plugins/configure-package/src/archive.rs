//! Unpacking a package's archive.

use std::io::{self, Read, Seek, SeekFrom};

use capstan_sdk::{Failure, describe, files};
use zip::ZipArchive;

/// A file of the host, read piece by piece.
struct HostFile<'a> {
    path: &'a str,
    size: u64,
    at: u64,
}

impl Read for HostFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX).min(1 << 20);
        let data = files::read(self.path, self.at, length)
            .map_err(|error| io::Error::other(describe(&error)))?;
        buffer[..data.len()].copy_from_slice(&data);
        self.at += data.len() as u64;
        Ok(data.len())
    }
}

impl Seek for HostFile<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::other("before the beginning of the file"))?;
        Ok(self.at)
    }
}

/// Unpacks into a folder that is made new. Links, and names that lead out of the folder, are refused.
pub(crate) fn unpack(archive: &str, folder: &str) -> Result<(), Failure> {
    let bad = |error: &dyn std::fmt::Display| {
        Failure::failed(format!("the archive {archive} cannot be unpacked: {error}"))
    };
    if files::stat(folder).is_ok() {
        files::remove(folder, true)?;
    }
    files::create_directory(folder)?;
    let file = HostFile {
        path: archive,
        size: files::stat(archive)?.size,
        at: 0,
    };
    let mut zip = ZipArchive::new(io::BufReader::with_capacity(256 << 10, file))
        .map_err(|error| bad(&error))?;
    for index in 0..zip.len() {
        let mut entry = zip.by_index(index).map_err(|error| bad(&error))?;
        let name = entry
            .enclosed_name()
            .and_then(|name| name.to_str().map(str::to_owned))
            .ok_or_else(|| bad(&format!("the name of entry {index} leads out of it")))?;
        if entry.is_symlink() {
            return Err(bad(&format!("`{name}` is a link")));
        }
        let path = format!("{folder}/{name}");
        let path = path.trim_end_matches('/');
        if entry.is_dir() {
            files::create_directory(path)?;
            continue;
        }
        if let Some((parent, _)) = path.rsplit_once('/') {
            files::create_directory(parent)?;
        }
        let mode = entry.unix_mode().unwrap_or(0o644) & 0o777 | 0o400;
        let (writer, _) = files::create(path, mode, None)?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            let count = entry.read(&mut buffer).map_err(|error| bad(&error))?;
            if count == 0 {
                break;
            }
            writer.write(&buffer[..count])?;
        }
        writer.commit()?;
    }
    Ok(())
}
