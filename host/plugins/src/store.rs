//! The plugins of a node: their files, and the lock that says which they are.
//!
//! The lock is what is believed. A component's file is used as long as it has the digest that stands there.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use capstan_policy::CapabilityRequests;
use capstan_runtime::digest;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::error::PluginError;
use crate::signature::SIGNATURE_SUFFIX;

/// The version of the lock's format.
const VERSION: u32 = 1;

/// An installed plugin, as the lock has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Installed {
    /// What it goes by: the first of its names.
    pub name: String,
    /// The actions that it serves.
    pub actions: Vec<String>,
    /// The inventory collectors that it serves.
    #[serde(default)]
    pub collectors: Vec<String>,
    /// Its semantic version.
    pub version: String,
    /// One sentence for people.
    pub description: String,
    /// SHA-256 of the component, lower-case hexadecimal.
    pub digest: String,
    /// In bytes.
    pub size: usize,
    /// Where it came from.
    pub source: Source,
    /// The key that it is signed with.
    #[serde(default)]
    pub signature: Option<SignedBy>,
    /// What was approved.
    pub capabilities: CapabilityRequests,
    /// When, in UTC.
    pub installed_at: jiff::Timestamp,
}

/// Where a plugin came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// A file of this machine.
    File(PathBuf),
    /// A registry.
    Registry {
        /// `oci://…`, as it was asked for.
        reference: String,
        /// The digest of the manifest, `sha256:…`.
        manifest: String,
    },
}

/// The key of a signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignedBy {
    /// The key's id.
    pub key_id: String,
    /// The publisher that the policy had for it at the time.
    #[serde(default)]
    pub publisher: Option<String>,
    /// Whether the signature was verified at the time.
    pub verified: bool,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            // A reference by digest says it already.
            Self::Registry {
                reference,
                manifest,
            } if reference.ends_with(manifest.as_str()) => write!(f, "{reference}"),
            Self::Registry {
                reference,
                manifest,
            } => write!(f, "{reference} ({manifest})"),
        }
    }
}

impl Installed {
    /// Every name that a step can use.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.actions
            .iter()
            .chain(&self.collectors)
            .map(String::as_str)
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lock {
    version: u32,
    plugins: Vec<Installed>,
}

/// The folder of plugins.
#[derive(Debug, Clone)]
pub struct PluginStore {
    folder: PathBuf,
}

/// The right to change what is installed; others wait for it.
#[derive(Debug)]
pub struct StoreLock<'a> {
    store: &'a PluginStore,
    _file: File,
}

/// An installed component that can be read, also when it is removed meanwhile.
#[derive(Debug)]
pub struct OpenComponent {
    file: Result<File, io::Error>,
    path: PathBuf,
    digest: String,
    /// The text of its signature.
    pub signature: Option<String>,
}

impl PluginStore {
    /// With its folder, which need not be there yet.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn lock_file(&self) -> PathBuf {
        self.folder.join("lock.json")
    }

    /// Where a component is kept, its signature beside it.
    #[must_use]
    pub fn component(&self, digest: &str) -> PathBuf {
        self.folder
            .join("components")
            .join(format!("{digest}.wasm"))
    }

    fn signature(&self, digest: &str) -> PathBuf {
        let mut path = self.component(digest).into_os_string();
        path.push(SIGNATURE_SUFFIX);
        path.into()
    }

    /// What is installed, by name.
    ///
    /// # Errors
    /// When the lock cannot be read.
    pub fn installed(&self) -> Result<Vec<Installed>, PluginError> {
        let path = self.lock_file();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(PluginError::io(&path)(error)),
        };
        let damaged = |why: &dyn std::fmt::Display| {
            PluginError::Invalid(format!(
                "{}: the lock of the plugins cannot be read: {why}; remove it and install them again",
                path.display()
            ))
        };
        let lock: Lock = serde_json::from_str(&text).map_err(|error| damaged(&error))?;
        if lock.version != VERSION {
            return Err(damaged(&format!(
                "it has version {}, and this program knows {VERSION}",
                lock.version
            )));
        }
        Ok(lock.plugins)
    }

    /// Opens an installed component.
    #[must_use]
    pub fn open(&self, plugin: &Installed) -> OpenComponent {
        let path = self.component(&plugin.digest);
        OpenComponent {
            file: File::open(&path),
            path,
            digest: plugin.digest.clone(),
            signature: plugin
                .signature
                .as_ref()
                .and_then(|_| fs::read_to_string(self.signature(&plugin.digest)).ok()),
        }
    }

    /// Waits for the right to change what is installed; `waits` is called when another process has it.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn lock(&self, waits: impl FnOnce()) -> Result<StoreLock<'_>, PluginError> {
        let components = self.folder.join("components");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&components)
            .map_err(PluginError::io(&components))?;
        let path = self.folder.join(".lock");
        let failed = |error: rustix::io::Errno| PluginError::io(&path)(error.into());
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(PluginError::io(&path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                waits();
                flock(&file, FlockOperation::LockExclusive).map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
        }
        Ok(StoreLock {
            store: self,
            _file: file,
        })
    }
}

