//! Documents as people write them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

use std::collections::BTreeMap;

use capstan_document::{Document, Platform, PreconditionOutcome, StoredParameter, output_folders};
use serde_json::{Value, json};

fn arguments(value: &Value) -> BTreeMap<String, Value> {
    value
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

#[test]
fn every_problem_is_told_at_once_with_its_place() {
    let text = "schemaVersion: 2.2\ndescripton: x\nparameters:\n  A: { type: Strng }\nmainSteps:\n  - action: aws:runShelScript\n    name: a b\n  - name: c\n    actoin: aws:runShellScript\n    inputs: [1]\n";
    let problems = Document::parse(text, "d.yaml").unwrap_err().to_string();
    for expected in [
        "d.yaml:1:16",
        "write it in quotes: '2.2'",
        "d.yaml:2:1",
        "did you mean `description`?",
        "d.yaml:4:14",
        "did you mean `String`?",
        "d.yaml:6:13",
        "did you mean `aws:runShellScript`?",
        "d.yaml:7:11",
        "d.yaml:9:5",
        "did you mean `action`?",
        "d.yaml:10:13",
    ] {
        assert!(
            problems.contains(expected),
            "{expected} is not in\n{problems}"
        );
    }
}

#[test]
fn other_schemas_are_named() {
    for (version, expected) in [
        ("0.3", "automation runbook"),
        ("1.0", "session"),
        ("2.1", "withdrawn"),
        ("9", "no schema 9"),
    ] {
        let text = format!("schemaVersion: '{version}'\nmainSteps: []\n");
        let problems = Document::parse(&text, "d").unwrap_err().to_string();
        assert!(problems.contains(expected), "{problems}");
    }
}

#[test]
fn schema_1_2_runs_its_property_sets_in_order() {
    let text = json!({
        "schemaVersion": "1.2",
        "parameters": { "commands": { "type": "StringList" } },
        "runtimeConfig": { "aws:runShellScript": { "properties": [
            { "id": "0.aws:runShellScript", "runCommand": "{{ commands }}" },
            { "runCommand": ["second"] },
        ] } },
    });
    let document = Document::parse(&text.to_string(), "d").unwrap();
    let bound = document
        .bind(&arguments(&json!({ "commands": ["a", "b"] })))
        .unwrap();
    let resolved = bound.resolve(&BTreeMap::new()).unwrap();
    assert_eq!(resolved.steps[0].name, "0.awsrunShellScript");
    assert_eq!(resolved.steps[0].inputs[0]["runCommand"], json!(["a", "b"]));
    assert_eq!(resolved.steps[1].name, "1.awsrunShellScript");
}

#[test]
fn callers_values_are_checked_and_defaults_are_not() {
    let text = "schemaVersion: '2.2'\nparameters:\n  N: { type: Integer, default: 3 }\n  S: { type: String, allowedPattern: '^a+$', default: zzz, maxChars: 3 }\n  L: { type: StringList, allowedValues: [x, y], default: [] , maxItems: 2}\n  B: { type: Boolean, default: false }\n  M: { type: StringMap, default: {} }\n  R: { type: String }\nmainSteps:\n  - { name: a, action: 'aws:runShellScript', inputs: { runCommand: ['{{ N }} {{ B }} {{ M }}'] } }\n";
    let document = Document::parse(text, "d").unwrap();
    assert!(
        document
            .lint()
            .to_string()
            .contains("does not pass its own rules")
    );
    let bound = document
        .bind(&arguments(
            &json!({ "R": ["r"], "N": ["5"], "M": ["{\"k\":\"v\"}"] }),
        ))
        .unwrap();
    assert_eq!(bound.parameters()["N"], json!(5));
    let resolved = bound.resolve(&BTreeMap::new()).unwrap();
    assert_eq!(
        resolved.steps[0].inputs[0]["runCommand"],
        json!(["5 false {\"k\":\"v\"}"])
    );
    for (values, expected) in [
        (json!({}), "needs a value"),
        (json!({ "R": "r", "S": "b" }), "does not match"),
        (json!({ "R": "r", "S": "aaaa" }), "longer than 3"),
        (json!({ "R": "r", "N": "x" }), "not a whole number"),
        (json!({ "R": "r", "B": "maybe" }), "neither true nor false"),
        (json!({ "R": "r", "L": ["z"] }), "not one of"),
        (json!({ "R": "r", "L": ["x", "y", "x"] }), "more than 2"),
        (json!({ "R": "r", "M": "x" }), "not JSON"),
        (json!({ "R": "r", "Z": "x" }), "no parameter `Z`"),
    ] {
        let problems = document.bind(&arguments(&values)).unwrap_err().to_string();
        assert!(problems.contains(expected), "{values}: {problems}");
    }
}

#[test]
fn environment_parameters_are_not_pasted() {
    let text = "schemaVersion: '2.2'\nparameters:\n  Name: { type: String, interpolationType: ENV_VAR }\nmainSteps:\n  - { name: a, action: 'aws:runShellScript', inputs: { workingDirectory: '/srv/{{ Name }}', runCommand: ['echo \"{{ Name }}\"'] } }\n";
    let document = Document::parse(text, "d").unwrap();
    assert!(!document.lint().to_string().contains("shell-injection"));
    let resolved = document
        .bind(&arguments(&json!({ "Name": "$(id)" })))
        .unwrap()
        .resolve(&BTreeMap::new())
        .unwrap();
    assert_eq!(
        resolved.steps[0].inputs[0]["runCommand"],
        json!(["echo \"${SSM_Name}\""])
    );
    assert_eq!(
        resolved.steps[0].inputs[0]["workingDirectory"],
        json!("/srv/$(id)")
    );
    assert_eq!(resolved.steps[0].environment["SSM_Name"], "$(id)");
}

#[test]
fn stored_parameters_are_put_in() {
    let text = "schemaVersion: '2.2'\nmainSteps:\n  - { name: a, action: 'aws:runShellScript', inputs: { runCommand: ['echo {{ ssm:/a }}', '{{ssm:/list}}', 'x {{ ssm:/secret }} {{ ssm:/none }} {{ ssm:/list }}'] } }\n";
    let document = Document::parse(text, "d").unwrap();
    let bound = document.bind(&BTreeMap::new()).unwrap();
    assert_eq!(
        bound.parameter_store_references(),
        ["/a", "/list", "/none", "/secret"]
    );
    let store = BTreeMap::from([
        ("/a".to_owned(), StoredParameter::String("A".into())),
        (
            "/list".to_owned(),
            StoredParameter::StringList(vec!["l1".into(), "l2".into()]),
        ),
        ("/secret".to_owned(), StoredParameter::SecureString),
    ]);
    let problems = bound.resolve(&store).unwrap_err().to_string();
    for expected in ["SecureString", "does not exist", "whole element"] {
        assert!(problems.contains(expected), "{problems}");
    }
}

#[test]
fn preconditions_are_decided_as_the_agent_does() {
    use PreconditionOutcome::{Met, NotMet, Unrecognized};
    for (precondition, expected) in [
        (json!({ "StringEquals": ["platformType", "Linux"] }), "met"),
        (json!({ "StringEquals": ["linux", "platformType"] }), "met"),
        (
            json!({ "StringEquals": ["platformType", "Windows"] }),
            "not",
        ),
        (json!({ "StringEquals": ["{{ Mode }}", "install"] }), "met"),
        (json!({ "StringEquals": ["{{ Mode }}", "Install"] }), "not"),
        (
            json!({ "StringEquals": ["{{ Mode }}", "{{ Mode }}"] }),
            "bad",
        ),
        (json!({ "StringEquals": ["a", "b"] }), "bad"),
        (json!({ "StringEquals": ["platformType"] }), "bad"),
        (json!({ "StringLike": ["platformType", "Linux"] }), "bad"),
        (
            json!({ "StringEquals": ["platformType", "{{ Mode }}"] }),
            "bad",
        ),
        (json!({ "StringEquals": ["{{ ssm:x }}", "install"] }), "bad"),
    ] {
        for version in ["2.2", "2.0"] {
            let text = json!({
                "schemaVersion": version,
                "parameters": { "Mode": { "type": "String", "default": "install" } },
                "mainSteps": [{ "name": "a", "action": "aws:runShellScript", "precondition": precondition, "inputs": {} }],
            });
            let document = Document::parse(&text.to_string(), "d").unwrap();
            let resolved = document
                .bind(&BTreeMap::new())
                .unwrap()
                .resolve(&BTreeMap::new())
                .unwrap();
            let outcome = match resolved.steps[0].precondition.evaluate(Platform::Linux) {
                Met => "met",
                NotMet(_) => "not",
                Unrecognized(_) => "bad",
            };
            assert_eq!(
                outcome,
                if version == "2.0" { "bad" } else { expected },
                "{precondition} {version}"
            );
        }
    }
}

#[test]
fn the_lint_tells_what_surprises() {
    let text = "schemaVersion: '2.2'\nparameters:\n  P: { type: String }\nmainSteps:\n  - { name: a, action: 'aws:runShellScript', timeoutSeconds: 5, inputs: { runCommand: ['for i in {1..3}; do echo {{ P }} {{ Q }}; done'] } }\n  - { name: b, action: 'aws:runShellScript', inputs: { runCommand: ['true'] } }\n";
    let lints = Document::parse(text, "d").unwrap().lint().to_string();
    for code in [
        "ignored-field",
        "failure-goes-on",
        "bash-syntax",
        "shell-injection",
        "undeclared-reference",
    ] {
        assert!(lints.contains(code), "{code} is not in\n{lints}");
    }
}

#[test]
fn damaged_documents_never_panic() {
    let text = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../examples/deploy/deploy.yaml"
    ))
    .unwrap();
    let bytes = text.as_bytes();
    let mut seed = 1_u64;
    for _ in 0..2_000 {
        let mut damaged = bytes.to_vec();
        for _ in 0..3 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let at = usize::try_from(seed >> 33).unwrap() % damaged.len();
            match seed % 4 {
                0 => drop(damaged.remove(at)),
                1 => damaged.insert(
                    at,
                    b"{}[]:-#&*!|>'\"% \n\t"[usize::try_from(seed >> 40).unwrap() % 18],
                ),
                2 => damaged[at] = b' ',
                _ => damaged.truncate(at.max(1)),
            }
        }
        if let Ok(text) = String::from_utf8(damaged)
            && let Ok(document) = Document::parse(&text, "d")
        {
            let _ = document
                .bind(&BTreeMap::new())
                .map(|bound| bound.resolve(&BTreeMap::new()));
        }
    }
}

