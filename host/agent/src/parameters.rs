//! Parameter Store, as the control plane has it.

use std::sync::Arc;

use async_trait::async_trait;
use capstan_runner::{ParameterKind, ParameterSource, RunnerError, StoredVersion};

use crate::api::Api;

/// Reads parameters from the control plane, as the node.
#[derive(Debug)]
pub struct ApiParameters {
    api: Arc<Api>,
}

impl ApiParameters {
    /// With these calls.
    #[must_use]
    pub fn new(api: Arc<Api>) -> Self {
        Self { api }
    }
}

#[async_trait]
impl ParameterSource for ApiParameters {
    async fn parameter(&self, name: &str) -> Result<Option<StoredVersion>, RunnerError> {
        let found = self.api.parameter(name).await.map_err(|error| {
            RunnerError::Invalid(format!("the parameter {name} cannot be read: {error}"))
        })?;
        let Some(found) = found else { return Ok(None) };
        let damaged = |what: &str| {
            RunnerError::Invalid(format!(
                "the control plane gave the parameter {name} without {what}"
            ))
        };
        let kind = match found["Type"].as_str() {
            Some("String") => ParameterKind::String,
            Some("StringList") => ParameterKind::StringList,
            Some("SecureString") => ParameterKind::SecureString,
            _ => return Err(damaged("a type")),
        };
        Ok(Some(StoredVersion {
            kind,
            value: found["Value"]
                .as_str()
                .ok_or_else(|| damaged("its value"))?
                .to_owned(),
            version: found["Version"].as_u64().unwrap_or_default(),
            modified: found["LastModifiedDate"].to_string(),
            labels: Vec::new(),
        }))
    }
}