impl OpenComponent {
    /// Reads it.
    ///
    /// # Errors
    /// When it is gone, or is not what was installed.
    pub fn read(&self) -> Result<Vec<u8>, PluginError> {
        let path = &self.path;
        let mut wasm = Vec::new();
        let read = match &self.file {
            // The handle is shared: where another reader of it stands is none of our business.
            Ok(file) => read_from_start(file, &mut wasm),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        read.map_err(PluginError::io(path))?;
        let found = digest(&wasm);
        if found != self.digest {
            return Err(PluginError::Refused(format!(
                "{}: this is not what was installed: its digest is {found}, and the lock has {}; install the plugin again",
                path.display(),
                self.digest
            )));
        }
        Ok(wasm)
    }
}

fn read_from_start(file: &File, into: &mut Vec<u8>) -> io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    let size = usize::try_from(file.metadata()?.len()).unwrap_or_default();
    into.resize(size, 0);
    file.read_exact_at(into, 0)
}

impl StoreLock<'_> {
    /// What is installed.
    ///
    /// # Errors
    /// When the lock file cannot be read.
    pub fn installed(&self) -> Result<Vec<Installed>, PluginError> {
        self.store.installed()
    }

    /// Whether the component of a plugin is there and whole.
    #[must_use]
    pub fn has(&self, plugin: &Installed) -> bool {
        self.store.open(plugin).read().is_ok()
    }

    /// Keeps a plugin, in the place of the one of its name.
    ///
    /// # Errors
    /// When it cannot be written; then everything is as it was.
    pub fn put(
        &self,
        plugin: Installed,
        wasm: &[u8],
        signature: Option<&str>,
    ) -> Result<(), PluginError> {
        replace(&self.store.component(&plugin.digest), wasm)?;
        if let Some(signature) = signature {
            replace(&self.store.signature(&plugin.digest), signature.as_bytes())?;
        }
        let mut plugins = self.installed()?;
        plugins.retain(|other| other.name != plugin.name);
        plugins.push(plugin);
        plugins.sort_by(|one, other| one.name.cmp(&other.name));
        self.write(plugins)
    }

    /// Removes the plugin that serves a name.
    ///
    /// # Errors
    /// When there is none, or the lock cannot be written.
    pub fn remove(&self, name: &str) -> Result<Installed, PluginError> {
        let mut plugins = self.installed()?;
        let found = plugins
            .iter()
            .position(|plugin| plugin.names().any(|one| one == name));
        let Some(index) = found else {
            return Err(PluginError::Invalid(format!(
                "no installed plugin serves {name}; `capstan plugin list` shows those there are"
            )));
        };
        let removed = plugins.remove(index);
        self.write(plugins)?;
        Ok(removed)
    }

    fn write(&self, plugins: Vec<Installed>) -> Result<(), PluginError> {
        let path = self.store.lock_file();
        let lock = Lock {
            version: VERSION,
            plugins,
        };
        let mut text = serde_json::to_vec_pretty(&lock)
            .map_err(|error| PluginError::io(&path)(error.into()))?;
        text.push(b'\n');
        replace(&path, &text)?;
        self.tidy(&lock.plugins);
        Ok(())
    }

    /// Removes the files of what is not installed any more. Those that stay behind do no harm.
    fn tidy(&self, plugins: &[Installed]) {
        let kept: BTreeSet<&str> = plugins.iter().map(|plugin| &*plugin.digest).collect();
        let unsigned = |digest: &str| {
            plugins
                .iter()
                .any(|plugin| plugin.digest == digest && plugin.signature.is_none())
        };
        let components = self.store.folder.join("components");
        for entry in fs::read_dir(components).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let digest = name.split('.').next().unwrap_or_default();
            let stale = name.ends_with(SIGNATURE_SUFFIX) && unsigned(digest);
            if !kept.contains(digest) || stale {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Writes a file whole or not at all.
fn replace(path: &Path, content: &[u8]) -> Result<(), PluginError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        // The name is on the disk when the folder is.
        path.parent()
            .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&temporary);
        PluginError::io(path)(error)
    })
}

/// Reads a file of no more than so many bytes.
pub(crate) fn read_bounded(path: &Path, most: u64) -> Result<Vec<u8>, PluginError> {
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| file.take(most + 1).read_to_end(&mut content))
        .map_err(PluginError::io(path))?;
    if content.len() as u64 > most {
        return Err(PluginError::Invalid(format!(
            "{}: it has more than {} MiB, which is the most that a plugin may have",
            path.display(),
            most >> 20
        )));
    }
    Ok(content)
}
