//! The key service that seals the master key: AWS KMS, or what speaks as it.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use capstan_client::{Client, Endpoint, Options};
use capstan_server::{KeyService, KeyServiceError};
use clap::Args;
use serde_json::{Value, json};

use super::remote::{credentials, variable};

/// Which key service, and which key of it.
#[derive(Debug, Args)]
pub(crate) struct KeyServiceArguments {
    /// A key of AWS KMS, or of a service that speaks as it, under which the master key is kept in the database: an id,
    /// an ARN or `alias/NAME`. Nothing secret is then on the server's disk. The credentials are those of AWS's tools
    /// (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile); they need kms:Encrypt and kms:Decrypt. A master key
    /// that the database has already is taken over, and another key that is named later seals it anew.
    #[arg(long, value_name = "KEY", env = "CAPSTAN_MASTER_KEY_KMS")]
    master_key_kms: Option<String>,
    /// Where the key service is [default: AWS KMS in the region of the key's ARN, else of AWS_REGION].
    #[arg(
        long,
        value_name = "URL",
        env = "AWS_ENDPOINT_URL_KMS",
        requires = "master_key_kms"
    )]
    kms_endpoint: Option<String>,
}

impl KeyServiceArguments {
    /// Nothing is asked yet.
    pub(crate) fn connect(&self) -> Result<Option<Arc<dyn KeyService>>> {
        let Some(key_id) = self.master_key_kms.clone().filter(|key| !key.is_empty()) else {
            return Ok(None);
        };
        let region = region_of(&key_id)
            .map(str::to_owned)
            .or_else(|| variable("AWS_REGION"))
            .or_else(|| variable("AWS_DEFAULT_REGION"))
            .unwrap_or_else(|| "us-east-1".to_owned());
        let url = match &self.kms_endpoint {
            Some(url) => url.clone(),
            None => format!("https://kms.{region}.amazonaws.com"),
        };
        let endpoint: Endpoint = url.parse()?;
        let options = Options {
            region,
            ..Options::default()
        };
        let client = Client::new(endpoint, options)?.with_credentials(
            credentials().context("the key service of --master-key-kms wants credentials")?,
        );
        Ok(Some(Arc::new(Kms { client, key_id })))
    }
}

/// The region in a key's ARN.
fn region_of(key: &str) -> Option<&str> {
    let mut parts = key.split(':');
    (parts.next() == Some("arn")).then(|| parts.nth(2))?
}

#[derive(Debug)]
struct Kms {
    client: Client,
    key_id: String,
}

impl Kms {
    async fn call(
        &self,
        operation: &str,
        mut input: Value,
        member: &str,
    ) -> Result<Vec<u8>, KeyServiceError> {
        // What was sealed for this opens for this alone, and a key's policy can demand it.
        input["EncryptionContext"] = json!({ "capstan": "master-key" });
        let answer = self
            .client
            .call("kms", "TrentService", operation, &input)
            .await
            .map_err(|error| {
                KeyServiceError(format!(
                    "{operation} at {}: {error}",
                    self.client.endpoint()
                ))
            })?;
        answer[member]
            .as_str()
            .and_then(|text| BASE64_STANDARD.decode(text).ok())
            .ok_or_else(|| {
                KeyServiceError(format!(
                    "{operation} at {}: the answer has no {member}",
                    self.client.endpoint()
                ))
            })
    }
}

#[async_trait]
impl KeyService for Kms {
    fn key_id(&self) -> &str {
        &self.key_id
    }

    async fn encrypt(&self, plain: &[u8]) -> Result<Vec<u8>, KeyServiceError> {
        let input = json!({ "KeyId": self.key_id, "Plaintext": BASE64_STANDARD.encode(plain) });
        self.call("Encrypt", input, "CiphertextBlob").await
    }

    async fn decrypt(&self, sealed: &[u8]) -> Result<Vec<u8>, KeyServiceError> {
        // The service knows by which key: that named here may be the next one already.
        let input = json!({ "CiphertextBlob": BASE64_STANDARD.encode(sealed) });
        self.call("Decrypt", input, "Plaintext").await
    }
}
