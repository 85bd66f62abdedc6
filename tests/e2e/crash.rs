//! `kill -9` at any point, then `--resume`: no step lost, no finished step run again.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Machine, Run, below, component, kill};

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
        let programs = below(child.id());
        kill(&mut child);
        // They end with it, but not at the same moment, and must not see that they are let go.
        while programs
            .iter()
            .any(|pid| std::path::Path::new(&format!("/proc/{pid}")).exists())
        {
            std::thread::yield_now();
        }

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

/// Steps that each leave a line, with one among them that is suspended and resumed.
fn steps_and_a_wait(folder: &std::path::Path) -> Value {
    let shell = |name: &str, last: bool| {
        json!({ "name": name, "action": "aws:runShellScript", "inputs": {
            "finallyStep": last, "runCommand": [format!("echo {name} >> {}/log", folder.display())] } })
    };
    let wait =
        json!({ "name": "wait", "action": "test:wait-a-while", "inputs": { "seconds": 0.01 } });
    json!({ "schemaVersion": "2.2", "mainSteps": [shell("one", false), wait, shell("two", false), shell("three", true)] })
}

#[test]
fn a_run_goes_on_from_between_any_two_lines_of_its_journal() {
    let machine = Machine::new();
    let folder = machine.path("shared");
    std::fs::create_dir_all(&folder).unwrap();
    let policy = policy(&machine, &folder);
    let component = component("wait-a-while").display().to_string();
    let id = "00000000-0000-4000-8000-000000000042";
    let resume = || {
        Run::of(machine.capstan([
            "run",
            "--output",
            "json",
            "--resume",
            id,
            "--policy",
            &policy,
            "--component",
            &component,
        ]))
    };
    let document = steps_and_a_wait(&folder).to_string();
    let arguments = [
        "--run-id",
        id,
        "--policy",
        &policy,
        "--component",
        &component,
    ];
    machine.run(&document, &arguments).success();
    let path = machine.state().join("runs").join(id).join("journal.jsonl");
    let journal = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = journal.split_inclusive('\n').collect();
    let count = |event: &str, lines: &[&str]| {
        let mark = format!("{{\"event\":\"{event}\"");
        lines.iter().filter(|line| line.starts_with(&mark)).count()
    };
    assert_eq!(count("stepSuspended", &lines), 1, "{journal}");
    assert_eq!(count("stepResumed", &lines), 1, "{journal}");

    for kept in 1..=lines.len() {
        let done = count("stepFinished", &lines[..kept]);
        std::fs::write(&path, lines[..kept].concat()).unwrap();
        let _ = std::fs::remove_file(folder.join("log"));
        let run = resume().success();
        let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        let expected = ["one\n", "", "two\n", "three\n"][done..].concat();
        assert_eq!(log, expected, "{kept} of {} lines", lines.len());
        // What the waiting step printed before it was suspended is not lost with the process.
        let wait = run.stdout(1);
        assert!(
            wait.starts_with("waiting\n") && wait.contains("resumed by timer"),
            "{kept}: {wait}"
        );

        // The same, of a run that was cancelled before the process died.
        if kept < lines.len() {
            let cancelled = "{\"event\":\"cancelled\",\"at\":\"2026-01-01T00:00:00Z\"}\n";
            std::fs::write(&path, lines[..kept].concat() + cancelled).unwrap();
            let _ = std::fs::remove_file(folder.join("log"));
            let run = resume().expect(130, "Cancelled");
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            let expected = if done < 4 { "three\n" } else { "" };
            assert_eq!(log, expected, "cancelled, {kept} of {} lines", lines.len());
            for step in done..3 {
                assert_eq!(run.step(step)["status"], "Cancelled", "{kept}, step {step}");
            }
        }
    }
}

/// A clock on which every time has come as soon as somebody waits for it.
#[derive(Debug)]
struct Fast(std::sync::Mutex<jiff::Timestamp>);

#[async_trait::async_trait]
impl capstan_runner::Clock for Fast {
    fn now(&self) -> jiff::Timestamp {
        *self.0.lock().unwrap()
    }

    async fn sleep_until(&self, time: jiff::Timestamp) {
        let mut now = self.0.lock().unwrap();
        *now = time.max(*now);
    }
}