fn store(entries: &[(&str, &str)]) -> BTreeMap<String, StoredParameter> {
    entries
        .iter()
        .map(|(name, value)| {
            (
                (*name).to_owned(),
                StoredParameter::String((*value).to_owned()),
            )
        })
        .collect()
}

#[test]
fn a_reference_to_the_store_switches_no_rule_off() {
    for (rule, value, refused) in [
        (
            json!({ "allowedPattern": "^[a-z]+$" }),
            "x; reboot {{ssm:",
            true,
        ),
        (
            json!({ "allowedPattern": "^[a-z]+$" }),
            "{{ssm:/good}}",
            true,
        ),
        (
            json!({ "allowedPattern": "ssm|^a" }),
            "{{ssm:/good}}",
            false,
        ),
        (json!({ "allowedPattern": "ssm|^a" }), "{{ssm:/bad}}", true),
        (json!({ "allowedValues": ["a"] }), "x {{ssm:", true),
        (json!({ "allowedValues": ["a"] }), "{{ ssm:", true),
        (json!({ "allowedValues": ["a"] }), "{{ssm:/good}}", false),
        (json!({ "allowedValues": ["a"] }), "{{ ssm:/bad }}", true),
        (json!({ "maxChars": 3 }), "long {{ssm:", true),
        (json!({ "maxChars": 3 }), "{{ssm:/good}}", false),
        (json!({ "maxChars": 3 }), "{{ssm:/bad}}", true),
        (json!({ "minChars": 2 }), "{{ssm:/good}}", true),
    ] {
        let mut parameter = rule.clone();
        parameter["type"] = json!("String");
        let text = json!({
            "schemaVersion": "2.2",
            "parameters": { "P": parameter },
            "mainSteps": [{ "name": "a", "action": "aws:runShellScript", "inputs": { "runCommand": ["echo {{ P }}"] } }],
        });
        let document = Document::parse(&text.to_string(), "d").unwrap();
        let outcome = document
            .bind(&arguments(&json!({ "P": value })))
            .and_then(|bound| bound.resolve(&store(&[("/good", "a"), ("/bad", "$(reboot)")])));
        assert_eq!(outcome.is_err(), refused, "{rule} {value}: {outcome:?}");
    }
}

