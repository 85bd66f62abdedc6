//! `kill -9` at any point, then `--resume`: no step lost, no finished step run again.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Machine, Run, component, kill};

/// Five steps that each add a line to a log that outlives them, and then wait until they are let go.
fn five_steps(folder: &std::path::Path) -> Value {
    let steps: Vec<Value> = (1..=5)
        .map(|number| {
            json!({
                "name": format!("step{number}"),
                "action": "aws:runShellScript",
                "inputs": { "runCommand": [
                    format!("echo start{number} >> {}/log", folder.display()),
                    format!("until test -e {0}/go{number}; do sleep 0.01; done", folder.display()),
                    format!("echo end{number} >> {}/log", folder.display()),
                ] },
            })
        })
        .collect();
    json!({ "schemaVersion": "2.2", "mainSteps": steps })
}

fn policy(machine: &Machine, folder: &std::path::Path) -> String {
    let text = format!(
        "version: 1\nprofile: confined\nrules:\n  - id: log\n    grants: {{ files: [{{ path: {}, access: read-write }}] }}\n",
        folder.display()
    );
    machine.file("policy.yaml", text).display().to_string()
}

fn wait_for(path: &std::path::Path, text: &str) {
    // Bounded by the runner's own time-out for a hanging test; no fixed pause decides the outcome.
    while !std::fs::read_to_string(path).is_ok_and(|content| content.contains(text)) {
        std::thread::yield_now();
    }
}

fn resume(machine: &Machine, id: &str, policy: &str) -> Run {
    Run::of(machine.capstan([
        "run", "--output", "json", "--resume", id, "--policy", policy,
    ]))
}

#[test]
fn a_run_killed_in_any_step_goes_on_there() {
    for victim in 1..=5 {
        let machine = Machine::new();
        let folder = machine.path("shared");
        std::fs::create_dir_all(&folder).unwrap();
        let policy = policy(&machine, &folder);
        let document = machine.file("five.json", five_steps(&folder).to_string());
        for number in 1..victim {
            std::fs::write(folder.join(format!("go{number}")), "").unwrap();
        }
        let id = format!("00000000-0000-4000-8000-00000000000{victim}");
        let mut child = machine
            .command()
            .args(["run", "--run-id", &id, "--policy", &policy])
            .arg(&document)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for(&folder.join("log"), &format!("start{victim}\n"));
        kill(&mut child);

        for number in 1..=5 {
            std::fs::write(folder.join(format!("go{number}")), "").unwrap();
        }
        let run = resume(&machine, &id, &policy).success();
        assert_eq!(
            run.json["steps"].as_array().unwrap().len(),
            5,
            "{:#}",
            run.json
        );
        let log = std::fs::read_to_string(folder.join("log")).unwrap();
        for number in 1..=5 {
            let starts = log.matches(&format!("start{number}\n")).count();
            let ends = log.matches(&format!("end{number}\n")).count();
            assert_eq!(
                ends, 1,
                "step {number} ended {ends} times after a kill in step {victim}:\n{log}"
            );
            assert_eq!(
                starts,
                1 + usize::from(number == victim),
                "step {number}, kill in {victim}:\n{log}"
            );
        }
    }
}

