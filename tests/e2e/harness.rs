//! Steps in scripted worlds: the test harness of plugin developers, through its library for Rust.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use capstan_sdk_test::{Harness, HarnessError, Run, absent, answer, folder, json, respond};

use crate::support::{Machine, component, described};

const HOOK: &str = "https://hooks.example.com/T1";
const TOKEN: &str = "hunter2-hunter2";

struct World {
    machine: Machine,
}

impl World {
    fn new() -> Self {
        Self {
            machine: Machine::new(),
        }
    }

    fn with(&self, component: PathBuf) -> Harness {
        Harness::new()
            .capstan(self.machine.command())
            .component(component)
    }

    /// A folder with an old log and a new one, at noon of the last of January.
    fn logs(&self) -> Harness {
        static BUILT: OnceLock<Vec<u8>> = OnceLock::new();
        let wasm = BUILT
            .get_or_init(|| std::fs::read(described(&self.machine, "old-logs")).unwrap())
            .clone();
        let old = |text: &str| capstan_sdk_test::File::from(text).modified("2026-01-01T00:00:00Z");
        self.with(self.machine.file("old-logs.wasm", wasm))
            .now("2026-01-31T12:00:00Z")
            .file("/var/log/app/a.log", old("one\n"))
            .file("/var/log/app/b.log", "two\n")
            .file("/var/log/app/readme", old("three\n"))
            .file("/etc/old-logs.keep", "kept.log\n")
    }
}

fn gzip(path: &str) -> capstan_sdk_test::Program {
    answer(0)
        .arguments(["-9", "--", path])
        .writes(&format!("{path}.gz"), b"\x1f\x8b")
        .removes(path)
}

#[test]
fn a_world_of_files_programs_servers_and_time_is_what_the_component_sees() {
    let world = World::new();
    let run = || -> Run {
        world
            .logs()
            .program("gzip", gzip("/var/log/app/a.log"))
            .http_with(
                "POST",
                HOOK,
                respond(307).header("location", "/T1").times(1),
            )
            .http("POST", "https://hooks.example.com/*", 200, TOKEN)
            .secret("/old-logs/token", TOKEN)
            .parameter("/old-logs/most", json!(["7", "days"]))
            .run(json!({ "folder": "/var/log/app", "days": 7, "hook": HOOK }))
            .unwrap()
    };
    let first = run();
    first.assert_success();
    // What a server says of a secret is masked like everything that the step returns.
    assert_eq!(
        first.outputs,
        json!({ "packed": 1, "waited": 3600, "answer": "****" })
    );
    assert_eq!(first.stdout, "most: Value::TextList([\"7\", \"days\"])\n");
    assert_eq!(first.progress[0].note, "a.log");
    assert_eq!(first.ended_at, "2026-01-31T13:00:00Z");
    assert!(first.denials.is_empty(), "{:?}", first.denials);

    let program = &first.programs[0];
    assert_eq!(
        (program.program.as_str(), program.path.as_str()),
        ("gzip", "/usr/bin/gzip")
    );
    assert_eq!(program.working_directory, "/work");
    assert!(first.removed("/var/log/app/a.log"));
    assert_eq!(first.file("/var/log/app/packed.txt"), Some("[\"a.log\"]\n"));
    assert_eq!(
        first.files["/var/log/app/a.log.gz"],
        Some(json!({ "base64": "H4s=" }))
    );
    assert_eq!(first.files.len(), 3);
    assert_eq!(first.modes["/var/log/app/packed.txt"], "0644");

    let [asked, redirected] = &first.requests[..] else {
        panic!("{:?}", first.requests);
    };
    assert_eq!(
        asked.headers["authorization"],
        "Bearer {{secret:/old-logs/token}}"
    );
    assert_eq!(asked.json(), json!({ "packed": ["a.log"] }));
    assert_eq!(redirected.json(), asked.json());
    assert_eq!(first.secrets[0].name, "/old-logs/token");
    assert!(first.secrets[0].place.contains("header"));
    assert!(!format!("{first:?}").contains(TOKEN));

    // The chance and the time of a world are the same at every run, and so is the fuel.
    let second = run();
    assert!(first.fuel > 5_000_000, "{}", first.fuel);
    assert_eq!(
        (first.fuel, first.stdout, first.ended_at),
        (second.fuel, second.stdout, second.ended_at)
    );
}

