//! The built-in actions, against real files and servers.

use serde_json::{Value, json};

use crate::support::{Machine, Run};

#[test]
fn a_built_in_document_runs_by_name() {
    let machine = Machine::new();
    let output = machine.capstan([
        "run",
        "--output",
        "json",
        "AWS-RunShellScript",
        "--parameters",
        r#"commands=["echo one","echo two"]"#,
    ]);
    let run = crate::support::Run::of(output).success();
    assert_eq!(run.stdout(0), "one\ntwo\n");
}

#[test]
fn exit_codes_mean_what_they_mean_to_ssm() {
    for (code, exit, status, second_runs) in [
        (0, 0, "Success", true),
        (7, 1, "Failed", true),
        (168, 0, "Success", false),
        (169, 1, "Failed", false),
    ] {
        let machine = Machine::new();
        let document = json!({
            "schemaVersion": "2.2",
            "mainSteps": [
                { "name": "first", "action": "aws:runShellScript", "inputs": { "runCommand": [format!("exit {code}")] } },
                { "name": "second", "action": "aws:runShellScript", "inputs": { "runCommand": ["echo second"] } },
            ],
        });
        let run = machine.run(&document.to_string(), &[]).expect(exit, status);
        assert_eq!(
            run.stdout(1) == "second\n",
            second_runs,
            "{code}: {:#}",
            run.json
        );
    }
}

#[test]
fn a_nested_document_gets_no_more_than_its_caller() {
    let machine = Machine::new();
    let folder = machine.path("shared");
    std::fs::create_dir_all(&folder).unwrap();
    let inner = json!({
        "schemaVersion": "2.2",
        "parameters": { "Word": { "type": "String" } },
        "mainSteps": [{ "name": "inner", "action": "aws:runShellScript", "inputs": { "runCommand": [
            "echo inner {{ Word }}", format!("echo x > {}/inner", folder.display())] } }],
    });
    let inner = machine.file("shared/inner.json", inner.to_string());
    let outer = json!({
        "schemaVersion": "2.2",
        "mainSteps": [{ "name": "outer", "action": "aws:runDocument", "inputs": {
            "documentType": "LocalPath", "documentPath": inner, "documentParameters": { "Word": "speaks" } } }],
    });
    let policy = |match_document: &str| {
        let text = format!(
            "version: 1\nrules:\n  - id: read\n    grants: {{ files: [{{ path: {0}, access: read }}], documents: [\"*\"] }}\n  - id: write\n    match: {{ document: \"{match_document}\" }}\n    grants: {{ files: [{{ path: {0}, access: read-write }}] }}\n",
            folder.display()
        );
        machine.file("policy.yaml", text).display().to_string()
    };
    let run = machine
        .run(&outer.to_string(), &["--policy", &policy("*")])
        .success();
    assert!(run.stdout(0).contains("inner speaks"), "{:#}", run.json);
    std::fs::remove_file(folder.join("inner")).unwrap();
    let run = machine.run(&outer.to_string(), &["--policy", &policy("inner*")]);
    assert_ne!(run.code, 0, "{:#}", run.json);
    assert!(!folder.join("inner").exists());
}

#[test]
fn parameters_of_the_local_store_are_resolved() {
    let machine = Machine::new();
    let put = machine.capstan([
        "parameter",
        "put",
        "/app/word",
        "--value",
        "hello",
        "--type",
        "String",
    ]);
    assert!(
        put.status.success(),
        "{}",
        String::from_utf8_lossy(&put.stderr)
    );
    let run = machine.shell("echo {{ ssm:/app/word }}", &[]).success();
    assert_eq!(run.stdout(0), "hello\n");
    let run = machine.shell("echo {{ ssm:/app/missing }}", &[]);
    assert_eq!(run.code, 2, "{:#}\n{}", run.json, run.stderr);
    assert!(run.stderr.contains("/app/missing"));
}

#[test]
fn a_missing_powershell_is_named() {
    if crate::support::has("pwsh") {
        return;
    }
    let machine = Machine::new();
    let document = json!({
        "schemaVersion": "2.2",
        "mainSteps": [{ "name": "ps", "action": "aws:runPowerShellScript", "inputs": { "runCommand": ["1"] } }],
    });
    let run = machine.run(&document.to_string(), &[]).expect(1, "Failed");
    assert!(run.json.to_string().contains("pwsh"), "{:#}", run.json);
}

