//! Installing: what is looked at before, and what somebody has to approve of.

use capstan_policy::Policy;
use capstan_runtime::{ComponentInfo, check_acceptable, inspect};
use semver::Version;

use crate::error::PluginError;
use crate::folder::Fetched;
use crate::requests::{Change, Request, changes, requests};
use crate::signature::PublicKey;
use crate::store::{Installed, SignedBy, StoreLock};
use crate::trust::{Publisher, publisher};

/// What an operator allows beyond the usual.
#[derive(Debug, Default)]
pub struct Options {
    /// A lower version in the place of a higher one.
    pub allow_downgrade: bool,
    /// Another component in the place of one of the same version.
    pub replace: bool,
    /// The key that it has to be signed with, whatever the policy says.
    pub key: Option<PublicKey>,
}

/// A plugin that may be installed once somebody approves of it.
#[derive(Debug)]
pub struct Installation {
    /// Its component.
    pub wasm: Vec<u8>,
    /// What it says of itself.
    pub info: ComponentInfo,
    /// Whose it is.
    pub publisher: Publisher,
    /// What is there of it.
    pub standing: Standing,
    fetched: Fetched,
}

/// What is there of a plugin.
#[derive(Debug)]
pub enum Standing {
    /// Nothing.
    New,
    /// Just the same.
    Present(Box<Installed>),
    /// Another version.
    Update {
        /// The one that is there.
        from: Box<Installed>,
        /// How its requests differ from what was approved.
        changes: Vec<Change>,
        /// Another key signed it, or none.
        signer_changed: bool,
    },
}

impl Installation {
    /// Looks at a component that is to be installed. `taken` tells who serves a name that is no plugin's.
    ///
    /// # Errors
    /// Everything that keeps it from being installed.
    pub fn prepare(
        mut fetched: Fetched,
        lock: &StoreLock<'_>,
        policy: &Policy,
        taken: impl Fn(&str) -> Option<String>,
        options: &Options,
    ) -> Result<Self, PluginError> {
        let source = fetched.source.to_string();
        let refused = |why: String| PluginError::Refused(format!("{source}: {why}"));
        let wasm = std::mem::take(&mut fetched.wasm);
        let info = inspect(&wasm).map_err(|error| PluginError::Component {
            what: source.clone(),
            error,
        })?;
        check_manifest(&info).map_err(refused)?;
        let publisher =
            whose(&info, &wasm, &fetched, policy, options).map_err(|error| match error {
                PluginError::Refused(why) => refused(why),
                other => other,
            })?;
        for name in info.manifest.names() {
            if let Some(other) = taken(name) {
                return Err(refused(format!("the name {name} is taken by {other}")));
            }
        }
        let standing = standing(&info, &publisher, lock, options, &refused)?;
        Ok(Self {
            wasm,
            info,
            publisher,
            standing,
            fetched,
        })
    }

    /// What it goes by.
    #[must_use]
    pub fn name(&self) -> &str {
        name(&self.info)
    }

    /// Where it came from.
    #[must_use]
    pub fn source(&self) -> &crate::store::Source {
        &self.fetched.source
    }

    /// What it asks for.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        requests(&self.info.manifest.capabilities)
    }

    /// Whether somebody has to approve of it: what is new, or asks for something else than what was approved.
    #[must_use]
    pub fn needs_approval(&self) -> bool {
        match &self.standing {
            Standing::New => true,
            Standing::Present(_) => false,
            Standing::Update {
                changes,
                signer_changed,
                ..
            } => !changes.is_empty() || *signer_changed,
        }
    }

    /// Installs it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn commit(
        &self,
        lock: &StoreLock<'_>,
        now: jiff::Timestamp,
    ) -> Result<Installed, PluginError> {
        let manifest = &self.info.manifest;
        let installed = Installed {
            name: self.name().to_owned(),
            actions: manifest.actions.clone(),
            collectors: manifest.collectors.clone(),
            version: manifest.version.clone(),
            description: manifest.description.clone(),
            digest: self.info.digest.clone(),
            size: self.info.size,
            source: self.fetched.source.clone(),
            signature: self.publisher.key_id.clone().map(|key_id| SignedBy {
                key_id,
                publisher: self.publisher.name.clone(),
                verified: self.publisher.verified,
            }),
            capabilities: manifest.capabilities.clone(),
            installed_at: now,
        };
        let signature = self.fetched.signature.as_ref().map(|one| one.text());
        lock.put(installed.clone(), &self.wasm, signature)?;
        Ok(installed)
    }
}