#[test]
fn what_is_checked_on_a_node_is_checked_before_the_script_is_asked() {
    let world = World::new();
    let inputs = json!({ "folder": "/var/log/app" });
    // The argument template.
    let run = world
        .logs()
        .program("gzip", answer(0))
        .run(json!({ "folder": "/var/log/app", "level": "-1" }))
        .unwrap();
    run.assert_failure("Failed", "/usr/bin/gzip");
    assert!(run.programs.is_empty() && run.unanswered.is_empty());

    // What is optional is refused with a value, and the step goes on.
    let run = world
        .logs()
        .deny("files", "/etc/old-logs.keep")
        .program("gzip", answer(0))
        .run(inputs.clone())
        .unwrap();
    run.assert_success();
    assert!(run.denied("files", "/etc/old-logs.keep"));
    assert_eq!(
        run.denials[0].hint,
        "grants: { files: [{ path: /etc/old-logs.keep, access: [read] }] }"
    );
    assert_eq!(run.log[0].level, "warn");
    assert!(
        run.log[0].fields["why"]
            .as_str()
            .unwrap()
            .contains("/etc/old-logs.keep")
    );

    // Without what it needs, a step does not run.
    let policy = "version: 1\nrules: [{ grants: { files: [{ path: /srv, access: read-write }] } }]";
    let run = world.logs().policy(policy).run(inputs.clone()).unwrap();
    run.assert_failure(
        "AccessDenied",
        "needed because test:old-logs: packs the logs there",
    );
    assert!(run.denied("files", "/var/log/app"));
    assert_eq!(run.fuel, 0);

    // A program is kept from what its step was not granted.
    let run = world
        .logs()
        .program("gzip", answer(0).writes("/etc/passwd", "root"))
        .run(inputs.clone())
        .unwrap();
    assert!(run.denied("files", "/etc/passwd"));
    assert!(!run.files.contains_key("/etc/passwd"));

    let run = world.logs().limit("fuel", 10_000).run(inputs).unwrap();
    run.assert_failure("FuelExhausted", "10000 units of fuel");
}

#[test]
fn hosts_are_checked_as_on_a_node() {
    let world = World::new();
    let run = world
        .with(component("denied-calls"))
        .run(json!({}))
        .unwrap();
    // All that it requests is granted here, so that it gets further than it says; but the metadata service is
    // not reached by a request for any host.
    assert!(
        !run.denied("hosts", "http://127.0.0.1:1/"),
        "{}",
        run.summary()
    );

    let policy =
        r#"{ version: 1, rules: [{ grants: { hosts: ["https://hooks.example.com/T1"] } }] }"#;
    let run = world
        .with(component("secret-places"))
        .policy(policy)
        .secret("/a", TOKEN)
        .run(json!({ "secret": "/a", "place": "header", "url": "http://169.254.169.254/x" }))
        .unwrap();
    assert!(run.denied("secrets", "/a"), "{}", run.summary());
    let policy = r#"{ version: 1, rules: [{ grants: { hosts: ["*"], secrets: ["/a"] } }] }"#;
    let run = world
        .with(component("secret-places"))
        .policy(policy)
        .secret("/a", TOKEN)
        .http("GET", "http://169.254.169.254/x", 200, "")
        .run(json!({ "secret": "/a", "place": "header", "url": "http://169.254.169.254/x" }))
        .unwrap();
    let target = "http://169.254.169.254:80 at the private address 169.254.169.254";
    assert!(run.denied("hosts", target), "{}", run.summary());
    assert!(run.requests.is_empty());
}

