//! Secret keys in the files of minisign.
//!
//! The crate that writes these files would have the engine's compiler built with other features, so the layout is
//! here; the algorithms are not. It is that of minisign 0.8 and later: two letters for each algorithm, the parameters
//! of scrypt, and then what the password is mixed into: the key's number, the key and a checksum of both.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest as _};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use crate::error::PluginError;

const ED25519: [u8; 2] = *b"Ed";
const SCRYPT: [u8; 2] = *b"Sc";
const NO_PASSWORD: [u8; 2] = [0, 0];
const BLAKE2: [u8; 2] = *b"B2";

/// Of the key's number, by which signatures name it.
pub(crate) const NUMBER: usize = 8;
/// Number, seed and public key, checksum.
const SECRET: usize = NUMBER + 64 + 32;
/// Algorithms, salt, two limits.
const HEAD: usize = 6 + 32 + 8 + 8;

/// What minisign derives keys with: 2^20 blocks, which are 1 GiB.
const OPERATIONS: u64 = 1 << 25;
const MEMORY: u64 = 1 << 30;
/// No file makes us take more than this.
const MAX_LOG_N: u8 = 21;

/// A secret key that can sign.
pub(crate) struct SecretKey {
    pub(crate) number: [u8; NUMBER],
    seed: [u8; 32],
    public: [u8; 32],
}

fn invalid(why: impl std::fmt::Display) -> PluginError {
    PluginError::Invalid(format!("the secret key: {why}"))
}

impl SecretKey {
    pub(crate) fn generate() -> Result<Self, PluginError> {
        let mut key = Self {
            number: random()?,
            seed: random()?,
            public: [0; 32],
        };
        let pair = Ed25519KeyPair::from_seed_unchecked(&key.seed).map_err(invalid)?;
        key.public.copy_from_slice(pair.public_key().as_ref());
        Ok(key)
    }

    /// The public key as the one line that minisign has for it.
    pub(crate) fn public_line(&self) -> String {
        STANDARD.encode([&ED25519[..], &self.number, &self.public].concat())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PluginError> {
        Ok(self.pair()?.sign(message).as_ref().to_vec())
    }

    fn pair(&self) -> Result<Ed25519KeyPair, PluginError> {
        Ed25519KeyPair::from_seed_and_public_key(&self.seed, &self.public)
            .map_err(|_| invalid("it is damaged: its two halves do not fit"))
    }

    fn checksum(&self) -> [u8; 32] {
        let mut hash = Blake2b::<U32>::new();
        for part in [&ED25519[..], &self.number, &self.seed, &self.public] {
            hash.update(part);
        }
        hash.finalize().into()
    }

    /// The line of its file, encrypted if there is a password.
    pub(crate) fn line(&self, password: Option<&str>) -> Result<String, PluginError> {
        let mut secret = [&self.number[..], &self.seed, &self.public, &self.checksum()].concat();
        let mut head = ED25519.to_vec();
        let salt: [u8; 32] = match password {
            Some(_) => random()?,
            None => [0; 32],
        };
        let (kdf, operations, memory) = match password {
            Some(password) => {
                mix(&mut secret, password, &salt, (OPERATIONS, MEMORY))?;
                (SCRYPT, OPERATIONS, MEMORY)
            }
            None => (NO_PASSWORD, 0, 0),
        };
        head.extend(kdf.iter().chain(&BLAKE2).chain(&salt));
        head.extend(operations.to_le_bytes().iter().chain(&memory.to_le_bytes()));
        Ok(STANDARD.encode([head, secret].concat()))
    }

    /// Reads the line of its file.
    pub(crate) fn parse(line: &str, password: Option<&str>) -> Result<Self, PluginError> {
        let bytes = decode(line)?;
        let (head, secret) = bytes.split_at(HEAD);
        let mut secret = secret.to_vec();
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&head[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        match (is_encrypted(&bytes), password) {
            (true, Some(password)) => {
                mix(
                    &mut secret,
                    password,
                    &head[6..38],
                    (number(38), number(46)),
                )?;
            }
            (true, None) => return Err(invalid("it is encrypted, and there is no password")),
            (false, _) => {}
        }
        let mut key = Self {
            number: [0; NUMBER],
            seed: [0; 32],
            public: [0; 32],
        };
        key.number.copy_from_slice(&secret[..NUMBER]);
        key.seed.copy_from_slice(&secret[NUMBER..NUMBER + 32]);
        key.public
            .copy_from_slice(&secret[NUMBER + 32..NUMBER + 64]);
        // minisign itself leaves the checksum out where there is no password that could be wrong.
        if is_encrypted(&bytes) && key.checksum()[..] != secret[NUMBER + 64..] {
            return Err(invalid("the password is wrong"));
        }
        key.pair()?;
        Ok(key)
    }
}

/// Whether the line of a file takes a password.
pub(crate) fn takes_password(line: &str) -> Result<bool, PluginError> {
    Ok(is_encrypted(&decode(line)?))
}

fn is_encrypted(bytes: &[u8]) -> bool {
    bytes[2..4] == SCRYPT
}

fn decode(line: &str) -> Result<Vec<u8>, PluginError> {
    let bytes = STANDARD.decode(line).unwrap_or_default();
    if bytes.len() != HEAD + SECRET
        || bytes[..2] != ED25519
        || bytes[4..6] != BLAKE2
        || ![SCRYPT, NO_PASSWORD].contains(&[bytes[2], bytes[3]])
    {
        return Err(invalid(
            "this is none; it is the second line of the file that `capstan plugin keygen` or `minisign -G` makes",
        ));
    }
    Ok(bytes)
}

fn random<const N: usize>() -> Result<[u8; N], PluginError> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| invalid("the system has no random numbers"))?;
    Ok(bytes)
}

