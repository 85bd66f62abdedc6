//! Signature Version 4, and its variant in which a node signs with its RSA key.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PSS_SHA256, RsaKeyPair};
use sha2::{Digest as _, Sha256};

use crate::error::ClientError;

/// An access key, or temporary credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The key's id.
    pub access_key_id: String,
    /// The secret.
    pub secret_access_key: String,
    /// The token of temporary credentials.
    pub session_token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// A node's own RSA key, by which the server knows it before it has credentials.
#[derive(Clone)]
pub struct NodeKey {
    node_id: String,
    key: Arc<RsaKeyPair>,
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeKey")
            .field("node_id", &self.node_id)
            .finish_non_exhaustive()
    }
}

impl NodeKey {
    /// The key of a node, in PKCS #8 (DER).
    ///
    /// # Errors
    /// When it is no RSA key of at least 2048 bits.
    pub fn new(node_id: impl Into<String>, pkcs8: &[u8]) -> Result<Self, ClientError> {
        let key = RsaKeyPair::from_pkcs8(pkcs8)
            .map_err(|error| ClientError::Sign(format!("the node's key is not usable: {error}")))?;
        Ok(Self {
            node_id: node_id.into(),
            key: Arc::new(key),
        })
    }

    /// PSS with SHA-256 and a salt of its length, 32 bytes.
    fn sign(&self, text: &str) -> Result<String, ClientError> {
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(
                &RSA_PSS_SHA256,
                &SystemRandom::new(),
                text.as_bytes(),
                &mut signature,
            )
            .map_err(|_| ClientError::Sign("the node's key refuses".to_owned()))?;
        Ok(BASE64_STANDARD.encode(signature))
    }
}

/// Who signs.
#[derive(Debug, Clone)]
pub enum Signer {
    /// Nobody: the operation is for everybody.
    Nobody,
    /// The holder of credentials.
    Credentials(Credentials),
    /// A node, with its own key.
    Node(NodeKey),
}

/// A request of the JSON protocol: `POST /`, whose headers are few and known.
pub(crate) struct Unsigned<'a> {
    /// For the URL that is signed.
    pub(crate) endpoint: &'a str,
    pub(crate) headers: &'a [(&'static str, String)],
    pub(crate) body: &'a [u8],
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
}

impl Signer {
    /// The headers that sign a request.
    pub(crate) fn sign(
        &self,
        request: &Unsigned<'_>,
        now: Timestamp,
    ) -> Result<Vec<(String, String)>, ClientError> {
        match self {
            Self::Nobody => Ok(Vec::new()),
            Self::Credentials(credentials) => by_secret(credentials, request, now.into()),
            Self::Node(key) => by_node(key, request, now),
        }
    }
}

fn by_secret(
    credentials: &Credentials,
    request: &Unsigned<'_>,
    now: SystemTime,
) -> Result<Vec<(String, String)>, ClientError> {
    let failed = |error: &dyn fmt::Display| ClientError::Sign(error.to_string());
    let identity = aws_credential_types::Credentials::new(
        &credentials.access_key_id,
        &credentials.secret_access_key,
        credentials.session_token.clone(),
        None,
        "given",
    )
    .into();
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region(request.region)
        .name(request.service)
        .time(now)
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| failed(&error))?
        .into();
    let url = format!("{}/", request.endpoint);
    let headers = request
        .headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()));
    let signable = SignableRequest::new("POST", &url, headers, SignableBody::Bytes(request.body))
        .map_err(|error| failed(&error))?;
    let (instructions, _) = sign(signable, &parameters)
        .map_err(|error| failed(&error))?
        .into_parts();
    Ok(instructions
        .headers()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

/// As the SSM agent does it: what Signature Version 4 would sign with a secret, the node signs with its key.
fn by_node(
    key: &NodeKey,
    request: &Unsigned<'_>,
    now: Timestamp,
) -> Result<Vec<(String, String)>, ClientError> {
    let (names, scope, text) = string_to_sign(request, now);
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={}",
        key.node_id,
        key.sign(&text)?
    );
    Ok(vec![
        ("x-amz-date".to_owned(), long(now)),
        ("authorization".to_owned(), authorization),
    ])
}

fn long(now: Timestamp) -> String {
    now.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// The names of the signed headers, the scope and the text that is signed.
fn string_to_sign(request: &Unsigned<'_>, now: Timestamp) -> (String, String, String) {
    let date = long(now);
    let mut headers: Vec<(&str, &str)> = request
        .headers
        .iter()
        .map(|(name, value)| (*name, value.trim()))
        .chain([("x-amz-date", date.as_str())])
        .collect();
    headers.sort_unstable();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    let canonical = format!(
        "POST\n/\n\n{lines}\n{names}\n{}",
        hex(&Sha256::digest(request.body))
    );
    let scope = format!(
        "{}/{}/{}/aws4_request",
        now.strftime("%Y%m%d"),
        request.region,
        request.service
    );
    let text = format!(
        "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
        hex(&Sha256::digest(canonical.as_bytes()))
    );
    (names, scope, text)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use ring::hmac;

    use super::{Credentials, Signer, Unsigned, hex, string_to_sign};

    /// Both ways of signing sign the same text: with the secret's key it gives the signature of the other library.
    #[test]
    fn the_text_that_nodes_sign_is_signature_version_4s() {
        let headers = [
            ("host", "a.example:8443".to_owned()),
            ("content-type", "application/x-amz-json-1.1".to_owned()),
            ("x-amz-target", "AmazonSSM.X".to_owned()),
        ];
        let request = Unsigned {
            endpoint: "https://a.example:8443",
            headers: &headers,
            body: b"{\"a\":1}",
            region: "eu-west-1",
            service: "ssm",
        };
        let now = "2026-02-03T04:05:06Z".parse().unwrap();
        let credentials = Credentials {
            access_key_id: "AKIAEXAMPLE".into(),
            secret_access_key: "secret".into(),
            session_token: None,
        };
        let signed = Signer::Credentials(credentials)
            .sign(&request, now)
            .unwrap();
        let authorization = &signed
            .iter()
            .find(|(name, _)| name == "authorization")
            .unwrap()
            .1;
        let (names, scope, text) = string_to_sign(&request, now);
        let mut key = b"AWS4secret".to_vec();
        for part in scope.split('/') {
            let hmac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes());
            key = hmac.as_ref().to_vec();
        }
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), text.as_bytes());
        assert_eq!(
            authorization,
            &format!(
                "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/{scope}, SignedHeaders={names}, Signature={}",
                hex(signature.as_ref())
            )
        );
    }
}
