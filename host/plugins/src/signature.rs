//! Signatures in the format of minisign: ed25519 over the file, with a comment that is signed too.
//!
//! One line is the whole public key, and one small file the signature: no certificates, no log and no clock, so that
//! a machine without a network can check them, also with `minisign -V`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blake2::{Blake2b512, Digest as _};
use capstan_runtime::ComponentInfo;
use minisign_verify::PublicKey as VerifyingKey;

use crate::error::PluginError;
use crate::secret_key::{NUMBER, SecretKey, takes_password};

/// What is added to a component's file name for its signature.
pub const SIGNATURE_SUFFIX: &str = ".minisig";

/// A new pair of keys, as the files that hold them.
#[derive(Debug)]
pub struct NewKeys {
    /// For its owner alone.
    pub secret_file: String,
    /// For everybody.
    pub public_file: String,
    /// The line of it that a policy holds.
    pub public_line: String,
    /// By which people tell keys apart.
    pub id: String,
}

/// Somebody's public key.
#[derive(Clone)]
pub struct PublicKey {
    key: VerifyingKey,
    id: String,
}

/// A detached signature.
#[derive(Clone)]
pub struct Signature {
    text: String,
    signature: minisign_verify::Signature,
    key_id: String,
}

/// The id of the key in the line of a public key or a signature, as minisign shows it.
fn key_id(line: &str) -> Option<String> {
    use std::fmt::Write as _;
    let bytes = STANDARD.decode(line).ok()?;
    let number = bytes.get(2..2 + NUMBER)?.iter().rev();
    Some(number.fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    }))
}

/// Makes a pair of keys; with a password, the secret one is encrypted with it, which takes some seconds and 1 GiB.
///
/// # Errors
/// When the system has no random numbers.
pub fn generate(password: Option<&str>) -> Result<NewKeys, PluginError> {
    let key = SecretKey::generate()?;
    let public_line = key.public_line();
    let id = key_id(&public_line).unwrap_or_default();
    Ok(NewKeys {
        secret_file: format!(
            "untrusted comment: secret key of a publisher of Capstan plugins\n{}\n",
            key.line(password)?
        ),
        public_file: format!("untrusted comment: minisign public key {id}\n{public_line}\n"),
        public_line,
        id,
    })
}

/// A secret key as its file holds it.
#[derive(Debug)]
pub struct SecretKeyFile(String);

impl SecretKeyFile {
    /// With the text of the file.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    fn line(&self) -> &str {
        self.0.lines().nth(1).unwrap_or_default().trim()
    }

    /// Whether a password is needed.
    ///
    /// # Errors
    /// When it is no secret key.
    pub fn is_encrypted(&self) -> Result<bool, PluginError> {
        takes_password(self.line())
    }

    /// Signs data, and a comment of one line.
    ///
    /// # Errors
    /// When the key cannot be opened.
    pub fn sign(
        &self,
        data: &[u8],
        comment: &str,
        password: Option<&str>,
    ) -> Result<String, PluginError> {
        let key = SecretKey::parse(self.line(), password)?;
        let signature = key.sign(&Blake2b512::digest(data))?;
        let both = key.sign(&[&signature, comment.as_bytes()].concat())?;
        Ok(format!(
            "untrusted comment: signature of a Capstan plugin\n{}\ntrusted comment: {comment}\n{}\n",
            STANDARD.encode([b"ED", &key.number[..], &signature].concat()),
            STANDARD.encode(both),
        ))
    }
}

/// Signs a component, with its name, version and digest in the comment that is signed too. Returns the signature's
/// file.
///
/// # Errors
/// When the key cannot be opened.
pub fn sign(
    wasm: &[u8],
    info: &ComponentInfo,
    key: &SecretKeyFile,
    password: Option<&str>,
) -> Result<String, PluginError> {
    let name = info.manifest.names().next().unwrap_or_default();
    let comment = format!(
        "capstan {name} {} sha256:{}",
        info.manifest.version, info.digest
    );
    let comment: String = comment.chars().filter(|c| !c.is_control()).collect();
    key.sign(wasm, &comment, password)
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({})", self.id)
    }
}

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signature({})", self.text)
    }
}