#[test]
fn failures_of_programs_and_servers_are_what_the_component_makes_of_them() {
    let world = World::new();
    let inputs = json!({ "folder": "/var/log/app", "days": 7, "hook": HOOK });
    let told = |harness: Harness| {
        harness
            .secret("/old-logs/token", TOKEN)
            .run(inputs.clone())
            .unwrap()
    };
    for (gzip, message) in [
        (
            answer(2).stderr("no space\n"),
            "the program ended with code 2: no space",
        ),
        (answer(0).signal(9), "the program ended with signal 9"),
        (absent(), "/usr/bin/gzip"),
    ] {
        let run = told(world.logs().program("gzip", gzip));
        run.assert_failure("Failed", message);
        assert_eq!(run.programs.len(), 1);
    }
    let run = told(
        world
            .logs()
            .program("gzip", answer(0).times_out().takes(Duration::from_secs(5))),
    );
    run.assert_failure("TimedOut", "its time used up");
    assert_eq!(run.ended_at, "2026-01-31T12:00:05Z");

    let packed = || world.logs().program("gzip", answer(0));
    for (response, detail, message) in [
        (respond(503), "Failed", "503"),
        (
            respond(200).error("connection refused"),
            "Failed",
            "connection refused",
        ),
        (respond(200).times_out(), "TimedOut", ""),
    ] {
        let run = told(packed().http_with("POST", HOOK, response));
        run.assert_failure(detail, message);
        assert!(run.unanswered.is_empty());
        assert_eq!(run.requests.len(), 1);
    }
}

#[test]
fn what_the_script_does_not_answer_is_told_with_what_it_answers() {
    let world = World::new();
    let inputs = json!({ "folder": "/var/log/app", "hook": HOOK });
    let run = world
        .logs()
        .program("gzip", answer(0).arguments(["-9", "--", "/other"]))
        .run(inputs.clone())
        .unwrap();
    let told = "the test has no answer to the program `gzip -9 -- /var/log/app/a.log`; it has answers to `gzip -9 -- /other`";
    run.assert_failure("Failed", told);
    assert_eq!(run.unanswered, [told]);

    let run = world
        .logs()
        .program("gzip", answer(0))
        .secret("/old-logs/token", TOKEN)
        .http_with("GET", HOOK, respond(200))
        .http_with("POST", HOOK, respond(307).header("location", HOOK).times(1))
        .run(inputs)
        .unwrap();
    assert_eq!(
        run.unanswered,
        [format!(
            "the test has no answer to POST {HOOK}; it has answers to GET {HOOK}, POST {HOOK} (used up)"
        )]
    );
    assert!(std::panic::catch_unwind(|| run.assert_success()).is_err());
}

#[test]
fn waits_end_at_once_by_the_clock_or_by_a_signal() {
    let world = World::new();
    let waits = || {
        world
            .with(component("wait-a-while"))
            .now("2026-01-31T12:00:00Z")
    };
    let run = waits().run(json!({ "seconds": 86400 * 30 })).unwrap();
    run.assert_success();
    assert_eq!(run.ended_at, "2026-03-02T12:00:00Z");
    let [wait] = &run.suspensions[..] else {
        panic!("{:?}", run.suspensions);
    };
    assert_eq!(wait.resumed_by.as_deref(), Some("timer"));
    assert_eq!(wait.wake.at.as_deref(), Some("2026-03-02T12:00:00Z"));
    assert_eq!(wait.wake.signals, ["continue"]);

    let run = waits()
        .signal("other", json!(null))
        .signal("continue", json!({ "by": "Ada" }))
        .run(json!({ "seconds": 60 }))
        .unwrap();
    run.assert_success();
    assert_eq!(run.suspensions[0].signal.as_deref(), Some("continue"));
    assert_eq!(
        run.stdout,
        "waiting\nresumed by continue, state: here I was\n"
    );
    assert_eq!(run.ended_at, "2026-01-31T12:00:00Z");
}