#[test]
fn a_year_passes_on_the_runners_own_clock() {
    use capstan_runner::{ActionRegistry, RunControl, RunRequest, Runner, StateFolder, StepStatus};
    struct Silent;
    impl capstan_runner::Observer for Silent {}

    let machine = Machine::new();
    let mut actions = ActionRegistry::new(&[]);
    actions.add_file(&component("wait-a-while")).unwrap();
    let state = StateFolder::open(Some(&machine.state())).unwrap();
    let mut runner = Runner::new(state, actions, capstan_policy::Policy::default());
    let start = jiff::Timestamp::now();
    let clock = std::sync::Arc::new(Fast(start.into()));
    runner.clock = std::sync::Arc::clone(&clock) as _;
    runner.program = env!("CARGO_BIN_EXE_capstan").into();
    let year = 365.0 * 86400.0;
    let document = json!({ "schemaVersion": "2.2", "mainSteps": [
        { "name": "wait", "action": "test:wait-a-while", "inputs": { "seconds": year } }] });
    let request = RunRequest {
        document: "wait".into(),
        source: document.to_string(),
        origin: "wait.json".into(),
        arguments: Default::default(),
        run_id: None,
    };
    let result = tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(std::sync::Arc::new(runner).run(
            request,
            std::sync::Arc::new(Silent),
            RunControl::default(),
        ))
        .unwrap();
    assert_eq!(result.status, StepStatus::Success, "{result:?}");
    assert!(result.steps[0].stdout.contains("resumed by timer"));
    let passed = clock.0.lock().unwrap().duration_since(start).as_secs_f64();
    assert!((year..year + 60.0).contains(&passed), "{passed}");
    let ended: jiff::Timestamp = result.ended_at.parse().unwrap();
    assert!(ended.duration_since(start).as_secs_f64() >= year);
}

#[test]
fn a_damaged_compile_cache_is_made_anew() {
    let machine = Machine::new();
    let cache = machine.path("cache");
    let run = || {
        let document = machine.file("document.json", crate::support::shell_document("echo ran"));
        let output = machine
            .command()
            .env("CAPSTAN_CACHE", &cache)
            .args(["run", "--output", "json"])
            .arg(document)
            .output()
            .unwrap();
        let run = Run::of(output).success();
        assert_eq!(run.stdout(0), "ran\n");
    };
    run();
    let code = std::fs::read_dir(&cache)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|end| end == "cwasm"))
        .unwrap();
    let whole = std::fs::read(&code).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for bad in [&[][..], &whole[..whole.len() / 2], &flipped] {
        std::fs::write(&code, bad).unwrap();
        run();
        assert_eq!(std::fs::read(&code).unwrap().len(), whole.len());
    }
}

