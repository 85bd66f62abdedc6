//! A component holds placeholders for secrets, and the host puts the values where they are granted to go, nowhere
//! else; through `capstan:host/http`, `wasi:http` and programs alike.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{HttpResponse, HttpServer, Machine, Run, component};

const VALUE: &str = "correct horse";

fn machine_with_secret() -> Machine {
    let machine = Machine::new();
    let put = machine.capstan([
        "parameter",
        "put",
        "/api/key",
        "--value",
        VALUE,
        "--type",
        "SecureString",
    ]);
    assert!(put.status.success());
    machine
}

fn place(machine: &Machine, inputs: Value, grants: &str) -> Run {
    let mut inputs = inputs;
    inputs["secret"] = "/api/key".into();
    let document = json!({
        "schemaVersion": "2.2",
        "mainSteps": [{ "name": "place", "action": "test:secret-places", "inputs": inputs }],
    });
    let policy = machine.file(
        "policy.yaml",
        format!("version: 1\nrules:\n  - id: test\n    grants: {{ {grants} }}\n"),
    );
    machine.run(
        &document.to_string(),
        &[
            "--policy",
            &policy.display().to_string(),
            "--component",
            &component("secret-places").display().to_string(),
        ],
    )
}

fn echo() -> HttpServer {
    HttpServer::start(|request| {
        HttpResponse::ok(format!(
            "{} got {}",
            request.method,
            request.header("x-api-key").unwrap_or_default()
        ))
    })
}

fn sha256(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn a_value_is_put_where_it_is_granted_to_go() {
    let (machine, server) = (machine_with_secret(), echo());
    let grants = format!(
        "hosts: [\"{}\"], programs: [/bin/sh], secrets: [/api/key]",
        server.url("")
    );
    let get = |to: &str| {
        place(
            &machine,
            json!({ "place": to, "url": server.url("/in") }),
            &grants,
        )
    };
    for to in ["header", "wasi", "body"] {
        let run = get(to).success();
        let request = server.requests.lock().unwrap().pop().unwrap();
        match to {
            "body" => assert_eq!(
                request.body,
                format!("{{\"token\":\"{VALUE}\"}}").as_bytes()
            ),
            _ => assert_eq!(request.header("x-api-key").unwrap(), format!("key {VALUE}")),
        }
        // The component got the value back from the server; what is kept of it is masked.
        assert!(run.stdout(0).contains("answered 200"), "{:#}", run.json);
        assert!(!run.json.to_string().contains(VALUE), "{:#}", run.json);
        assert!(run.stdout(0).contains("holding capstan-secret-"));
    }
    assert!(
        get("wasi")
            .success()
            .stdout(0)
            .contains("POST got key ****")
    );
    let request = server.requests.lock().unwrap().pop().unwrap();
    assert_eq!(request.body, b"sent by wasi");
    for to in ["environment", "stdin"] {
        let run = get(to).success();
        assert!(
            run.stdout(0).contains(&sha256(VALUE)),
            "{to}: {:#}",
            run.json
        );
    }
}

#[test]
fn a_value_is_not_put_elsewhere() {
    let (machine, server, other) = (machine_with_secret(), echo(), echo());
    let narrow = format!(
        "hosts: [\"{}\", \"{}\"], programs: [/bin/sh], secrets: [{{ name: /api/key, hosts: [\"{}\"] }}]",
        server.url(""),
        other.url(""),
        server.url("")
    );
    let put = |to: &str, server: &HttpServer| {
        place(
            &machine,
            json!({ "place": to, "url": server.url("/in") }),
            &narrow,
        )
    };
    for to in ["header", "wasi", "body"] {
        put(to, &server).success();
        let run = put(to, &other);
        assert_eq!(
            run.code,
            if to == "wasi" { 1 } else { 3 },
            "{to}: {:#}",
            run.json
        );
        let denial = &run.step(0)["denials"][0];
        assert_eq!(denial["capability"], "secrets", "{to}: {:#}", run.json);
    }
    assert_eq!(other.count(), 0);
    // A secret for a host is not for programs, which could send it anywhere.
    for to in ["environment", "stdin"] {
        put(to, &server).expect(3, "Failed");
    }
    let wide = "programs: [/bin/sh], secrets: [{ name: \"/api/*\", uses: [stdin] }]";
    place(&machine, json!({ "place": "stdin" }), wide).success();
    place(&machine, json!({ "place": "environment" }), wide).expect(3, "Failed");
    place(&machine, json!({ "place": "" }), "programs: [/bin/sh]").expect(3, "Failed");
}

#[test]
fn a_placeholder_is_good_for_nothing_else() {
    let (machine, server) = (machine_with_secret(), echo());
    let grants = format!(
        "hosts: [\"{}\"], programs: [/bin/sh], secrets: [/api/key]",
        server.url("")
    );
    let run = place(&machine, json!({ "place": "argument" }), &grants).expect(1, "Failed");
    assert!(
        run.step(0)["message"]
            .as_str()
            .unwrap()
            .contains("other processes can see arguments"),
        "{:#}",
        run.json
    );
    let made_up = "capstan-secret-0123456789abcdef0123456789abcdef";
    let inputs = json!({ "place": "header", "url": server.url("/in"), "made-up": made_up });
    let run = place(&machine, inputs, &grants).expect(1, "Failed");
    assert!(
        run.step(0)["message"]
            .as_str()
            .unwrap()
            .contains("no placeholder of this step")
    );
    assert_eq!(server.count(), 0);
}

#[test]
fn a_redirect_to_another_origin_does_not_take_a_secret_along() {
    let (machine, other) = (machine_with_secret(), echo());
    let target = other.url("/stolen");
    let server =
        HttpServer::start(move |_| HttpResponse::status(307).header("location", target.as_str()));
    let grants = format!(
        "hosts: [\"{}\", \"{}\"], secrets: [/api/key]",
        server.url(""),
        other.url("")
    );
    let put = |to: &str| {
        place(
            &machine,
            json!({ "place": to, "url": server.url("/in") }),
            &grants,
        )
    };
    put("header").success();
    let request = other.requests.lock().unwrap().pop().unwrap();
    assert_eq!(request.header("x-api-key"), None);
    put("body").expect(1, "Failed");
    assert_eq!(other.count(), 0);
}

#[test]
fn wasi_http_reaches_what_is_granted_and_nothing_else() {
    let (machine, server, other) = (machine_with_secret(), echo(), echo());
    let grants = format!("hosts: [\"{}\"], secrets: [/api/key]", server.url("/in/**"));
    let send = |url: String| place(&machine, json!({ "place": "wasi", "url": url }), &grants);
    send(server.url("/in/x")).success();
    for url in [
        other.url("/in/x"),
        server.url("/out"),
        // What is checked is what is sent.
        server.url("/in/../out"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
    ] {
        let run = send(url.clone()).expect(1, "Failed");
        let denial = &run.step(0)["denials"][0];
        assert_eq!(denial["capability"], "hosts", "{url}: {:#}", run.json);
    }
    assert_eq!((server.count(), other.count()), (1, 0));
}