#[test]
fn environment_parameters_come_from_the_store() {
    let text = "schemaVersion: '2.2'\nparameters:\n  Name: { type: String, interpolationType: ENV_VAR, default: '{{ssm:/name}}' }\nmainSteps:\n  - { name: a, action: 'aws:runShellScript', inputs: { runCommand: ['echo \"{{ Name }}\"'] } }\n";
    let document = Document::parse(text, "d").unwrap();
    for values in [json!({}), json!({ "Name": "{{ ssm:/name }}" })] {
        let bound = document.bind(&arguments(&values)).unwrap();
        assert_eq!(bound.parameter_store_references(), ["/name"]);
        let resolved = bound
            .clone()
            .resolve(&store(&[("/name", "$(id)")]))
            .unwrap();
        assert_eq!(resolved.steps[0].environment["SSM_Name"], "$(id)");
        assert_eq!(
            resolved.steps[0].inputs[0]["runCommand"],
            json!(["echo \"${SSM_Name}\""])
        );
        let problems = bound.resolve(&BTreeMap::new()).unwrap_err().to_string();
        assert!(problems.contains("SSM_Name"), "{problems}");
    }
}

#[test]
fn every_type_that_holds_text_is_an_injection() {
    for (kind, expected) in [
        ("String", true),
        ("StringList", true),
        ("StringMap", true),
        ("MapList", true),
        ("Integer", false),
        ("Boolean", false),
    ] {
        let text = json!({
            "schemaVersion": "2.2",
            "parameters": { "P": { "type": kind } },
            "mainSteps": [{ "name": "a", "action": "aws:runShellScript", "inputs": { "runCommand": ["echo {{ P }}"] } }],
        });
        let lints = Document::parse(&text.to_string(), "d")
            .unwrap()
            .lint()
            .to_string();
        assert_eq!(
            lints.contains("shell-injection"),
            expected,
            "{kind}: {lints}"
        );
    }
}

