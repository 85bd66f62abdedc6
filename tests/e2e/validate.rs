//! `capstan validate` and the smaller subcommands, as a user calls them.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Machine, Run, shell_document};

fn text(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn inputs_are_checked_against_the_built_in_actions() {
    let machine = Machine::new();
    let step = |action: &str, inputs: Value| {
        json!({ "schemaVersion": "2.2", "mainSteps": [{ "name": "a", "action": action, "inputs": inputs }] })
            .to_string()
    };
    for (document, code, expected) in [
        (
            step("aws:runShellScript", json!({ "runComand": ["x"] })),
            2,
            "did you mean `runCommand`?",
        ),
        (
            step(
                "aws:runShellScript",
                json!({ "runCommand": ["x"], "workingDirectry": "/" }),
            ),
            0,
            "did you mean `workingDirectory`?",
        ),
        (
            step(
                "aws:runDocument",
                json!({ "documentType": "SsmDocument", "documentPath": "x" }),
            ),
            2,
            "did you mean `SSMDocument`?",
        ),
        (
            step("aws:downloadContent", json!({ "sourceType": "S3" })),
            2,
            "lacks the input `sourceInfo`",
        ),
        (
            step("aws:executeScript", json!({})),
            0,
            "automation runbooks",
        ),
        (
            step("ibm:runShellScript", json!({})),
            0,
            "no component here serves the action `ibm:runShellScript`",
        ),
        (shell_document("true"), 0, "well formed"),
    ] {
        let file = machine.file("document.json", &document);
        let output = machine.capstan(["validate".as_ref(), file.as_os_str()]);
        let printed = text(&output);
        assert_eq!(output.status.code(), Some(code), "{document}: {printed}");
        assert!(printed.contains(expected), "{document}: {printed}");
    }
    let run = machine
        .run(&step("ibm:runShellScript", json!({})), &[])
        .expect(1, "Failed");
    assert!(run.json.to_string().contains("no component here serves"));
}

#[test]
fn every_file_is_checked_and_a_long_line_is_cut() {
    let machine = Machine::new();
    let steps: Vec<Value> = (0..800)
        .map(|_| json!({ "name": "same", "action": "aws:runShelScript", "inputs": {} }))
        .collect();
    let long = json!({ "schemaVersion": "2.2", "mainSteps": steps }).to_string();
    let bad = machine.file("bad.json", long);
    let binary = machine.file("binary.yaml", b"a: 1\nb: \xff\n");
    let files = [
        "validate".as_ref(),
        "none.yaml".as_ref(),
        bad.as_os_str(),
        binary.as_os_str(),
    ];
    let output = machine.capstan(files);
    let printed = text(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(printed.len() < 30_000, "{} bytes", printed.len());
    for expected in [
        "none.yaml: ",
        "bad.json:1:",
        "more",
        "binary.yaml:2:4",
        "0xff",
    ] {
        assert!(printed.contains(expected), "{expected} is not in {printed}");
    }
    let output = machine.capstan(
        files
            .into_iter()
            .chain(["--output".as_ref(), "json".as_ref()]),
    );
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 3);
    assert_eq!(json[0]["items"][0]["code"], "unreadable");
}

#[test]
fn a_failure_is_json_too() {
    let machine = Machine::new();
    let run = machine
        .run("schemaVersion: '9'\n", &[])
        .expect(2, "InvalidInput");
    assert!(
        run.json["message"]
            .as_str()
            .unwrap()
            .contains("no schema 9")
    );
    let binary = machine.file("binary.yaml", b"a: \xff\n");
    for command in ["run", "plan"] {
        let output = machine.capstan([
            command.as_ref(),
            "--output".as_ref(),
            "json".as_ref(),
            binary.as_os_str(),
        ]);
        let run = Run::of(output).expect(2, "InvalidInput");
        assert!(run.stderr.contains("binary.yaml:1:4"), "{}", run.stderr);
    }
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let file = machine.file("document.json", shell_document("true"));
    let output = machine
        .command()
        .args(["run", "--output", "json"])
        .arg(file)
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_ne!(output.status.code(), Some(0), "{}", text(&output));
}

#[test]
fn a_document_comes_from_a_pipe() {
    let machine = Machine::new();
    for name in ["-", "/dev/stdin"] {
        let mut child = machine
            .command()
            .args(["run", "--output", "json", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(shell_document("echo piped").as_bytes())
            .unwrap();
        let run = Run::of(child.wait_with_output().unwrap()).success();
        assert_eq!(run.stdout(0), "piped\n", "{name}");
    }
}

#[test]
fn a_parameter_is_found_by_its_label() {
    let machine = Machine::new();
    let state = machine.path("other").display().to_string();
    let file = machine.file("value", "one\n");
    let from_file = format!("file://{}", file.display());
    for (arguments, code, expected) in [
        (
            &["put", "/app/p", "--value", &from_file][..],
            0,
            "version 1",
        ),
        (
            &["put", "/app/p", "--value", "two", "--overwrite"],
            0,
            "version 2",
        ),
        (
            &["label", "/app/p", "prod", "--version", "1"],
            0,
            "version 1 is prod",
        ),
        (
            &["label", "/app/p", "prod", "--version", "9"],
            2,
            "no version 9",
        ),
        (&["label", "/app/p", "9"], 2, "is no label"),
        (&["get", "/app/p:prod"], 0, "one\n"),
        (&["list"], 0, "version 2"),
    ] {
        let all = ["parameter", "--state", &state]
            .into_iter()
            .chain(arguments.iter().copied());
        let output = machine.capstan(all);
        let printed = text(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {printed}");
        assert!(printed.contains(expected), "{arguments:?}: {printed}");
    }
    let run = machine
        .shell(
            "echo {{ssm:/app/p:prod}} {{ssm:/app/p}}",
            &["--state", &state],
        )
        .success();
    assert_eq!(run.stdout(0), "one two\n");
}

#[test]
fn help_is_printed_for_readers_who_leave() {
    let machine = Machine::new();
    for arguments in [
        &["completions", "fish"][..],
        &["man"],
        &["man", "policy", "explain"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = machine
            .command()
            .args(arguments)
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        assert_eq!(text(&output), "", "{arguments:?}");
    }
    assert!(text(&machine.capstan(["man", "parameter", "label"])).contains("labels"));
    assert_eq!(machine.capstan(["man", "nothing"]).status.code(), Some(2));
    let folder = machine.path("man");
    std::fs::create_dir_all(&folder).unwrap();
    let pages = machine.capstan(["man".as_ref(), "--dir".as_ref(), folder.as_os_str()]);
    assert!(pages.status.success(), "{}", text(&pages));
    assert!(folder.join("capstan-policy-explain.1").is_file());
    let near = machine.capstan(["action", "inspect", "aws:runShelScript"]);
    assert!(text(&near).contains("did you mean aws:runShellScript?"));
}

/// What a run of this document writes to a terminal.
fn on_a_terminal(machine: &Machine, before: &str, document: &std::path::Path) -> String {
    let line = format!(
        "{before} {} run {}",
        env!("CARGO_BIN_EXE_capstan"),
        document.display()
    );
    let output = std::process::Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .envs(
            machine
                .command()
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    text(&output)
}

#[test]
fn the_live_line_fits_the_terminal() {
    if crate::support::skips_without(&["script", "stty"]) {
        return;
    }
    let machine = Machine::new();
    let long = "x".repeat(200);
    let file = machine.file("document.json", shell_document(&format!("echo {long}")));
    let printed = on_a_terminal(&machine, "stty cols 40; TERM=xterm", &file);
    let drawn: Vec<&str> = printed
        .split("\r\u{1b}[2K")
        .skip(1)
        .map(|part| part.split(['\r', '\n']).next().unwrap_or_default())
        .filter(|part| part.contains(" s  "))
        .collect();
    assert!(drawn.iter().any(|line| line.contains("xxx")), "{printed:?}");
    for line in drawn {
        let colours = ["\u{1b}[33m", "\u{1b}[1m", "\u{1b}[0m"];
        let seen = colours
            .iter()
            .fold(line.to_owned(), |line, colour| line.replace(colour, ""));
        assert!(seen.chars().count() < 40, "{seen:?}");
    }
    let plain = on_a_terminal(&machine, "TERM=dumb", &file);
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
}
