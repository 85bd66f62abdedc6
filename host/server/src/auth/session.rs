//! The credentials that nodes get for an hour: nothing is stored for them, the session's token holds all there is.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;
use serde::{Deserialize, Serialize};

use super::access_keys::key_id;
use crate::error::ApiError;
use crate::keys::{MasterKey, NoRandom, Sealer};

/// How long they are good for, in seconds. Agents ask anew at half of it.
const LIFE: i64 = 3600;
/// How AWS's ids of temporary keys begin.
pub(crate) const PREFIX: &str = "ASIA";

/// Makes and checks the credentials of nodes.
#[derive(Debug)]
pub(crate) struct Sessions {
    sealer: Sealer,
    secrets: hmac::Key,
}

/// Credentials of a node.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) key_id: String,
    pub(crate) secret: String,
    pub(crate) token: String,
    /// Seconds since 1970.
    pub(crate) expires: i64,
}

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
struct Token {
    node: String,
    expires: i64,
}

impl Sessions {
    pub(crate) fn new(master: &MasterKey) -> Self {
        Self {
            sealer: master.sealer("node session tokens"),
            secrets: hmac::Key::new(hmac::HMAC_SHA256, &master.derive("node session secrets")),
        }
    }

    /// New credentials for a node; `now` in seconds since 1970.
    pub(crate) fn issue(&self, node: &str, now: i64) -> Result<Session, NoRandom> {
        let key_id = key_id(PREFIX)?;
        let expires = now + LIFE;
        let token = serde_json::to_vec(&Token {
            node: node.to_owned(),
            expires,
        })
        .map_err(|_| NoRandom)?;
        Ok(Session {
            secret: self.secret(&key_id),
            token: BASE64_STANDARD.encode(self.sealer.seal(&key_id, &token)?),
            key_id,
            expires,
        })
    }

    /// The secret of a key, and the node that it was given to.
    pub(crate) fn open(
        &self,
        key_id: &str,
        token: Option<&str>,
        now: i64,
    ) -> Result<(String, String), ApiError> {
        let unknown = || {
            ApiError::new(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            )
        };
        let sealed = token
            .and_then(|token| BASE64_STANDARD.decode(token).ok())
            .ok_or_else(unknown)?;
        let token = self.sealer.open(key_id, &sealed).map_err(|_| unknown())?;
        let token: Token = serde_json::from_slice(&token).map_err(|_| unknown())?;
        if token.expires < now {
            return Err(ApiError::new(
                "ExpiredTokenException",
                "The security token included in the request is expired",
            ));
        }
        Ok((self.secret(key_id), token.node))
    }

    fn secret(&self, key_id: &str) -> String {
        BASE64_STANDARD.encode(hmac::sign(&self.secrets, key_id.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::Sessions;
    use crate::keys::MasterKey;

    #[test]
    fn a_session_is_its_nodes_for_an_hour() {
        let sessions = Sessions::new(&MasterKey::random().unwrap());
        let session = sessions.issue("mi-0123456789abcdef0", 1000).unwrap();
        assert_eq!(session.expires, 4600);
        let open = |key: &str, token: Option<&str>, now| {
            sessions.open(key, token, now).map_err(|error| error.code)
        };
        assert_eq!(
            open(&session.key_id, Some(&session.token), 4600).unwrap(),
            (session.secret.clone(), "mi-0123456789abcdef0".to_owned())
        );
        assert_eq!(
            open(&session.key_id, Some(&session.token), 4601).unwrap_err(),
            "ExpiredTokenException"
        );
        for (key, token) in [
            ("ASIAOTHER", Some(session.token.as_str())),
            (&session.key_id, Some("AAAA")),
            (&session.key_id, None),
        ] {
            assert_eq!(
                open(key, token, 1000).unwrap_err(),
                "UnrecognizedClientException"
            );
        }
    }
}