#[test]
fn names_of_other_makers_are_no_typos() {
    for (action, expected) in [
        ("ibm:runShellScript", None),
        ("my:runShellScripts", None),
        (
            "aws:runShelScript",
            Some("did you mean `aws:runShellScript`?"),
        ),
        ("runShellScript", Some("did you mean `aws:runShellScript`?")),
        ("shell", Some("is no action")),
    ] {
        let new = json!({
            "schemaVersion": "2.2",
            "mainSteps": [{ "name": "a", "action": action, "inputs": {} }],
        });
        let old = json!({
            "schemaVersion": "1.2",
            "runtimeConfig": { action: { "properties": {} } },
        });
        for text in [new, old] {
            let problems = Document::parse(&text.to_string(), "d")
                .err()
                .map(|problems| problems.to_string());
            match expected {
                Some(expected) => assert!(problems.unwrap().contains(expected), "{text}"),
                None => assert_eq!(problems, None, "{text}"),
            }
        }
    }
}

#[test]
fn a_field_without_a_value_is_absent() {
    let text = "schemaVersion: '2.2'\ndescription:\nparameters:\n  P:\n    type: String\n    description:\n    allowedValues:\n    allowedPattern:\n    minChars:\n    maxItems:\n    interpolationType:\n    default: x\nmainSteps:\n  - name: a\n    action: aws:runShellScript\n    precondition:\n    capabilities:\n    inputs: { runCommand: ['{{ P }} y'] }\n";
    let resolved = Document::parse(text, "d")
        .unwrap()
        .bind(&BTreeMap::new())
        .unwrap()
        .resolve(&BTreeMap::new())
        .unwrap();
    assert_eq!(resolved.steps[0].inputs[0]["runCommand"], json!(["x y"]));
    assert_eq!(
        resolved.steps[0].precondition.evaluate(Platform::Linux),
        PreconditionOutcome::Met
    );
    assert_eq!(resolved.steps[0].capabilities, None);
}

fn shell_schema(action: &str) -> Option<Value> {
    match action {
        "aws:runShellScript" => Some(json!({
            "required": ["runCommand"],
            "properties": {
                "runCommand": { "type": ["array", "string"] },
                "workingDirectory": { "type": "string" },
                "timeoutSeconds": { "type": ["string", "integer"] },
                "environment": { "type": "object" },
            },
        })),
        "test:strict" => Some(json!({
            "additionalProperties": false,
            "properties": { "mode": { "enum": ["Install", "Uninstall"] }, "fast": { "type": "boolean" } },
        })),
        "test:free" => Some(Value::Null),
        _ => None,
    }
}

