//! Components and scripts that never stop by themselves are stopped, with a status detail of their own, and the
//! next step is not disturbed.

use serde_json::json;

use crate::support::{Machine, Run, component};

fn run_beside_a_good_step(name: &str, limits: &str, status: &str) -> Run {
    let machine = Machine::new();
    let policy = machine.file(
        "policy.yaml",
        format!("version: 1\nprofile: confined\nlimits: {{ {limits} }}\n"),
    );
    let document = json!({
        "schemaVersion": "2.2",
        "mainSteps": [
            { "name": "bad", "action": format!("test:{name}"), "inputs": {} },
            { "name": "good", "action": "aws:runShellScript", "inputs": { "runCommand": ["echo fine"] } },
        ],
    });
    let component = component(name);
    let run = machine
        .run(
            &document.to_string(),
            &[
                "--policy",
                &policy.display().to_string(),
                "--component",
                &component.display().to_string(),
            ],
        )
        .expect(1, status);
    assert_eq!(run.stdout(1), "fine\n", "{:#}", run.json);
    assert_eq!(run.step(1)["status"], "Success");
    run
}

#[track_caller]
fn stopped_with(run: &Run, detail: &str) {
    assert_eq!(run.step(0)["statusDetail"], detail, "{:#}", run.json);
}

#[test]
fn a_loop_without_end_runs_out_of_fuel() {
    let run = run_beside_a_good_step("loop-forever", "fuel: 2000000000", "Failed");
    stopped_with(&run, "FuelExhausted");
}

#[test]
fn a_loop_without_end_runs_out_of_time() {
    let run = run_beside_a_good_step("loop-forever", "wall: 300ms", "TimedOut");
    stopped_with(&run, "ExecutionTimedOut");
    assert_eq!(run.step(0)["status"], "TimedOut");
}

#[test]
fn host_calls_without_end_are_stopped_like_a_loop() {
    let run = run_beside_a_good_step("call-forever", "fuel: 200000000", "Failed");
    stopped_with(&run, "FuelExhausted");
    assert_eq!(run.step(0)["fuelUsed"], 200_000_000);
    let run = run_beside_a_good_step("call-forever", "wall: 300ms", "TimedOut");
    stopped_with(&run, "ExecutionTimedOut");
}

#[test]
fn recursion_without_end_overflows_its_own_stack() {
    let run = run_beside_a_good_step("recurse-forever", "fuel: 100000000000", "Failed");
    stopped_with(&run, "StackOverflow");
}

#[test]
fn memory_without_end_is_refused_at_the_limit() {
    let run = run_beside_a_good_step("grow-memory", "memory: 64MiB", "Failed");
    stopped_with(&run, "MemoryLimitExceeded");
    assert!(run.step(0)["peakMemoryBytes"].as_u64().unwrap() <= 64 << 20);
}

#[test]
fn output_without_end_is_cut_at_the_limit() {
    let run = run_beside_a_good_step("print-forever", "output: 1MiB", "Failed");
    stopped_with(&run, "OutputLimitExceeded");
}

fn script(script: &str, limits: &str) -> Run {
    let machine = Machine::new();
    let policy = machine.file(
        "policy.yaml",
        format!("version: 1\nprofile: confined\nlimits: {{ {limits} }}\n"),
    );
    let document = json!({
        "schemaVersion": "2.2",
        "mainSteps": [
            { "name": "bad", "action": "aws:runShellScript", "inputs": { "runCommand": [script], "timeoutSeconds": 60 } },
            { "name": "good", "action": "aws:runShellScript", "inputs": { "runCommand": ["echo fine"] } },
        ],
    });
    let run = machine
        .run(
            &document.to_string(),
            &["--policy", &policy.display().to_string()],
        )
        .expect(1, "Failed");
    assert_eq!(run.stdout(1), "fine\n", "{:#}", run.json);
    run
}

#[test]
fn a_script_that_prints_forever_is_stopped() {
    let run = script("yes", "output: 1MiB");
    stopped_with(&run, "OutputLimitExceeded");
}

#[test]
fn a_script_cannot_fill_the_disk() {
    script("head -c 50000000 /dev/zero > file", "disk: 10MiB");
    let run = script(
        "i=0; while :; do i=$((i+1)); head -c 1000000 /dev/zero > file$i || exit 1; done",
        "disk: 10MiB",
    );
    stopped_with(&run, "DiskLimitExceeded");
}

#[test]
fn a_script_cannot_fork_without_end() {
    let run = script(
        "i=0; while [ $i -lt 200 ]; do sleep 30 & i=$((i+1)); done; echo started all; wait",
        "processes: 20",
    );
    assert!(!run.stdout(0).contains("started all"), "{:#}", run.json);
}

#[test]
fn a_script_cannot_use_more_memory_than_its_limit() {
    let run = script(
        "head -c 400000000 /dev/zero | tail -c 400000000 | wc -c | grep 400000000",
        "childMemory: 100MiB",
    );
    assert_ne!(run.step(0)["status"], "Success");
}

#[test]
fn child_cpu_time_is_charged_in_fuel() {
    let run = script("while :; do :; done", "fuel: 5000000000");
    stopped_with(&run, "FuelExhausted");
}

#[test]
fn a_script_past_its_timeout_is_timed_out() {
    let machine = Machine::new();
    let document = json!({
        "schemaVersion": "2.2",
        "mainSteps": [{ "name": "slow", "action": "aws:runShellScript",
            "inputs": { "runCommand": ["echo before; sleep 600"], "timeoutSeconds": "5" } }],
    });
    let run = machine.run(&document.to_string(), &[]);
    assert_eq!(run.code, 1);
    assert_eq!(run.json["status"], "TimedOut");
    assert_eq!(run.stdout(0), "before\n");
}

#[test]
fn a_component_that_was_granted_nothing_gets_refusals_as_values() {
    let machine = Machine::new();
    let component = component("denied-calls");
    let document = json!({
        "schemaVersion": "2.2",
        "mainSteps": [{ "name": "probe", "action": "test:denied-calls", "inputs": {} }],
    });
    let run = machine
        .run(
            &document.to_string(),
            &["--component", &component.display().to_string()],
        )
        .success();
    let denials = run.step(0)["denials"].as_array().unwrap();
    assert!(denials.len() >= 3, "{:#}", run.json);
    // Only what was refused is told as such.
    assert!(!run.json.to_string().contains("append"), "{:#}", run.json);
}