#[test]
fn secrets_are_shown_by_name_wherever_they_are_put() {
    let world = World::new();
    let put = |place: &str| {
        let run = world
            .with(component("secret-places"))
            .secret("/db/password", TOKEN)
            .program("sh", answer(0).stdout(format!("it is {TOKEN}\n")))
            .http(
                "*",
                "https://api.example.com/*",
                200,
                format!("you said {TOKEN}"),
            );
        run.run(
            json!({ "secret": "/db/password", "place": place, "url": "https://api.example.com/x" }),
        )
        .unwrap()
    };
    let shown = "{{secret:/db/password}}";
    for place in ["header", "body", "wasi", "environment", "stdin"] {
        let run = put(place);
        let found = match place {
            "environment" => run.programs[0].environment["TOKEN"].clone(),
            "stdin" => run.programs[0].stdin.as_str().unwrap().to_owned(),
            "body" => run.requests[0].body.to_string(),
            _ => run.requests[0].headers["x-api-key"].clone(),
        };
        assert!(found.contains(shown), "{place}: {found}");
        assert!(run.stdout.contains("****"), "{place}: {}", run.stdout);
        assert!(!format!("{run:?}").contains(TOKEN), "{place}: {run:?}");
        run.assert_success();
    }
    put("argument").assert_failure(
        "Failed",
        "is a secret, and other processes can see arguments",
    );
}

#[test]
fn collectors_are_checked_as_on_a_node() {
    let world = World::new();
    let run = world
        .with(component("app-config"))
        .now("2026-01-31T12:00:00Z")
        .file("/etc/shop/shop.conf", "version=1.4\n")
        .file("/etc/shop/empty", folder())
        .run(json!({ "Folder": "/etc/shop" }))
        .unwrap();
    run.assert_success();
    assert_eq!(
        run.items,
        json!([{
            "TypeName": "Custom:ApplicationConfig", "SchemaVersion": "1.0", "CaptureTime": "2026-01-31T12:00:00Z",
            "Content": [{ "Name": "shop", "Version": "1.4", "ConfigFile": "/etc/shop/shop.conf", "Size": "12" }],
        }])
    );
    let run = world
        .with(component("app-config"))
        .run(json!({ "odd": "foreign" }))
        .unwrap();
    run.assert_failure("Failed", "the type `AWS:Application` is AWS's");
}

#[test]
fn what_makes_no_sense_is_refused_in_words() {
    let world = World::new();
    let refused = |harness: Harness| match harness.run(json!({})) {
        Err(HarnessError::Refused(why)) => why,
        other => panic!("{other:?}"),
    };
    let plain = || world.with(component("no-op"));
    for (harness, words) in [
        (
            plain().action("test:other"),
            "serves no action test:other; it serves test:",
        ),
        (
            plain().file("etc/x", ""),
            "the file `etc/x`: a path is absolute",
        ),
        (
            plain().http("GET", "hooks", 200, ""),
            "its `url` is no absolute URL",
        ),
        (plain().now("noon"), "`noon` is no time"),
        (plain().limit("feul", 1), "did you mean `fuel`?"),
        (
            plain().policy("version: 2"),
            "version 1 of the policy format",
        ),
        (
            plain().policy("version: 1").limit("fuel", 1),
            "write them there",
        ),
        (
            plain().program("a", answer(0)).step("platfrom", "x"),
            "unknown field `platfrom`",
        ),
    ] {
        let why = refused(harness);
        assert!(why.contains(words), "{words}: {why}");
    }
    assert!(matches!(
        plain().component("/absent.wasm").run(json!({})),
        Err(HarnessError::NoComponent { .. })
    ));
    let host = std::process::Command::new("/absent/capstan");
    let error = plain().capstan(host).run(json!({})).unwrap_err();
    assert!(
        error.to_string().contains("name its program in $CAPSTAN"),
        "{error}"
    );

    // As the libraries of other languages see it.
    let mut child = world
        .machine
        .command()
        .args(["plugin", "harness"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"{ \"component\": 1 }")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let answer: capstan_sdk_test::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        answer["error"].as_str().unwrap().contains("at line 1"),
        "{answer}"
    );
}