impl PublicKey {
    /// From the line of a policy, or the whole of a `.pub` file.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, PluginError> {
        let line = text
            .lines()
            .map(str::trim)
            .rfind(|line| !line.is_empty())
            .unwrap_or_default();
        let no_key = || {
            PluginError::Invalid(format!(
                "`{line}` is no public key of minisign, which is one line that begins with RW"
            ))
        };
        let key = VerifyingKey::from_base64(line).map_err(|_| no_key())?;
        let id = key_id(line).ok_or_else(no_key)?;
        Ok(Self { key, id })
    }

    /// By which people tell keys apart. It says nothing of who holds the key: anybody can make one with this id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Signature {
    /// From the text of its file.
    ///
    /// # Errors
    /// When it is no signature.
    pub fn parse(text: &str) -> Result<Self, PluginError> {
        let malformed =
            || PluginError::Refused("the signature is malformed; it is none of minisign's".into());
        let signature = minisign_verify::Signature::decode(text).map_err(|_| malformed())?;
        let line = text.lines().nth(1).unwrap_or_default();
        Ok(Self {
            text: text.to_owned(),
            signature,
            key_id: key_id(line).ok_or_else(malformed)?,
        })
    }

    /// The text of its file.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The id of the key that it claims to be made with.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// What its maker said of the file; to be believed once it is verified.
    #[must_use]
    pub fn comment(&self) -> &str {
        self.signature.trusted_comment()
    }

    /// Checks that the holder of a key signed just this.
    ///
    /// # Errors
    /// When it is another key's, or of another file.
    pub fn verify(&self, wasm: &[u8], key: &PublicKey) -> Result<(), PluginError> {
        use minisign_verify::Error;
        key.key
            .verify(wasm, &self.signature, false)
            .map_err(|error| {
                PluginError::Refused(match error {
                    Error::UnexpectedKeyId => format!(
                        "it is signed with the key {}, and not with {}",
                        self.key_id, key.id
                    ),
                    Error::InvalidSignature => format!(
                        "the signature does not fit: the file is not what was signed, or somebody else used the id of the key {}",
                        key.id
                    ),
                    error => format!("the signature cannot be checked: {error}"),
                })
            })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{NewKeys, PublicKey, SecretKeyFile, Signature, generate};

    fn signed(keys: &NewKeys, data: &[u8]) -> Signature {
        let key = SecretKeyFile::new(keys.secret_file.clone());
        Signature::parse(&key.sign(data, "comment", None).unwrap()).unwrap()
    }

    #[test]
    fn a_signature_is_of_one_file_and_one_key() {
        let (keys, others) = (generate(None).unwrap(), generate(None).unwrap());
        let signature = signed(&keys, b"data");
        for text in [&keys.public_line, &keys.public_file] {
            let key = PublicKey::parse(text).unwrap();
            assert_eq!((key.id(), signature.key_id()), (&*keys.id, &*keys.id));
            signature.verify(b"data", &key).unwrap();
            let error = signature.verify(b"date", &key).unwrap_err().to_string();
            assert!(error.contains("does not fit"), "{error}");
        }
        let other = PublicKey::parse(&others.public_line).unwrap();
        let error = signature.verify(b"data", &other).unwrap_err().to_string();
        assert!(error.contains("signed with the key"), "{error}");
        let forged = signature
            .text()
            .replace("comment: comment", "comment: comments");
        let key = PublicKey::parse(&keys.public_line).unwrap();
        Signature::parse(&forged)
            .unwrap()
            .verify(b"data", &key)
            .unwrap_err();
    }

    #[test]
    fn what_is_no_key_and_no_signature_is_told() {
        for text in ["", "RWx", "untrusted comment: x\n"] {
            PublicKey::parse(text).unwrap_err();
            Signature::parse(text).unwrap_err();
            SecretKeyFile::new(text.into()).is_encrypted().unwrap_err();
        }
        let keys = generate(None).unwrap();
        PublicKey::parse(&keys.secret_file).unwrap_err();
        assert!(!SecretKeyFile::new(keys.secret_file).is_encrypted().unwrap());
    }
}
