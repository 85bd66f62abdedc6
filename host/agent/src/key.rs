//! The node's key.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rsa::PrivateKey;
use rsa::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _};
use serde::{Deserialize, Serialize};

use crate::error::AgentError;

/// As the protocol has it.
const BITS: usize = 2048;

/// A private key as it is kept: PKCS #8 in base64.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Key(String);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

/// From the operating system.
struct System;

impl rsa::rand_core::TryRng for System {
    type Error = rustix::io::Errno;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, mut bytes: &mut [u8]) -> Result<(), Self::Error> {
        while !bytes.is_empty() {
            let count =
                rustix::rand::getrandom(&mut *bytes, rustix::rand::GetRandomFlags::empty())?;
            bytes = &mut bytes[count..];
        }
        Ok(())
    }
}

impl rsa::rand_core::TryCryptoRng for System {}

fn failed(error: &dyn std::fmt::Display) -> AgentError {
    AgentError::Registration(format!("no key can be made: {error}"))
}

impl Key {
    /// A new key. This takes part of a second.
    pub(crate) async fn generate() -> Result<Self, AgentError> {
        let make = || {
            let key = PrivateKey::new(&mut System, BITS).map_err(|error| failed(&error))?;
            let der = key.to_pkcs8_der().map_err(|error| failed(&error))?;
            Ok(Self(BASE64_STANDARD.encode(der.as_bytes())))
        };
        tokio::task::spawn_blocking(make)
            .await
            .map_err(|error| failed(&error))?
    }

    /// PKCS #8 in DER.
    pub(crate) fn der(&self) -> Result<Vec<u8>, AgentError> {
        BASE64_STANDARD
            .decode(&self.0)
            .map_err(|error| AgentError::Damaged(format!("the node's key is damaged: {error}")))
    }

    /// The public key as it is sent: SubjectPublicKeyInfo in base64.
    pub(crate) fn public(&self) -> Result<String, AgentError> {
        let key = PrivateKey::from_pkcs8_der(&self.der()?)
            .map_err(|error| AgentError::Damaged(format!("the node's key is damaged: {error}")))?;
        let der = key
            .to_public_key()
            .to_public_key_der()
            .map_err(|error| failed(&error))?;
        Ok(BASE64_STANDARD.encode(der.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::Key;

    #[tokio::test]
    async fn a_key_can_be_signed_with_and_told() {
        let key = Key::generate().await.unwrap();
        capstan_client::NodeKey::new("mi-0", &key.der().unwrap()).unwrap();
        // What the API demands of one of 2048 bits.
        assert!(key.public().unwrap().len() >= 392);
    }
}
