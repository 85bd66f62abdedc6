//! Documents that a step runs.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use capstan_document::Document;
use capstan_policy::Subject;
use capstan_runtime::{BrokerError, DocumentRequest, Wake};
use serde_json::Value;

use crate::error::RunnerError;
use crate::flow::{Next, merge};
use crate::plan::document_subject;
use crate::result::StepStatus;
use crate::session::{Session, StepRights};
use crate::step::{StepRun, Suspension};

/// What a nested document came to.
pub(crate) struct Nested {
    pub(crate) status: StepStatus,
    pub(crate) exit_code: i32,
}

/// Runs a document within a step: the same worker, the same output, and no more rights than the step's document.
pub(crate) async fn run_nested(
    session: &Arc<Session>,
    rights: &Arc<StepRights>,
    request: DocumentRequest,
) -> Result<Nested, BrokerError> {
    let invalid = |error: &dyn std::fmt::Display| BrokerError::Invalid(error.to_string());
    let document =
        Document::parse(&request.content, &request.name).map_err(|error| invalid(&error))?;
    let arguments: BTreeMap<String, Value> =
        capstan_document::parse_mapping(&request.parameters, "documentParameters")
            .map_err(|error| invalid(&error))?
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .collect();
    let bound = document.bind(&arguments).map_err(|error| invalid(&error))?;
    let stored = session
        .runner
        .parameters
        .resolve(&bound.parameter_store_references())
        .map_err(|error| invalid(&error))?;
    let resolved = bound.resolve(&stored).map_err(|error| invalid(&error))?;
    let mut ancestors = rights.subject.ancestors.clone();
    ancestors.push(Subject {
        ancestors: Vec::new(),
        ..rights.subject.clone()
    });
    let subject = document_subject(
        &session.runner,
        &request.name,
        document.sha256(),
        &resolved.parameters,
        ancestors,
    );
    session.claim(&resolved).map_err(|error| invalid(&error))?;
    let mut nested = Nested {
        status: StepStatus::Success,
        exit_code: 0,
    };
    let mut stopped = false;
    for step in &resolved.steps {
        if stopped && !step.flow.finally_step {
            continue;
        }
        let mut run = StepRun::new(
            session,
            &resolved.schema_version,
            step,
            &subject,
            rights.index,
            (rights.depth + 1, Some(Arc::clone(&rights.events))),
        );
        run.result.attempt = 1;
        let control = &session.control;
        if control.is_killed() || (control.is_cancelled() && !run.is_final()) {
            run.cancel();
        } else if let Some(prepared) = run.prepare().map_err(|error| invalid(&error))? {
            let future: Pin<
                Box<dyn Future<Output = Result<Option<Suspension>, RunnerError>> + Send + '_>,
            > = Box::pin(run.run(&prepared, None));
            if let Some(suspension) = future.await.map_err(|error| invalid(&error))?
                && suspension.wake != Wake::Reboot
            {
                run.end(
                    StepStatus::Failed,
                    "Failed",
                    1,
                    "a step of a nested document cannot wait",
                );
            }
        }
        let next = run.finish();
        nested.status = merge(nested.status, run.result.status);
        if nested.exit_code == 0 {
            nested.exit_code = run.result.exit_code;
        }
        stopped = stopped || next != Next::Go;
    }
    Ok(nested)
}
