//! Times a step that does nothing, within one process: a new store, an instance of the component, the call with JSON
//! in and out, the report, and the end of the instance.
//!
//! Usage: `cargo run --release -p capstan-runtime --example in-process [STEPS]`

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use capstan_policy::{Confinement, Grant, Limits, SecretPlace};
use capstan_runtime::{
    Broker, BrokerError, Call, CompileCache, ConnectRequest, Connected, DocumentRequest,
    DocumentResult, ParameterValue, Platform, Runtime, SignRequest, Status, StepContext,
    StepOutcome, StepRequest, compile, digest,
};
use capstan_sandbox::{Enforced, WorkerSpec, enter_worker};

/// A step that does nothing asks for nothing.
struct Nobody;

#[async_trait]
impl Broker for Nobody {
    async fn connect(&self, _: u64, _: ConnectRequest) -> Result<Connected, BrokerError> {
        Err(BrokerError::Gone)
    }
    async fn parameter(&self, _: u64, _: &str) -> Result<ParameterValue, BrokerError> {
        Err(BrokerError::Gone)
    }
    async fn find_secret(&self, _: u64, _: &str) -> Result<(), BrokerError> {
        Err(BrokerError::Gone)
    }
    async fn secret(&self, _: u64, _: &str, _: &SecretPlace) -> Result<String, BrokerError> {
        Err(BrokerError::Gone)
    }
    async fn sign(&self, _: u64, _: SignRequest) -> Result<Vec<(String, String)>, BrokerError> {
        Err(BrokerError::Gone)
    }
    async fn document(&self, _: u64, _: &str) -> Result<String, BrokerError> {
        Err(BrokerError::Gone)
    }
    async fn run_document(
        &self,
        _: u64,
        _: DocumentRequest,
    ) -> Result<DocumentResult, BrokerError> {
        Err(BrokerError::Gone)
    }
    async fn aws_endpoint(&self, _: u64, _: &str) -> Result<Option<String>, BrokerError> {
        Err(BrokerError::Gone)
    }
}

fn request(component: &str) -> StepRequest {
    StepRequest {
        id: 1,
        component: component.to_owned(),
        programs: Default::default(),
        call: Call::Start {
            inputs: serde_json::json!({ "runCommand": [":"], "workingDirectory": "" }),
        },
        context: StepContext {
            run_id: "bench".into(),
            node_id: "bench".into(),
            document: "bench".into(),
            step: "bench".into(),
            action: "test:noOp".into(),
            attempt: 1,
            platform: Platform::default(),
            work_directory: "/tmp".into(),
            downloads_directory: "/tmp".into(),
            data_directory: "/tmp".into(),
            deadline_unix_millis: 0,
            environment: Default::default(),
            region: String::new(),
        },
        component_grant: Grant::default(),
        children_grant: Grant::default(),
        limits: Limits::default(),
        environment: Default::default(),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let steps: usize = std::env::args()
        .nth(1)
        .map_or(Ok(20_000), |text| text.parse())?;
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = workspace.join("target/bench");
    let built = capstan_sdk_build::build_components(&workspace, &target, &["no-op"])?;
    let wasm = std::fs::read(built.first().ok_or("nothing was built")?)?;
    let cache = CompileCache::open(&target.join("cache"))?;
    let name = digest(&wasm);
    cache.store(&name, &compile(&wasm)?)?;

    // What confines programs has no part in a step that starts none.
    let folder = target.join("run");
    let sandbox = enter_worker(&WorkerSpec {
        ceiling: Grant {
            confinement: Confinement::Unconfined,
            ..Grant::default()
        },
        private_tmp: folder.clone(),
        overlays: folder,
        readable: Vec::new(),
        writable: Vec::new(),
        namespaces: Enforced::default(),
        cgroup: String::new(),
    })?;
    let runtime = Runtime::new(cache, Arc::new(sandbox))?;
    let (_keep, cancel) = tokio::sync::watch::channel(false);
    let mut times: Vec<Duration> = Vec::with_capacity(steps);
    for turn in 0..steps + steps / 10 {
        let request = request(&name);
        let start = Instant::now();
        let report = runtime
            .run_step(request, Arc::new(Nobody), Arc::new(|_| ()), cancel.clone())
            .await;
        let taken = start.elapsed();
        match report.outcome {
            StepOutcome::Done {
                status: Status::Success,
                ..
            } => {}
            other => return Err(format!("the step did not succeed: {other:?}").into()),
        }
        // The first turns fill the pools.
        if turn >= steps / 10 {
            times.push(taken);
        }
    }
    times.sort_unstable();
    let at = |part: usize| {
        times
            .get(times.len() * part / 100)
            .copied()
            .unwrap_or_default()
    };
    println!(
        "a step that does nothing, {steps} times: median {:?}, 10 % below {:?}, 90 % below {:?}",
        at(50),
        at(10),
        at(90)
    );
    Ok(())
}
