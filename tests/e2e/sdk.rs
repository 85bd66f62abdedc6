//! Actions and collectors as plugin developers write them.

use std::path::Path;

use capstan_runtime::with_manifest;
use serde_json::{Value, json};

use crate::support::{Machine, Run, component, described};

fn run(machine: &Machine, component: &Path, action: &str, inputs: Value, grants: Value) -> Run {
    let document = json!({
        "schemaVersion": "2.2",
        "mainSteps": [{ "name": "step", "action": action, "inputs": inputs }],
    });
    let policy = machine.file(
        "policy.yaml",
        json!({ "version": 1, "rules": [{ "grants": grants }] }).to_string(),
    );
    machine.run(
        &document.to_string(),
        &[
            "--component",
            &component.display().to_string(),
            "--policy",
            &policy.display().to_string(),
        ],
    )
}

fn inspect(machine: &Machine, component: &Path) -> Value {
    let output = machine.capstan(["action", "inspect", &component.display().to_string()]);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn an_action_describes_itself_and_takes_its_inputs_as_documents_write_them() {
    let machine = Machine::new();
    let component = described(&machine, "typed-inputs");
    let manifest = &inspect(&machine, &component)["manifest"];
    assert_eq!(
        manifest["actions"],
        json!(["test:typed-inputs", "test:other-name"])
    );
    assert_eq!(manifest["version"], "1.2.3");
    assert_eq!(
        manifest["description"],
        "Greets people as often as it is told."
    );
    let schema = &manifest["inputSchema"];
    assert_eq!(
        schema["properties"]["names"]["description"],
        "Whom to greet."
    );
    assert_eq!(schema["required"], json!(["names"]));

    let inputs = json!({ "Names": "Ada", "TIMES": "2", "tone": "Warm", "signedBy": "" });
    let run = run(&machine, &component, "test:other-name", inputs, json!({})).success();
    assert_eq!(
        run.stdout(0),
        "test:other-name: hello Ada!\ntest:other-name: hello Ada!\n"
    );
    assert_eq!(
        run.step(0)["outputs"],
        json!({ "greeted": 1, "variables": 0 })
    );
}

#[test]
fn wrong_inputs_are_refused_by_the_name_of_their_key() {
    let machine = Machine::new();
    let component = described(&machine, "typed-inputs");
    for (inputs, message) in [
        (
            json!({ "names": ["a"], "times": 300 }),
            "times is a whole number from 0 to 255, and not `300`",
        ),
        (
            json!({ "names": ["a", ["b"]] }),
            "names[1] is a text, and not a list",
        ),
        (
            json!({ "names": [], "tone": "Loud" }),
            "there is no tone Loud; there are Warm and Cool, written just so",
        ),
        (json!({}), "the step has no names"),
    ] {
        let run = run(&machine, &component, "test:typed-inputs", inputs, json!({}));
        let run = run.expect(1, "Failed");
        assert_eq!(run.step(0)["statusDetail"], "InvalidInput");
        assert_eq!(run.step(0)["message"], message);
    }
}

#[test]
fn an_action_that_asks_for_nothing_imports_nothing_that_could_give_it_something() {
    let machine = Machine::new();
    for component in [described(&machine, "typed-inputs"), component("no-op")] {
        let found = inspect(&machine, &component);
        assert_eq!(
            found["imports"],
            json!([
                "capstan:action/types@0.1.0",
                "capstan:host/step@0.1.0",
                "capstan:host/types@0.1.0",
                "wasi:random/insecure-seed@0.2.6",
            ]),
        );
        assert_eq!(found["unrequested"], json!([]));
    }
    // It has words for a panic all the same.
    let component = described(&machine, "typed-inputs");
    let inputs = json!({ "names": [], "panics": true });
    let run = run(&machine, &component, "test:typed-inputs", inputs, json!({})).expect(1, "Failed");
    let stderr = run.step(0)["stderr"].as_str().unwrap();
    assert!(stderr.contains("as it was asked to"), "{stderr}");
    assert_eq!(run.step(0)["statusDetail"], "Trapped");
}

#[test]
fn a_component_that_imports_more_than_it_requests_is_refused() {
    let machine = Machine::new();
    let manifest = r#"{ "actions": ["test:std-files"], "version": "1.0.0", "description": "d" }"#;
    let wasm = std::fs::read(component("std-files")).unwrap();
    let component = machine.file("modest.wasm", with_manifest(&wasm, manifest).unwrap());
    let found = inspect(&machine, &component);
    assert_eq!(
        found["unrequested"],
        json!([
            "wasi:filesystem/preopens@0.2.6",
            "wasi:filesystem/types@0.2.6"
        ])
    );
    let output = machine.capstan([
        "run",
        "AWS-RunShellScript",
        "--component",
        &component.display().to_string(),
    ]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("imports wasi:filesystem/preopens@0.2.6, wasi:filesystem/types@0.2.6 although its manifest requests nothing of the kind"),
        "{stderr}"
    );
}

#[test]
fn files_through_the_standard_library_work_where_they_are_asked_for() {
    let machine = Machine::new();
    let component = described(&machine, "std-files");
    let run = run(&machine, &component, "test:std-files", json!({}), json!({})).success();
    assert_eq!(run.stdout(0), "one\ntwo\noutside: true\n");
}

#[test]
fn a_component_without_its_manifest_says_how_it_gets_one() {
    let machine = Machine::new();
    let file = component("typed-inputs");
    let output = machine.capstan(["action", "inspect", &file.display().to_string()]);
    assert!(!output.status.success());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("capstan plugin build"), "{stderr}");

    let manifest = r#"{ "actions": ["a:b"], "version": "1", "description": "d" }"#;
    let wasm = std::fs::read(component("no-op")).unwrap();
    let twice = with_manifest(&wasm, manifest).unwrap_err();
    assert!(twice.to_string().contains("several"), "{twice}");
    let none = with_manifest(&wasm, r#"{ "version": "1", "description": "d" }"#).unwrap_err();
    assert!(none.to_string().contains("manifest"), "{none}");
}

#[test]
fn a_collector_finds_what_it_was_granted_to_look_at() {
    let machine = Machine::new();
    let component = component("app-config");
    let file = machine.file("etc/shop.conf", "name=shop\nversion=1.4\n");
    machine.file("etc/readme", "nothing");
    let folder = file.parent().unwrap();
    let collect = |grants| {
        let settings = json!({ "Folder": folder });
        run(&machine, &component, "test:app-config", settings, grants)
    };
    let granted = json!({ "files": [{ "path": folder, "access": "read-only" }] });
    let run = collect(granted).success();
    let item = &run.step(0)["outputs"]["items"][0];
    assert_eq!(item["TypeName"], "Custom:ApplicationConfig");
    assert_eq!(item["SchemaVersion"], "1.0");
    let expected = json!([{
        "Name": "shop", "Version": "1.4", "ConfigFile": file, "Size": "22",
    }]);
    assert_eq!(item["Content"], expected);
    let time = item["CaptureTime"].as_str().unwrap();
    assert!(
        time.starts_with("20") && time.ends_with('Z') && time.len() == 20,
        "{time}"
    );
    assert_eq!(
        run.json["steps"][0]["outputs"]["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    let run = collect(json!({})).expect(3, "Failed");
    assert_eq!(run.step(0)["statusDetail"], "AccessDenied");
}

#[test]
fn inventory_beyond_the_limits_is_refused_with_the_item_and_the_limit() {
    let machine = Machine::new();
    let component = component("app-config");
    let collect = |odd: &str| {
        let settings = json!({ "odd": odd });
        run(&machine, &component, "test:app-config", settings, json!({}))
    };
    for (odd, messages) in [
        ("foreign", &["the type `AWS:Application` is AWS's"][..]),
        (
            "long",
            &[
                "Custom:ApplicationConfig, entry 2: the value of the attribute `Text` has 4097 characters; the limit is 4096",
                "has 65 characters; the limit is 64",
            ],
        ),
        (
            "twice",
            &["the type `Custom:ApplicationConfig` is there twice"],
        ),
        (
            "large",
            &["Custom:ApplicationConfig: the content has 3133 KiB as JSON; the limit is 3072"],
        ),
        ("fail", &["there is nothing to look at"]),
        (
            "other",
            &["there is no odd other; there are foreign, long, twice, large and fail"],
        ),
    ] {
        let run = collect(odd).expect(1, "Failed");
        let message = run.step(0)["message"].as_str().unwrap();
        for expected in messages {
            assert!(message.contains(expected), "{odd}: {message}");
        }
        assert_eq!(run.step(0)["outputs"], Value::Null, "{odd}");
    }
    // Nothing to tell of a type is something to tell.
    let run = collect("").success();
    assert_eq!(run.step(0)["outputs"]["items"][0]["Content"], json!([]));
}

fn misbehave(machine: &Machine, how: &str) -> Run {
    let grants = json!({ "secrets": ["/test/secret"], "programs": ["/bin/sh"] });
    let component = component("misbehave");
    run(
        machine,
        &component,
        "test:misbehave",
        json!({ "how": how }),
        grants,
    )
}

#[test]
fn a_component_that_breaks_the_contract_is_told_of_by_name() {
    let machine = Machine::new();
    for (how, detail, messages) in [
        (
            "panic",
            "Trapped",
            &[
                "the component panicked in misbehave::bake;",
                "standard error says why",
            ][..],
        ),
        (
            "trap",
            "Trapped",
            &[
                "broke off in misbehave::trap",
                "out of bounds memory access",
            ],
        ),
        ("malformed", "MalformedAnswer", &["outputs are not JSON"]),
        ("list", "MalformedAnswer", &["JSON, but not an object"]),
        ("status", "MalformedAnswer", &["`Splendid` is unknown"]),
        ("wake", "MalformedAnswer", &["waits for `spring`"]),
    ] {
        let run = misbehave(&machine, how).expect(1, "Failed");
        let message = run.step(0)["message"].as_str().unwrap();
        assert!(
            message.starts_with("the action test:misbehave in the step `step`: "),
            "{how}: {message}"
        );
        for expected in messages {
            assert!(message.contains(expected), "{how}: {message}");
        }
        assert_eq!(run.step(0)["statusDetail"], detail, "{how}");
    }
    let run = misbehave(&machine, "panic");
    let stderr = run.step(0)["stderr"].as_str().unwrap();
    assert!(stderr.contains("the oven is too hot"), "{stderr}");
}

#[test]
fn a_secret_that_a_component_gives_away_is_masked_everywhere() {
    let machine = Machine::new();
    let value = "ash-and-elm-4711";
    let put = [
        "parameter",
        "put",
        "/test/secret",
        "--type",
        "SecureString",
        "--value",
        value,
    ];
    assert!(machine.capstan(put).status.success());
    // A handle is worthless by itself.
    let run = misbehave(&machine, "handle").success();
    assert!(
        run.stdout(0).contains("capstan-secret-"),
        "{}",
        run.stdout(0)
    );
    let run = misbehave(&machine, "value").success();
    assert!(run.stdout(0).contains("****"), "{}", run.stdout(0));
    let base64 = "YXNoLWFuZC1lbG0tNDcxMQ";
    let mut looked_at = 0;
    let mut folders = vec![machine.state()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("parameters.json") {
                looked_at += 1;
                let content = std::fs::read(&path).unwrap();
                let content = String::from_utf8_lossy(&content);
                assert!(
                    !content.contains(value) && !content.contains(base64),
                    "{}",
                    path.display()
                );
            }
        }
    }
    assert!(looked_at > 4);
    assert!(!run.json.to_string().contains(value));
}

#[test]
fn an_impossible_schema_is_refused_with_its_place() {
    let machine = Machine::new();
    let wasm = std::fs::read(component("typed-inputs")).unwrap();
    for (schema, expected) in [
        (json!({ "type": "strng" }), "no JSON Schema at /type"),
        (
            json!({ "required": ["a"], "properties": { "a": { "minimum": 9, "maximum": 1 } } }),
            "at /properties/a: minimum is 9, and maximum is 1",
        ),
    ] {
        let manifest = json!({
            "actions": ["test:typed-inputs"], "version": "1.0.0", "description": "d", "inputSchema": schema,
        });
        let wasm = with_manifest(&wasm, &manifest.to_string()).unwrap();
        let component = machine.file("odd.wasm", wasm).display().to_string();
        let output = machine.capstan(["run", "AWS-RunShellScript", "--component", &component]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            stderr.contains("odd.wasm") && stderr.contains(expected),
            "{stderr}"
        );
    }
}

/// Two components in one, of which one hands a text to the other.
const PUT_TOGETHER: &str = r#"(component
  (component $a
    (core module $m
      (memory (export "memory") 1)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
      (func (export "f") (param i32 i32)))
    (core instance $i (instantiate $m))
    (func (export "f") (param "text" string)
      (canon lift (core func $i "f") (memory (core memory $i "memory"))
        (realloc (core func $i "realloc")))))
  (component $b
    (import "f" (func $f (param "text" string)))
    (core module $memory (memory (export "memory") 1))
    (core instance $own (instantiate $memory))
    (core func $lowered (canon lower (func $f) (memory (core memory $own "memory"))))
    (core module $m
      (import "" "f" (func (param i32 i32)))
      (func (export "g") (call 0 (i32.const 0) (i32.const 1))))
    (core instance $i (instantiate $m (with "" (instance (export "f" (func $lowered))))))
    (func (export "g") (canon lift (core func $i "g"))))
  (instance $first (instantiate $a))
  (instance $second (instantiate $b (with "f" (func $first "f"))))
  (export "g" (func $second "g")))"#;

#[test]
fn a_component_that_the_compiler_gives_up_on_is_told_of_in_words() {
    let machine = Machine::new();
    let manifest = r#"{ "actions": ["test:together"], "version": "1.0.0", "description": "d" }"#;
    let wasm = wat::parse_str(PUT_TOGETHER).unwrap();
    let component = machine.file("together.wasm", with_manifest(&wasm, manifest).unwrap());
    let run = run(&machine, &component, "test:together", json!({}), json!({}));
    assert_ne!(run.code, 0);
    let message = run.json.to_string();
    assert!(message.contains("put together from others"), "{message}");
    assert!(!message.contains("panicked at"), "{message}");
}