/// Mixes a password into a secret, or out of it.
fn mix(
    secret: &mut [u8],
    password: &str,
    salt: &[u8],
    (operations, memory): (u64, u64),
) -> Result<(), PluginError> {
    let (log_n, r, p) = parameters(operations, memory);
    if log_n > MAX_LOG_N || p > 16 {
        return Err(invalid(
            "its password takes more memory or time than is sensible",
        ));
    }
    let parameters = scrypt::Params::new(log_n, r, p).map_err(invalid)?;
    let mut stream = vec![0; secret.len()];
    scrypt::scrypt(password.as_bytes(), salt, &parameters, &mut stream).map_err(invalid)?;
    for (byte, other) in secret.iter_mut().zip(stream) {
        *byte ^= other;
    }
    Ok(())
}

/// The parameters of scrypt for libsodium's two limits.
fn parameters(operations: u64, memory: u64) -> (u8, u32, u32) {
    const R: u64 = 8;
    let operations = operations.max(1 << 15);
    let log_n = |most: u64| (1..63_u8).find(|log| 1 << log > most / 2).unwrap_or(63);
    let (log_n, p) = if operations < memory / 32 {
        (log_n(operations / (R * 4)), 1)
    } else {
        let log_n = log_n(memory / (R * 128));
        let most = ((operations / 4) >> log_n).min(0x3fff_ffff);
        (log_n, u32::try_from(most / R).unwrap_or(u32::MAX))
    };
    (log_n, 8, p)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{MEMORY, OPERATIONS, SecretKey, parameters, takes_password};

    #[test]
    fn limits_of_libsodium_are_parameters_of_scrypt() {
        assert_eq!(parameters(OPERATIONS, MEMORY), (20, 8, 1));
        assert_eq!(parameters(524_288, 16 << 20), (14, 8, 1));
        assert_eq!(parameters(0, 1 << 30), (10, 8, 1));
    }

    #[test]
    fn a_key_is_read_as_it_was_written() {
        let key = SecretKey::generate().unwrap();
        let line = key.line(None).unwrap();
        assert!(!takes_password(&line).unwrap());
        let read = SecretKey::parse(&line, None).unwrap();
        assert_eq!(read.public_line(), key.public_line());
        let mut damaged = line.into_bytes();
        damaged[120] ^= 1;
        let damaged = String::from_utf8(damaged).unwrap();
        assert!(SecretKey::parse(&damaged, None).is_err());
    }
}
