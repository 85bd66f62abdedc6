//! Documents that a step runs.
//!
//! What is over of them stands in the journal: when the outer step is run again, after a restart of the machine or
//! the death of the process, the document goes on at the first step that is not over.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use capstan_document::{Document, ResolvedDocument};
use capstan_policy::Subject;
use capstan_runtime::{BrokerError, DocumentRequest, OutputStream, StepEvent, Usage, Wake};
use serde_json::Value;

use crate::error::RunnerError;
use crate::flow::{Next, after_result, merge, of_nested_code};
use crate::journal::{Journal, NestedHistory, Record, Stored};
use crate::parameters;
use crate::plan::document_subject;
use crate::result::{StepResult, StepStatus};
use crate::session::{Session, StepRights};
use crate::step::{StepRun, Suspension};

/// What a nested document came to.
pub(crate) struct Nested {
    pub(crate) status: StepStatus,
    pub(crate) exit_code: i32,
}

/// What the journal tells of nested documents that were begun by an earlier process, and the journal itself.
#[derive(Debug)]
pub(crate) struct Memory {
    journal: Arc<Journal>,
    begun: Mutex<BTreeMap<Vec<usize>, NestedHistory>>,
}

impl Memory {
    pub(crate) fn new(journal: &Arc<Journal>, begun: BTreeMap<Vec<usize>, NestedHistory>) -> Self {
        Self {
            journal: Arc::clone(journal),
            begun: Mutex::new(begun),
        }
    }

    /// The document that had begun at this place, if it is the one that is asked for again.
    fn begun(&self, path: &[usize], name: &str) -> Option<NestedHistory> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let found = begun.remove(path).filter(|one| one.document.name == name);
        if found.is_none() {
            begun.retain(|other, _| !other.starts_with(path));
        }
        found
    }
}

/// A nested document that is ready.
struct Ready {
    resolved: ResolvedDocument,
    sha256: String,
    stored: Stored,
}

async fn ready(
    session: &Session,
    request: &DocumentRequest,
    stored: Option<Stored>,
) -> Result<Ready, RunnerError> {
    let document = Document::parse(&request.content, &request.name)?;
    let arguments: BTreeMap<String, Value> =
        capstan_document::parse_mapping(&request.parameters, "documentParameters")?
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .collect();
    let bound = document.bind(&arguments)?;
    let stored = match stored {
        Some(stored) => stored,
        None => {
            let names = bound.parameter_store_references();
            parameters::resolve(&*session.runner.parameters, &names).await?
        }
    };
    Ok(Ready {
        resolved: bound.resolve(&stored)?,
        sha256: document.sha256().to_owned(),
        stored,
    })
}

/// Runs a document within a step: the same worker, the same output, and no more rights than the step's document.
pub(crate) async fn run_nested(
    session: &Arc<Session>,
    rights: &Arc<StepRights>,
    request: DocumentRequest,
) -> Result<Nested, BrokerError> {
    go(session, rights, request)
        .await
        .map_err(|error| BrokerError::Invalid(error.to_string()))
}

async fn go(
    session: &Arc<Session>,
    rights: &Arc<StepRights>,
    request: DocumentRequest,
) -> Result<Nested, RunnerError> {
    let call = rights.calls.fetch_add(1, Ordering::Relaxed);
    let path = [rights.path.as_slice(), &[call]].concat();
    let memory = session.memory.get();
    let begun = memory.and_then(|memory| memory.begun(&path, &request.name));
    // A document that has begun is the one that goes on, even if there is another of its name by now.
    let (request, stored, mut over) = match begun {
        Some(begun) => (begun.document, Some(begun.stored), Some(begun.finished)),
        None => (request, None, None),
    };
    let Ready {
        resolved,
        sha256,
        stored,
    } = ready(session, &request, stored).await?;
    let mut ancestors = rights.subject.ancestors.clone();
    ancestors.push(Subject {
        ancestors: Vec::new(),
        ..rights.subject.clone()
    });
    let subject = document_subject(
        &session.runner,
        &request.name,
        &sha256,
        &resolved.parameters,
        ancestors,
    );
    session.claim(&resolved)?;
    if let (Some(memory), None) = (memory, &over) {
        memory.journal.add(&Record::NestedStarted {
            path: path.clone(),
            document: Box::new(request),
            stored,
        })?;
    }
    let mut nested = Nested {
        status: StepStatus::Success,
        exit_code: 0,
    };
    let mut stopped = false;
    for (index, step) in resolved.steps.iter().enumerate() {
        if let Some((result, told)) = over.as_mut().and_then(|over| over.remove(&index)) {
            remember(session, rights, &result, told);
            stopped = stopped || after_result(&result, step.flow) != Next::Go;
            nested.add(&result);
            continue;
        }
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
        run.path = [path.as_slice(), &[index]].concat();
        run.result.attempt = 1;
        let control = &session.control;
        if control.is_killed() || (control.is_cancelled() && !run.is_final()) {
            run.cancel();
        } else if let Some(prepared) = run.prepare()? {
            let future: Pin<
                Box<dyn Future<Output = Result<Option<Suspension>, RunnerError>> + Send + '_>,
            > = Box::pin(run.run(&prepared, None));
            if let Some(suspension) = future.await?
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
        nested.add(&run.result);
        if next == Next::Reboot {
            // The step is run again after the restart, and so are those after it.
            break;
        }
        if let Some(memory) = memory {
            memory.journal.add(&Record::NestedFinished {
                path: run.path,
                result: Box::new(run.result),
            })?;
        }
        stopped = stopped || next == Next::Stop;
    }
    Ok(nested)
}

impl Nested {
    fn add(&mut self, result: &StepResult) {
        self.status = merge(self.status, result.status);
        if self.exit_code == 0 {
            self.exit_code = of_nested_code(result.exit_code);
        }
    }
}

/// Takes the place of a step that is over: what it used counts, and what it printed is printed again unless the
/// outer step's output still has it.
fn remember(session: &Session, rights: &StepRights, result: &StepResult, told: bool) {
    session.add_used(&Usage {
        fuel: result.fuel_used,
        child_cpu_millis: result.child_cpu_millis,
        ..Usage::default()
    });
    if told {
        return;
    }
    for (stream, text) in [
        (OutputStream::Stdout, &result.stdout),
        (OutputStream::Stderr, &result.stderr),
    ] {
        if !text.is_empty() {
            (rights.events)(StepEvent::Output {
                stream,
                data: text.clone().into_bytes(),
            });
        }
    }
}