#[test]
fn inputs_are_checked_against_their_action() {
    for (action, inputs, expected) in [
        (
            "aws:runShellScript",
            "{ runComand: [x] }",
            &[
                "4:24: warning[unknown-input]",
                "did you mean `runCommand`?",
                "4:22: error[missing-input]",
            ][..],
        ),
        (
            "aws:runShellScript",
            "{ RUNCOMMAND: x, workingDirectry: / }",
            &["did you mean `workingDirectory`?"],
        ),
        (
            "aws:runShellScript",
            "{ runCommand: { a: b } }",
            &["error[input-type]: `runCommand` is a list or text, not a mapping"],
        ),
        (
            "aws:runShellScript",
            "{ runCommand: x, environment: x, timeoutSeconds: x }",
            &["`environment` is a mapping, not text", "warning[timeout]"],
        ),
        (
            "aws:runShellScript",
            "{ runCommand: x, environment: '{{ E }}', timeoutSeconds: '{{ T }}' }",
            &[],
        ),
        (
            "aws:runShellScript",
            "{ runCommand: x, timeoutSeconds: 4 }",
            &["timeoutSeconds `4` is not taken"],
        ),
        (
            "aws:runShellScript",
            "{ runCommand: x, timeoutSeconds: '60', onFailure: exit, onSuccess: exit, finallyStep: true }",
            &[],
        ),
        (
            "aws:runShellScript",
            "{ runCommand: x, onFailure: Abort, onSuccess: Go, maxAttempts: 3 }",
            &[
                "onFailure `Abort`",
                "onSuccess `Go`",
                "`maxAttempts` is ignored",
            ],
        ),
        ("aws:runShellScript", "'{{ M }}'", &[]),
        ("aws:runShellScript", "", &["lacks the input `runCommand`"]),
        ("test:strict", "{ x: 1 }", &["error[unknown-input]"]),
        (
            "test:strict",
            "{ mode: Instal, fast: maybe }",
            &["did you mean `Install`?", "`fast` is a truth value"],
        ),
        ("test:strict", "{ mode: '{{ M }}', fast: 'true' }", &[]),
        ("test:free", "{ x: 1 }", &[]),
        (
            "ibm:runShellScript",
            "{}",
            &["no component here serves the action `ibm:runShellScript`"],
        ),
        ("aws:branch", "{}", &["is an action of automation runbooks"]),
        (
            "aws:runDockerAction",
            "{}",
            &["Capstan does not have SSM's action"],
        ),
    ] {
        let text = format!(
            "schemaVersion: '2.2'\nparameters: {{ M: {{ type: StringMap, default: {{}} }}, T: {{ type: Integer, default: 5 }}, E: {{ type: StringMap, default: {{}} }} }}\nmainSteps:\n- {{ name: a, inputs: {inputs}, action: '{action}' }}\n"
        );
        let found = Document::validate(&text, "d", &shell_schema).to_string();
        for text in expected {
            assert!(
                found.contains(*text),
                "{text} is not in\n{found}\n{action} {inputs}"
            );
        }
        assert_eq!(
            found.is_empty(),
            expected.is_empty(),
            "{action} {inputs}: {found}"
        );
    }
}

#[test]
fn everything_is_told_at_once() {
    let text = "schemaVersion: '9'\nschemaVersion: '2.2'\nparameters:\n  P: { type: String }\n  P: { type: Strng }\nmainSteps:\n- { name: a, action: 'aws:runShelScript', timeoutSeconds: 5, inputs: {} }\n- { name: b, action: 'aws:runShellScript', inputs: { runComand: [x] } }\n";
    let found = Document::validate(text, "d", &shell_schema).to_string();
    for expected in [
        "d:1:16: error[schema-version]",
        "d:2:1: error[duplicate-key]",
        "d:5:3: error[duplicate-key]",
        "error[unknown-action]",
        "warning[ignored-field]",
        "warning[unknown-input]",
        "error[missing-input]",
    ] {
        assert!(found.contains(expected), "{expected} is not in\n{found}");
    }
    // What keeps a document from running is told alone when it is to be run.
    let problems = Document::parse(text, "d").unwrap_err().to_string();
    assert!(!problems.contains("warning"), "{problems}");
}