#[test]
fn a_finished_run_is_not_run_again() {
    let machine = Machine::new();
    let run = machine
        .shell(
            "echo once",
            &["--run-id", "00000000-0000-4000-8000-000000000099"],
        )
        .success();
    assert_eq!(run.stdout(0), "once\n");
    let output = machine.capstan([
        "run",
        "--output",
        "json",
        "--resume",
        "00000000-0000-4000-8000-000000000099",
    ]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let receipts = std::fs::read_to_string(machine.state().join("receipts.jsonl")).unwrap();
    assert_eq!(receipts.lines().count(), 1);
}

#[test]
fn an_unknown_run_is_named() {
    let machine = Machine::new();
    let output = machine.capstan(["run", "--resume", "no-such-run"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no-such-run"));
}

#[test]
fn a_reboot_runs_the_same_step_again() {
    let machine = Machine::new();
    let folder = machine.path("shared");
    std::fs::create_dir_all(&folder).unwrap();
    let policy = policy(&machine, &folder);
    let mark = folder.join("mark");
    let document = json!({
        "schemaVersion": "2.2",
        "mainSteps": [
            { "name": "first", "action": "aws:runShellScript", "inputs": { "runCommand": [
                format!("echo first >> {}/log", folder.display())] } },
            { "name": "restart", "action": "aws:runShellScript", "inputs": { "runCommand": [
                format!("if test -e {0}; then echo after; exit 0; fi; touch {0}; echo before; exit 194", mark.display())] } },
            { "name": "last", "action": "aws:runShellScript", "inputs": { "runCommand": ["echo last"] } },
        ],
    });
    let id = "00000000-0000-4000-8000-000000000194";
    let run = machine.run(
        &document.to_string(),
        &["--policy", &policy, "--run-id", id],
    );
    assert_eq!(
        run.json["status"], "SuccessAndReboot",
        "{:#}\n{}",
        run.json, run.stderr
    );
    let run = resume(&machine, id, &policy).success();
    assert_eq!(
        run.stdout(1).lines().last(),
        Some("after"),
        "{:#}",
        run.json
    );
    assert_eq!(run.stdout(2), "last\n");
    assert_eq!(
        std::fs::read_to_string(folder.join("log")).unwrap(),
        "first\n"
    );
}

fn waiting_document(seconds: f64) -> Value {
    json!({
        "schemaVersion": "2.2",
        "mainSteps": [
            { "name": "wait", "action": "test:wait-a-while", "inputs": { "seconds": seconds } },
            { "name": "after", "action": "aws:runShellScript", "inputs": { "runCommand": ["echo after"] } },
        ],
    })
}

#[test]
fn a_waiting_action_is_suspended_and_resumed() {
    let machine = Machine::new();
    let component = component("wait-a-while").display().to_string();
    let run = machine
        .run(
            &waiting_document(0.2).to_string(),
            &["--component", &component],
        )
        .success();
    assert!(run.stdout(0).contains("resumed"), "{:#}", run.json);
    assert_eq!(run.stdout(1), "after\n");
}

#[test]
fn a_waiting_action_survives_the_death_of_its_host() {
    let machine = Machine::new();
    let component = component("wait-a-while").display().to_string();
    let document = machine.file("wait.json", waiting_document(3600.0).to_string());
    let id = "00000000-0000-4000-8000-000000000777";
    let mut child = machine
        .command()
        .args(["run", "--run-id", id, "--component", &component])
        .arg(&document)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(
        lines.any(|line| line.unwrap().to_lowercase().contains("waiting")),
        "the wait was not told"
    );
    kill(&mut child);

    let output = machine.capstan([
        "run",
        "--output",
        "json",
        "--resume",
        id,
        "--component",
        &component,
        "--signal",
        "continue",
    ]);
    let run = Run::of(output).success();
    assert!(run.stdout(0).contains("resumed"), "{:#}", run.json);
    assert_eq!(run.stdout(1), "after\n");
}

#[test]
fn the_first_interrupt_cancels_and_runs_the_final_step() {
    let machine = Machine::new();
    let folder = machine.path("shared");
    std::fs::create_dir_all(&folder).unwrap();
    let policy = policy(&machine, &folder);
    let document = json!({
        "schemaVersion": "2.2",
        "mainSteps": [
            { "name": "long", "action": "aws:runShellScript", "inputs": { "runCommand": [
                format!("echo started > {}/log; sleep 600", folder.display())] } },
            { "name": "skipped", "action": "aws:runShellScript", "inputs": { "runCommand": ["echo no"] } },
            { "name": "final", "action": "aws:runShellScript", "inputs": { "finallyStep": true, "runCommand": ["echo finally"] } },
        ],
    });
    let document = machine.file("long.json", document.to_string());
    let child = machine
        .command()
        .args(["run", "--output", "json", "--policy", &policy])
        .arg(&document)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(&folder.join("log"), "started");
    let interrupted = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(interrupted.success());
    let run = Run::of(child.wait_with_output().unwrap());
    assert_eq!(run.code, 130, "{:#}\n{}", run.json, run.stderr);
    assert_eq!(run.step(0)["status"], "Cancelled");
    assert_eq!(run.step(1)["status"], "Cancelled");
    assert_eq!(run.stdout(2), "finally\n");
}
