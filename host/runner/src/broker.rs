//! The supervisor's answers to its worker.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use async_trait::async_trait;
use capstan_policy::{GrantCheck, HostVerdict, SecretPlace};
use capstan_runtime::network::connect_checked;
use capstan_runtime::{
    Broker, BrokerError, ConnectRequest, Connected, DocumentRequest, DocumentResult,
    ParameterValue, SignRequest, is_own_parameter,
};

use crate::credentials;
use crate::nested;
use crate::parameters::{ParameterKind, StoredVersion};
use crate::result::StepStatus;
use crate::session::{MAX_DEPTH, Session, StepRights};

/// Serves the worker of a session. Nothing that the worker says of its rights is believed.
pub(crate) struct Supervisor {
    pub(crate) session: Weak<Session>,
}

fn denied(capability: &str, target: &str) -> BrokerError {
    BrokerError::Denied {
        capability: capability.to_owned(),
        target: target.to_owned(),
        hint: format!("grants: {{ {capability}: [\"{target}\"] }}"),
    }
}

async fn stored(session: &Session, name: &str) -> Result<Option<StoredVersion>, BrokerError> {
    session
        .runner
        .parameters
        .parameter(name)
        .await
        .map_err(|error| BrokerError::Io(error.to_string()))
}

async fn secure_string(session: &Session, name: &str) -> Result<String, BrokerError> {
    match stored(session, name).await? {
        None => Err(BrokerError::NotFound(format!("the secret {name}"))),
        Some(found) if found.kind == ParameterKind::SecureString => Ok(found.value),
        Some(_) => Err(BrokerError::Invalid(format!(
            "the parameter {name} is not a SecureString"
        ))),
    }
}

impl Supervisor {
    fn step(&self, id: u64) -> Result<(Arc<Session>, Arc<StepRights>), BrokerError> {
        let session = self.session.upgrade().ok_or(BrokerError::Gone)?;
        let rights = session.rights(id).ok_or(BrokerError::Gone)?;
        Ok((session, rights))
    }
}

#[async_trait]
impl Broker for Supervisor {
    async fn connect(&self, step: u64, request: ConnectRequest) -> Result<Connected, BrokerError> {
        let (_, rights) = self.step(step)?;
        // The component's own requests and its programs' come the same way.
        let both: [&GrantCheck; 2] = [&rights.component, &rights.children];
        match connect_checked(both[0], &request).await {
            Err(BrokerError::Denied { .. }) => connect_checked(both[1], &request).await,
            result => result,
        }
    }

    async fn parameter(&self, step: u64, name: &str) -> Result<ParameterValue, BrokerError> {
        let (session, rights) = self.step(step)?;
        let allowed = rights.component.allows_parameter(name);
        if !allowed && !is_own_parameter(name) {
            return Err(denied("parameters", name));
        }
        match stored(&session, name).await? {
            Some(_) if !allowed => Err(denied("parameters", name)),
            None => Err(BrokerError::NotFound(format!("the parameter {name}"))),
            Some(found) => match found.kind {
                ParameterKind::String => Ok(ParameterValue::Text(found.value)),
                ParameterKind::StringList => Ok(ParameterValue::List(
                    found.value.split(',').map(str::to_owned).collect(),
                )),
                ParameterKind::SecureString => Err(BrokerError::Invalid(format!(
                    "the parameter {name} is a SecureString; use it as a secret"
                ))),
            },
        }
    }

    async fn find_secret(&self, step: u64, name: &str) -> Result<(), BrokerError> {
        let (session, rights) = self.step(step)?;
        if !rights.component.knows_secret(name) {
            return Err(denied("secrets", name));
        }
        secure_string(&session, name).await.map(|_| ())
    }

    async fn secret(
        &self,
        step: u64,
        name: &str,
        place: &SecretPlace,
    ) -> Result<String, BrokerError> {
        let (session, rights) = self.step(step)?;
        if !rights.component.allows_secret(name, place) {
            return Err(denied("secrets", name));
        }
        let value = secure_string(&session, name).await?;
        session.secrets.learn(&value);
        Ok(value)
    }

    async fn sign(
        &self,
        step: u64,
        request: SignRequest,
    ) -> Result<Vec<(String, String)>, BrokerError> {
        let (_, rights) = self.step(step)?;
        if !rights.component.allows_signing(&request.service) {
            return Err(denied("signing", &request.service));
        }
        // A signature is only good for the host it names, and that has to be one the step may reach.
        let url = url::Url::parse(&request.url)
            .map_err(|error| BrokerError::Invalid(format!("{}: {error}", request.url)))?;
        let (host, port) = (
            url.host_str().unwrap_or_default(),
            url.port_or_known_default().unwrap_or(0),
        );
        let method = Some(request.method.as_str());
        if rights
            .component
            .allows_host(url.scheme(), host, port, method, Some(url.path()))
            == HostVerdict::Refused
        {
            return Err(denied(
                "hosts",
                &format!("{}://{host}:{port}", url.scheme()),
            ));
        }
        credentials::headers(&credentials::find()?, &request, SystemTime::now())
    }

    async fn document(&self, step: u64, name: &str) -> Result<String, BrokerError> {
        let (session, rights) = self.step(step)?;
        if !rights.component.allows_document(name) {
            return Err(denied("documents", name));
        }
        session
            .runner
            .documents
            .get(name)
            .map_err(|error| BrokerError::Invalid(error.to_string()))
    }

    async fn run_document(
        &self,
        step: u64,
        request: DocumentRequest,
    ) -> Result<DocumentResult, BrokerError> {
        let (session, rights) = self.step(step)?;
        if !rights.component.allows_document(&request.name) {
            return Err(denied("documents", &request.name));
        }
        if rights.depth >= MAX_DEPTH {
            return Err(BrokerError::Invalid(format!(
                "documents can be nested {MAX_DEPTH} deep, and this would be deeper"
            )));
        }
        let result = nested::run_nested(&session, &rights, request).await?;
        if result.status == StepStatus::SuccessAndReboot {
            rights.reboot.store(true, Ordering::SeqCst);
        }
        Ok(DocumentResult {
            status: format!("{:?}", result.status),
            exit_code: result.exit_code,
        })
    }

    async fn aws_endpoint(&self, step: u64, service: &str) -> Result<Option<String>, BrokerError> {
        self.step(step)?;
        let own = format!("AWS_ENDPOINT_URL_{}", service.to_uppercase());
        let found = [own.as_str(), "AWS_ENDPOINT_URL"]
            .iter()
            .find_map(|name| std::env::var(name).ok());
        Ok(found.filter(|value| !value.is_empty()))
    }
}
