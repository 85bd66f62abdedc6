//! What a step gets from outside of its runtime: parameters, secrets and documents of the script.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use capstan_policy::SecretPlace;
use capstan_runner::sign_with;
use capstan_runtime::{
    Broker, BrokerError, ConnectRequest, Connected, DocumentRequest, DocumentResult, EventSink,
    OutputStream, ParameterValue, SignRequest, StepEvent,
};

use crate::report::DocumentRun;
use crate::request::{DocumentSpec, ParameterSpec};
use crate::world::ScriptedWorld;

/// The keys that requests are signed with: AWS's own example.
const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
const KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// Serves a step from its script. The runtime in this very process has checked what it asks for.
pub(crate) struct ScriptedBroker {
    pub(crate) world: Arc<ScriptedWorld>,
    pub(crate) parameters: BTreeMap<String, ParameterSpec>,
    pub(crate) documents: BTreeMap<String, DocumentSpec>,
    pub(crate) runs: Mutex<Vec<DocumentRun>>,
    pub(crate) events: EventSink,
}

impl ScriptedBroker {
    pub(crate) fn runs(&self) -> Vec<DocumentRun> {
        self.runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[async_trait]
impl Broker for ScriptedBroker {
    async fn connect(&self, _: u64, request: ConnectRequest) -> Result<Connected, BrokerError> {
        Err(BrokerError::Io(format!(
            "there are no connections in a test, and none to {}",
            request.host
        )))
    }

    async fn parameter(&self, _: u64, name: &str) -> Result<ParameterValue, BrokerError> {
        match self.parameters.get(name) {
            Some(value) => Ok(value.clone().into()),
            None if self.world.secrets.has(name) => Err(BrokerError::Invalid(format!(
                "the parameter {name} is a SecureString; use it as a secret"
            ))),
            None => Err(BrokerError::NotFound(format!("the parameter {name}"))),
        }
    }

    async fn find_secret(&self, _: u64, name: &str) -> Result<(), BrokerError> {
        if self.world.secrets.has(name) {
            Ok(())
        } else {
            Err(BrokerError::NotFound(format!("the secret {name}")))
        }
    }

    async fn secret(&self, _: u64, name: &str, place: &SecretPlace) -> Result<String, BrokerError> {
        self.world
            .secrets
            .take(name, place)
            .ok_or_else(|| BrokerError::NotFound(format!("the secret {name}")))
    }

    async fn sign(
        &self,
        _: u64,
        request: SignRequest,
    ) -> Result<Vec<(String, String)>, BrokerError> {
        sign_with(KEY_ID, KEY, &request, self.world.now().into())
    }

    async fn document(&self, _: u64, name: &str) -> Result<String, BrokerError> {
        self.documents
            .get(name)
            .and_then(|document| document.content.clone())
            .ok_or_else(|| BrokerError::NotFound(format!("the document {name}")))
    }

    async fn run_document(
        &self,
        _: u64,
        request: DocumentRequest,
    ) -> Result<DocumentResult, BrokerError> {
        let DocumentRequest {
            name,
            content,
            parameters,
        } = request;
        let found = self.documents.get(&name).cloned();
        self.runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(DocumentRun {
                name: name.clone(),
                content,
                parameters,
            });
        let Some(document) = found else {
            let known: Vec<&str> = self.documents.keys().map(String::as_str).collect();
            return Err(BrokerError::Io(self.world.unanswered(format!(
                "the test does not say how the document {name} ends; it has [{}]",
                known.join(", ")
            ))));
        };
        if !document.output.is_empty() {
            (self.events)(StepEvent::Output {
                stream: OutputStream::Stdout,
                data: document.output.into_bytes(),
            });
        }
        Ok(DocumentResult {
            status: document.status,
            exit_code: document.exit_code,
        })
    }

    async fn aws_endpoint(&self, _: u64, _: &str) -> Result<Option<String>, BrokerError> {
        Ok(None)
    }
}