#[test]
fn run_document_fetches_what_it_runs() {
    let machine = Machine::new();
    let inner = json!({
        "schemaVersion": "2.2",
        "parameters": { "Word": { "type": "String" }, "Count": { "type": "Integer", "default": 1 } },
        "mainSteps": [{ "name": "say", "action": "aws:runShellScript", "inputs": { "runCommand": [
            "echo inner {{ Word }} {{ Count }}"] } }],
    })
    .to_string();
    machine.file("state/documents/own.json", &inner);
    // The state folder has to be this user's alone.
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(machine.state(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let served = inner.clone();
    let server = crate::support::HttpServer::start(move |_| {
        crate::support::HttpResponse::ok(served.clone())
    });
    let policy = machine.file(
        "policy.yaml",
        format!(
            "version: 1\nrules:\n  - id: fetch\n    grants: {{ documents: [own], hosts: [\"{}\"] }}\n",
            server.url("/own.json")
        ),
    );
    let policy = policy.display().to_string();
    let run = |parameters: Value| {
        let file = machine.file("parameters.json", parameters.to_string());
        let parameters = format!("file://{}", file.display());
        let arguments = [
            "run",
            "--output",
            "json",
            "AWS-RunDocument",
            "--policy",
            &policy,
        ];
        Run::of(machine.capstan(arguments.iter().chain(&["--parameters", &parameters])))
    };
    // As AWS takes them: JSON text in a list of one, and documentParameters as YAML.
    let stored = run(json!({
        "sourceType": ["SSMDocument"],
        "sourceInfo": ["{\"name\": \"own\"}"],
        "documentParameters": ["{\"Word\": \"speaks\", \"Count\": 2}"],
    }))
    .success();
    assert!(
        stored.stdout(1).contains("inner speaks 2"),
        "{:#}",
        stored.json
    );
    let fetched = run(json!({
        "sourceType": ["HTTP"],
        "sourceInfo": [json!({ "url": server.url("/own.json"), "allowInsecureDownload": "true" }).to_string()],
        "documentParameters": ["{\"Word\": \"comes\"}"],
    }))
    .success();
    assert!(
        fetched.stdout(1).contains("inner comes 1"),
        "{:#}",
        fetched.json
    );
    // Whole outputs are where the result says.
    let path = fetched.step(1)["stdoutPath"].as_str().unwrap();
    assert!(
        std::fs::read_to_string(path)
            .unwrap()
            .contains("inner comes 1")
    );

    let missing = run(json!({
        "sourceType": ["SSMDocument"],
        "sourceInfo": ["{\"name\": \"own:7\"}"],
    }));
    assert!(
        missing.json.to_string().contains("version 7"),
        "{:#}",
        missing.json
    );
    assert_eq!(missing.step(1)["status"], "Skipped");
}

#[test]
fn inputs_of_the_wrong_type_are_refused_by_name() {
    let machine = Machine::new();
    for (action, inputs, word) in [
        (
            "aws:downloadContent",
            json!({ "sourceType": "HTTP", "sourceInfo": { "url": "https://x/" }, "destinationPath": ["a"] }),
            "destinationPath",
        ),
        (
            "aws:runShellScript",
            json!({ "runCommand": ["true"], "workingDirectory": ["a"] }),
            "workingDirectory",
        ),
        (
            "aws:runShellScript",
            json!({ "runCommand": ["true"], "environment": ["A=1"] }),
            "environment",
        ),
    ] {
        let document = json!({
            "schemaVersion": "2.2",
            "mainSteps": [{ "name": "step", "action": action, "inputs": inputs }],
        });
        let policy = machine.file(
            "policy.yaml",
            "version: 1\nrules:\n  - id: t\n    grants: { hosts: [\"https://x\"] }\n",
        );
        let run = machine.run(
            &document.to_string(),
            &["--policy", &policy.display().to_string()],
        );
        assert_ne!(run.code, 0, "{word}");
        assert!(
            (run.json.to_string() + &run.stderr).contains(word),
            "{word}\n{:#}\n{}",
            run.json,
            run.stderr
        );
    }
    let document = json!({
        "schemaVersion": "2.2",
        "mainSteps": [{ "name": "step", "action": "aws:runShellScript", "inputs": {
            "runCommand": ["echo ${A-unset} ${B-unset}"], "environment": { "A": "x", "B": null } } }],
    });
    let run = machine.run(&document.to_string(), &[]).success();
    assert_eq!(run.stdout(0), "x unset\n");
}