fn name(info: &ComponentInfo) -> &str {
    info.manifest.names().next().unwrap_or_default()
}

fn check_manifest(info: &ComponentInfo) -> Result<(), String> {
    check_acceptable(info).map_err(|error| error.to_string())?;
    for name in info.manifest.names() {
        // No letter that looks like another one.
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_graphic()) {
            return Err(format!(
                "{name:?} is no name of an action; names are of ASCII letters, like acme:rotateLogs"
            ));
        }
    }
    version(&info.manifest.version)?;
    Ok(())
}

/// A semantic version; `1` and `1.2` are short for `1.0.0` and `1.2.0`.
fn version(text: &str) -> Result<Version, String> {
    let missing = 2_usize.saturating_sub(text.matches('.').count());
    let plain = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    let whole = match plain {
        true => format!("{text}{}", ".0".repeat(missing)),
        false => text.to_owned(),
    };
    Version::parse(&whole)
        .map_err(|error| format!("its version {text:?} is no semantic version: {error}"))
}

fn whose(
    info: &ComponentInfo,
    wasm: &[u8],
    fetched: &Fetched,
    policy: &Policy,
    options: &Options,
) -> Result<Publisher, PluginError> {
    let signature = fetched.signature.as_ref();
    let mut found = publisher(policy, info.manifest.names(), wasm, signature)?;
    if let Some(key) = &options.key {
        let Some(signature) = signature else {
            return Err(PluginError::Refused(format!(
                "it is not signed, and a signature with the key {} is asked for",
                key.id()
            )));
        };
        signature.verify(wasm, key)?;
        found.verified = true;
    }
    Ok(found)
}

fn standing(
    info: &ComponentInfo,
    publisher: &Publisher,
    lock: &StoreLock<'_>,
    options: &Options,
    refused: &dyn Fn(String) -> PluginError,
) -> Result<Standing, PluginError> {
    let installed = lock.installed()?;
    let mut same = None;
    for other in installed {
        if other.name == name(info) {
            same = Some(other);
            continue;
        }
        let shared = info
            .manifest
            .names()
            .find(|name| other.names().any(|one| one == *name));
        if let Some(shared) = shared {
            return Err(refused(format!(
                "the name {shared} is taken by the plugin {} {}; `capstan plugin remove {}` makes room for it",
                other.name, other.version, other.name
            )));
        }
    }
    let Some(from) = same else {
        return Ok(Standing::New);
    };
    let key_of_installed = from.signature.as_ref().map(|one| &one.key_id);
    let signer_changed = key_of_installed != publisher.key_id.as_ref();
    if from.digest == info.digest && !signer_changed && lock.has(&from) {
        return Ok(Standing::Present(Box::new(from)));
    }
    let (old, new) = (&from.version, &info.manifest.version);
    let parsed = |text: &str| version(text).map_err(refused);
    match parsed(new)?.cmp_precedence(&parsed(old)?) {
        std::cmp::Ordering::Less if !options.allow_downgrade => {
            return Err(refused(format!(
                "{} {old} is installed, and this is the lower version {new}, which may lack what was repaired since; --allow-downgrade installs it all the same",
                from.name
            )));
        }
        std::cmp::Ordering::Equal if from.digest != info.digest && !options.replace => {
            return Err(refused(format!(
                "{} {old} is installed with the digest sha256:{}, and this is another component of the same version (sha256:{}); publishers raise the version with every change, so it may have been tampered with; --replace installs it all the same",
                from.name, from.digest, info.digest
            )));
        }
        _ => {}
    }
    let changes = changes(&from.capabilities, &info.manifest.capabilities);
    Ok(Standing::Update {
        from: Box::new(from),
        changes,
        signer_changed,
    })
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_are_semantic_and_may_be_short() {
        for (lower, higher) in [
            ("1", "1.0.1"),
            ("1.2", "1.10"),
            ("1.0.0-rc.1", "1.0.0"),
            ("0.9.0", "1"),
        ] {
            assert!(version(lower) < version(higher), "{lower} {higher}");
        }
        for bad in ["", "x", "1.2.3.4", "v1.0.0"] {
            assert!(version(bad).is_err(), "{bad}");
        }
    }
}
