//! `capstan:host/control`.

use super::Answer;
use crate::bindings::capstan::host::control::{DocumentResult, Host};
use crate::broker::DocumentRequest;
use crate::runtime::StepState;

impl Host for StepState {
    async fn get_document(&mut self, name: String) -> Answer<String> {
        let shared = &self.shared;
        if !shared.component.allows_document(&name) {
            return Ok(Err(shared.deny(
                "documents",
                &name,
                format!("grants: {{ documents: [\"{name}\"] }}"),
            )));
        }
        Ok(shared
            .broker
            .document(shared.id, &name)
            .await
            .map_err(|error| shared.broker_error(error)))
    }

    async fn run_document(
        &mut self,
        name: String,
        content: String,
        parameters: String,
    ) -> Answer<DocumentResult> {
        let shared = &self.shared;
        shared.charge_bytes(content.len());
        if !shared.component.allows_document(&name) {
            return Ok(Err(shared.deny(
                "documents",
                &name,
                format!("grants: {{ documents: [\"{name}\"] }}"),
            )));
        }
        let request = DocumentRequest {
            name,
            content,
            parameters,
        };
        Ok(match shared.broker.run_document(shared.id, request).await {
            Ok(result) => Ok(DocumentResult {
                status: result.status,
                exit_code: result.exit_code,
            }),
            Err(error) => Err(shared.broker_error(error)),
        })
    }
}