#[test]
fn preconditions_that_never_hold_are_told() {
    for (precondition, expected) in [
        (json!({ "StringEquals": ["platformType", "Windows"] }), None),
        (json!({ "StringEquals": ["{{ Mode }}", "x"] }), None),
        (
            json!({ "StringEquals": ["platformType"] }),
            Some("two arguments"),
        ),
        (
            json!({ "StringLike": ["platformType", "L*"] }),
            Some("StringEquals"),
        ),
        (
            json!({ "StringEquals": ["a", "b"] }),
            Some("holds a parameter"),
        ),
        (
            json!({ "StringEquals": ["{{ Nope }}", "x"] }),
            Some("`Nope`"),
        ),
    ] {
        let text = json!({
            "schemaVersion": "2.2",
            "parameters": { "Mode": { "type": "String", "default": "x" } },
            "mainSteps": [{ "name": "a", "action": "aws:runShellScript", "precondition": precondition, "inputs": {} }],
        });
        let document = Document::parse(&text.to_string(), "d").unwrap();
        let lints = document.lint().to_string();
        let resolved = document
            .bind(&BTreeMap::new())
            .unwrap()
            .resolve(&BTreeMap::new())
            .unwrap();
        let outcome = resolved.steps[0].precondition.evaluate(Platform::Linux);
        let bad = matches!(outcome, PreconditionOutcome::Unrecognized(_));
        assert_eq!(bad, expected.is_some(), "{precondition}: {outcome:?}");
        match expected {
            Some(expected) => assert!(lints.contains(expected), "{precondition}: {lints}"),
            None => assert!(!lints.contains("[precondition]"), "{precondition}: {lints}"),
        }
    }
}

#[test]
fn names_that_are_no_folders_are_refused() {
    let long = "a".repeat(256);
    for name in ["", ".", "..", ":::", &long] {
        let old = json!({ "schemaVersion": "1.2", "runtimeConfig": { "aws:runShellScript": { "properties": [
            { "id": name, "runCommand": "x" }] } } });
        let problems = Document::parse(&old.to_string(), "d").unwrap_err();
        assert_eq!(problems.items[0].code, "step-name", "{name}: {problems}");
    }
    let new = json!({ "schemaVersion": "2.2", "mainSteps": [{ "name": long, "action": "aws:runShellScript" }] });
    assert!(Document::parse(&new.to_string(), "d").is_err());
}

#[test]
fn outputs_are_in_folders_of_their_action_and_step() {
    for (action, folder) in [
        ("aws:runShellScript", "awsrunShellScript"),
        ("x:/../../../etc", "x......etc"),
        ("..", "action"),
        (":", "action"),
    ] {
        assert_eq!(output_folders(action, "step"), [folder, "step"]);
    }
    let old = json!({ "schemaVersion": "1.2", "runtimeConfig": { "aws:runShellScript": { "properties": [
        { "id": "0.aws:runShellScript", "runCommand": "x" }, { "runCommand": "y" }] } } });
    let document = Document::parse(&old.to_string(), "d").unwrap();
    let names: Vec<&str> = document
        .steps()
        .iter()
        .map(|step| step.name.as_str())
        .collect();
    assert_eq!(names, ["0.awsrunShellScript", "1.awsrunShellScript"]);
}

#[test]
fn values_keep_the_form_that_their_type_needs() {
    let text = "schemaVersion: '2.2'\nparameters:\n  M: { type: MapList }\n  S: { type: String, default: 012345678901 }\n  V: { type: SecureString, default: 1.10 }\nmainSteps:\n  - { name: a, action: 'aws:runShellScript', inputs: '{{ M }}' }\n  - { name: b, action: 'aws:runShellScript', inputs: { runCommand: ['{{ S }} {{ V }}'] } }\n";
    let document = Document::parse(text, "d").unwrap();
    assert!(document.lint().to_string().contains("secure-string"));
    let sets = json!([{ "runCommand": ["x"] }, { "runCommand": ["y"] }]);
    let resolved = document
        .bind(&arguments(&json!({ "M": sets })))
        .unwrap()
        .resolve(&BTreeMap::new())
        .unwrap();
    assert_eq!(json!(resolved.steps[0].inputs), sets);
    assert_eq!(
        resolved.steps[1].inputs[0]["runCommand"],
        json!(["012345678901 1.10"])
    );
    let problems = document
        .bind(&arguments(&json!({ "M": sets, "S": [] })))
        .unwrap_err();
    assert!(problems.to_string().contains("one text is wanted"));
}