#[test]
fn receipts_that_are_removed_between_runs_show() {
    let machine = Machine::new();
    for _ in 0..2 {
        machine.shell("true", &[]).success();
    }
    assert!(machine.capstan(["audit", "verify"]).status.success());
    let path = machine.state().join("receipts.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let first = text.split_inclusive('\n').next().unwrap();
    std::fs::write(&path, first).unwrap();
    machine.shell("true", &[]).success();
    let output = machine.capstan(["audit", "verify"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("line 2: the chain was broken"), "{told}");
}

/// A policy under which documents in the shared folder may be run and write there.
fn nesting_policy(machine: &Machine, folder: &std::path::Path) -> String {
    let text = format!(
        "version: 1\nrules:\n  - id: all\n    grants: {{ files: [{{ path: {}, access: read-write }}], documents: [\"*\"] }}\n",
        folder.display()
    );
    machine.file("policy.yaml", text).display().to_string()
}

fn shell_step(name: &str, script: String) -> Value {
    json!({ "name": name, "action": "aws:runShellScript", "inputs": { "runCommand": [script] } })
}

fn document_step(name: &str, path: &std::path::Path) -> Value {
    json!({ "name": name, "action": "aws:runDocument", "inputs": {
        "documentType": "LocalPath", "documentPath": path } })
}

fn document(steps: Vec<Value>) -> String {
    json!({ "schemaVersion": "2.2", "mainSteps": steps }).to_string()
}

#[test]
fn codes_that_end_a_nested_document_end_no_other() {
    for (code, expected, exit, word) in
        [(168, "Success", 0, "Success"), (169, "Failed", 1, "Failed")]
    {
        let machine = Machine::new();
        let folder = machine.path("shared");
        let inner = machine.file(
            "shared/inner.json",
            document(vec![
                shell_step("ends", format!("echo one; exit {code}")),
                shell_step("never", "echo never".into()),
            ]),
        );
        let policy = nesting_policy(&machine, &folder);
        let outer = document(vec![
            document_step("outer", &inner),
            shell_step("after", format!("echo after >> {}/log", folder.display())),
        ]);
        let id = format!("00000000-0000-4000-8000-000000000{code}");
        let run = machine
            .run(&outer, &["--policy", &policy, "--run-id", &id])
            .expect(exit, word);
        assert_eq!(run.step(0)["status"], expected, "{:#}", run.json);
        assert_eq!(run.step(0)["exitCode"], exit, "{:#}", run.json);
        let told = run.stdout(0).matches("the step ends the document").count();
        assert_eq!(told, 1, "{:#}", run.json);
        assert!(!run.stdout(0).contains("never"), "{:#}", run.json);
        assert_eq!(run.step(1)["status"], "Success", "{:#}", run.json);

        // The same when the process dies between the two steps.
        let path = machine.state().join("runs").join(&id).join("journal.jsonl");
        let journal = std::fs::read_to_string(&path).unwrap();
        let mut kept = String::new();
        for line in journal.split_inclusive('\n') {
            kept.push_str(line);
            if line.starts_with("{\"event\":\"stepFinished\"") {
                break;
            }
        }
        std::fs::write(&path, kept).unwrap();
        std::fs::remove_file(folder.join("log")).unwrap();
        resume(&machine, &id, &policy).expect(exit, word);
        assert!(
            folder.join("log").exists(),
            "{code}: the second step was left out"
        );
    }
}

#[test]
fn a_nested_document_goes_on_after_the_restart_that_it_asked_for() {
    let machine = Machine::new();
    let folder = machine.path("shared");
    let log = |text: &str| format!("echo {text} >> {}/log", folder.display());
    let inner = machine.file(
        "shared/inner.json",
        document(vec![
            shell_step("first", log("inner-first")),
            shell_step(
                "restart",
                format!(
                    "if test -e {0}/mark; then echo after restart; exit 0; fi; touch {0}/mark; echo before restart; exit 194",
                    folder.display()
                ),
            ),
            shell_step("last", log("inner-last")),
        ]),
    );
    let middle = machine.file(
        "shared/middle.json",
        document(vec![
            shell_step("first", log("middle-first")),
            document_step("inner", &inner),
            shell_step("last", log("middle-last")),
        ]),
    );
    let policy = nesting_policy(&machine, &folder);
    let outer = document(vec![
        document_step("outer", &middle),
        shell_step("end", log("end")),
    ]);
    let id = "00000000-0000-4000-8000-000000001940";
    let run = machine
        .run(&outer, &["--policy", &policy, "--run-id", id])
        .expect(4, "SuccessAndReboot");
    assert!(!run.stdout(0).contains("after restart"), "{:#}", run.json);
    // The document is the one that began, whatever became of its file.
    std::fs::write(&middle, document(vec![shell_step("other", log("other"))])).unwrap();
    let run = resume(&machine, id, &policy).success();
    for text in ["before restart", "after restart"] {
        assert_eq!(run.stdout(0).matches(text).count(), 1, "{:#}", run.json);
    }
    assert_eq!(
        std::fs::read_to_string(folder.join("log")).unwrap(),
        "middle-first\ninner-first\ninner-last\nmiddle-last\nend\n"
    );
}

#[test]
fn a_run_killed_in_a_nested_document_goes_on_there() {
    let machine = Machine::new();
    let folder = machine.path("shared");
    let inner = machine.file(
        "shared/inner.json",
        document(vec![
            shell_step(
                "first",
                format!(
                    "echo said by the first; echo first >> {}/log",
                    folder.display()
                ),
            ),
            shell_step(
                "second",
                format!(
                    "echo second >> {0}/log; until test -e {0}/go; do sleep 0.01; done",
                    folder.display()
                ),
            ),
        ]),
    );
    let policy = nesting_policy(&machine, &folder);
    let outer = machine.file("outer.json", document(vec![document_step("outer", &inner)]));
    let id = "00000000-0000-4000-8000-000000000909";
    let mut child = machine
        .command()
        .args(["run", "--run-id", id, "--policy", &policy])
        .arg(&outer)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for(&folder.join("log"), "second\n");
    kill(&mut child);
    std::fs::write(folder.join("go"), "").unwrap();
    let run = resume(&machine, id, &policy).success();
    assert_eq!(
        std::fs::read_to_string(folder.join("log")).unwrap(),
        "first\nsecond\nsecond\n"
    );
    assert_eq!(run.stdout(0).matches("said by the first").count(), 1);
}

#[test]
fn a_document_that_restarts_without_end_is_given_up() {
    let machine = Machine::new();
    let id = "00000000-0000-4000-8000-000000000015";
    machine
        .shell("exit 194", &["--run-id", id])
        .expect(4, "SuccessAndReboot");
    let resume = || machine.capstan(["run", "--resume", id]);
    for number in 2..=15 {
        assert_eq!(resume().status.code(), Some(4), "run {number}");
    }
    let output = resume();
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("asked for a restart of the machine 15 times"),
        "{errors}"
    );
}

#[test]
fn a_run_goes_on_with_the_stored_values_that_it_began_with() {
    let machine = Machine::new();
    let put = |value: &str| {
        let output =
            machine.capstan(["parameter", "put", "/word", "--overwrite", "--value", value]);
        assert!(output.status.success());
    };
    put("old");
    let id = "00000000-0000-4000-8000-000000000016";
    let steps = document(vec![
        shell_step(
            "restart",
            "test -e /tmp/mark && exit 0; touch /tmp/mark; exit 194".into(),
        ),
        shell_step("word", "echo {{ssm:/word}}".into()),
    ]);
    machine
        .run(&steps, &["--run-id", id])
        .expect(4, "SuccessAndReboot");
    put("new");
    assert!(
        machine
            .capstan(["parameter", "delete", "/word"])
            .status
            .success()
    );
    let run = Run::of(machine.capstan(["run", "--output", "json", "--resume", id])).success();
    assert_eq!(run.stdout(1), "old\n");
}
