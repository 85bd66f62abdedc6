//! Times a step that does nothing, within one process: a new store, an instance of the component, the call with JSON
//! in and out, the report, and the end of the instance. The same for components of your own, whose first action has to
//! do with empty inputs and without a grant.
//!
//! Usage: `cargo run --release -p capstan-runtime --example in-process [STEPS [FILE.wasm …]]`

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use capstan_policy::{Confinement, Grant, Limits, SecretPlace};
use capstan_runtime::{
    Broker, BrokerError, Call, CompileCache, ConnectRequest, Connected, DocumentRequest,
    DocumentResult, ParameterValue, Platform, Runtime, SignRequest, Status, StepContext,
    StepOutcome, StepRequest, compile, digest, inspect,
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

fn request(component: &str, inputs: &serde_json::Value) -> StepRequest {
    StepRequest {
        id: 1,
        component: component.to_owned(),
        programs: Default::default(),
        call: Call::Start {
            inputs: inputs.clone(),
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
    let mut arguments = std::env::args().skip(1);
    let steps: usize = arguments.next().map_or(Ok(20_000), |text| text.parse())?;
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = workspace.join("target/bench");
    let built = capstan_sdk_build::build_components(&workspace, &target, &["no-op"])?;
    let inputs = serde_json::json!({ "runCommand": [":"], "workingDirectory": "" });
    let mut components = vec![(
        "a step that does nothing".to_owned(),
        load(&target, built.first().ok_or("nothing was built")?)?,
        steps,
        inputs,
    )];
    for file in arguments {
        let name = load(&target, Path::new(&file))?;
        components.push((file, name, steps.div_ceil(20), serde_json::json!({})));
    }

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
    let runtime = Runtime::new(
        CompileCache::open(&target.join("cache"))?,
        Arc::new(sandbox),
    )?;
    for (what, name, steps, inputs) in components {
        let times = measure(&runtime, &name, &inputs, steps).await?;
        let at = |part: usize| {
            let index = times.len() * part / 100;
            times.get(index).copied().unwrap_or_default()
        };
        println!(
            "{what}, {steps} times: median {:?}, 10 % below {:?}, 90 % below {:?}",
            at(50),
            at(10),
            at(90)
        );
    }
    Ok(())
}

/// Compiles a component, unless that was done before, and says how the cache calls it.
fn load(target: &Path, file: &Path) -> Result<String, Box<dyn Error>> {
    let wasm = std::fs::read(file)?;
    let info = inspect(&wasm)?;
    let cache = CompileCache::open(&target.join("cache"))?;
    let name = digest(&wasm);
    let start = Instant::now();
    cache.store(&name, &compile(&wasm)?)?;
    println!(
        "{}: {} bytes, compiled in {:?}",
        info.manifest.names().collect::<Vec<_>>().join(", "),
        wasm.len(),
        start.elapsed()
    );
    Ok(name)
}

/// How long steps took, in order.
async fn measure(
    runtime: &Runtime,
    name: &str,
    inputs: &serde_json::Value,
    steps: usize,
) -> Result<Vec<Duration>, Box<dyn Error>> {
    let (_keep, cancel) = tokio::sync::watch::channel(false);
    let mut times: Vec<Duration> = Vec::with_capacity(steps);
    for turn in 0..steps + steps / 10 {
        let request = request(name, inputs);
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
    Ok(times)
}
