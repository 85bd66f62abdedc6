//! The master key, and what is derived from it.
//!
//! Everything that is secret at rest (access keys, SecureString parameters) is sealed with AES-256-GCM under a key that
//! HMAC-SHA256 derives from the master key for that purpose (NIST SP 800-108 calls it a pseudorandom function). All servers of one database need the same master key.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::auth::hex;
use crate::error::ServerError;

/// Bytes of a master key.
const LENGTH: usize = 32;

/// The key that all others are derived from.
pub struct MasterKey {
    bytes: [u8; LENGTH],
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

/// The system has no random numbers: nothing secret can be made.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandom;

impl MasterKey {
    /// Of 32 bytes in base64, as a file, a variable or a key service gives it.
    ///
    /// # Errors
    /// When it is anything else; `origin` names it in the message.
    pub fn parse(text: &str, origin: &str) -> Result<Self, ServerError> {
        let bytes = BASE64_STANDARD
            .decode(text.trim())
            .ok()
            .and_then(|bytes| <[u8; LENGTH]>::try_from(bytes).ok())
            .ok_or_else(|| {
                ServerError::Configuration(format!(
                    "the master key in {origin} is not {LENGTH} bytes in base64; \
                     `head -c {LENGTH} /dev/urandom | base64` makes one"
                ))
            })?;
        Ok(Self { bytes })
    }

    /// Of a file; it is made, for its owner alone, if there is none.
    ///
    /// # Errors
    /// When the file cannot be read or made, others may read it, or it holds no key.
    pub fn of_file(path: &Path) -> Result<Self, ServerError> {
        let origin = path.display().to_string();
        let made = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        match made {
            Ok(mut file) => {
                let key = Self::random()
                    .map_err(|error| ServerError::Configuration(error.to_string()))?;
                writeln!(file, "{}", BASE64_STANDARD.encode(key.bytes))
                    .and_then(|()| file.sync_all())
                    .map_err(ServerError::io(format!("writing the master key {origin}")))?;
                Ok(key)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let mode = fs::metadata(path)
                    .map_err(ServerError::io(format!("the master key {origin}")))?
                    .permissions()
                    .mode();
                if mode & 0o077 != 0 {
                    return Err(ServerError::Configuration(format!(
                        "others may read the master key {origin}; `chmod 600 {origin}` mends that"
                    )));
                }
                let text = fs::read_to_string(path)
                    .map_err(ServerError::io(format!("the master key {origin}")))?;
                Self::parse(&text, &origin)
            }
            Err(error) => Err(ServerError::io(format!("the master key {origin}"))(error)),
        }
    }

    /// Of its bytes, as a key service opened them.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Result<Self, ServerError> {
        let bytes = bytes.try_into().map_err(|_| {
            ServerError::Configuration(format!(
                "the key service gives {} bytes in the place of the {LENGTH} of the master key",
                bytes.len()
            ))
        })?;
        Ok(Self { bytes })
    }

    /// For a key service to seal.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// By which a key is recognised, and which tells nothing else of it.
    pub(crate) fn fingerprint(&self) -> String {
        hex(&self.derive("fingerprint")[..8])
    }

    /// A new one.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn random() -> Result<Self, NoRandom> {
        Ok(Self { bytes: random()? })
    }

    /// A key for one purpose.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> [u8; LENGTH] {
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, &self.bytes),
            purpose.as_bytes(),
        );
        let mut key = [0; LENGTH];
        key.copy_from_slice(tag.as_ref());
        key
    }

    /// A box for one purpose.
    #[must_use]
    pub fn sealer(&self, purpose: &str) -> Sealer {
        Sealer::new(self.derive(purpose))
    }
}

/// Random bytes of the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], NoRandom> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandom)?;
    Ok(bytes)
}

/// Seals and opens secrets under one key.
pub struct Sealer {
    key: [u8; LENGTH],
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer(…)")
    }
}

/// What was sealed cannot be opened: it was changed, belongs elsewhere, or was sealed under another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed value cannot be opened: it was changed, or sealed under another master key")]
pub struct CannotOpen;

impl Sealer {
    /// With this key.
    #[must_use]
    pub fn new(key: [u8; LENGTH]) -> Self {
        Self { key }
    }

    fn cipher(&self) -> Result<LessSafeKey, CannotOpen> {
        UnboundKey::new(&AES_256_GCM, &self.key)
            .map(LessSafeKey::new)
            .map_err(|_| CannotOpen)
    }

    /// Nonce, ciphertext and tag. It opens under the same `context` alone, so that one record's secret cannot stand in
    /// for another's.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Result<Vec<u8>, NoRandom> {
        let nonce: [u8; NONCE_LEN] = random()?;
        let mut sealed = nonce.to_vec();
        let mut body = plain.to_vec();
        self.cipher()
            .map_err(|_| NoRandom)?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context.as_bytes()),
                &mut body,
            )
            .map_err(|_| NoRandom)?;
        sealed.append(&mut body);
        Ok(sealed)
    }

    /// What was sealed under this context.
    ///
    /// # Errors
    /// When it was not.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>, CannotOpen> {
        let (nonce, body) = sealed.split_at_checked(NONCE_LEN).ok_or(CannotOpen)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| CannotOpen)?;
        let mut body = body.to_vec();
        let length = self
            .cipher()?
            .open_in_place(nonce, Aad::from(context.as_bytes()), &mut body)
            .map_err(|_| CannotOpen)?
            .len();
        body.truncate(length);
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{CannotOpen, MasterKey};

    #[test]
    fn what_is_sealed_opens_in_its_place_alone() {
        let key =
            MasterKey::parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "a test").unwrap();
        let sealer = key.sealer("parameters");
        let mut sealed = sealer.seal("/db/password", b"hunter2").unwrap();
        assert_eq!(sealer.open("/db/password", &sealed).unwrap(), b"hunter2");
        assert_eq!(sealer.open("/db/other", &sealed), Err(CannotOpen));
        assert_eq!(
            key.sealer("access keys").open("/db/password", &sealed),
            Err(CannotOpen)
        );
        let last = sealed.len() - 1;
        sealed[last] ^= 1;
        assert_eq!(sealer.open("/db/password", &sealed), Err(CannotOpen));
        assert_eq!(sealer.open("/db/password", b"short"), Err(CannotOpen));
        assert_ne!(
            sealer.seal("a", b"b").unwrap(),
            sealer.seal("a", b"b").unwrap()
        );
    }

    #[test]
    fn what_is_no_key_is_told() {
        let error = MasterKey::parse("hello", "the file master.key")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("the file master.key") && error.contains("32 bytes"),
            "{error}"
        );
    }
}
