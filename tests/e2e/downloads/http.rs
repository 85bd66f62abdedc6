//! By URL: where a download goes, what it follows, and what is left of one that fails.

use std::path::Path;

use serde_json::{Value, json};

use super::{fetch_to, grants, names};
use crate::support::{HttpResponse, HttpServer, Machine, Run};

fn download(machine: &Machine, info: Value, destination: &str, policy: &str) -> Run {
    let document = json!({
        "schemaVersion": "2.2",
        "mainSteps": [
            { "name": "get", "action": "aws:downloadContent", "inputs": {
                "onFailure": "exit", "sourceType": "HTTP", "sourceInfo": info.to_string(), "destinationPath": destination } },
            { "name": "show", "action": "aws:runShellScript", "inputs": { "runCommand": [format!("cat {destination}")] } },
        ],
    });
    let policy = machine.file("policy.yaml", policy);
    machine.run(
        &document.to_string(),
        &["--policy", &policy.display().to_string()],
    )
}

fn hosts(hosts: &str) -> String {
    format!("version: 1\nrules:\n  - id: test\n    grants: {{ hosts: [{hosts}] }}\n")
}

#[test]
fn a_download_follows_only_granted_redirects() {
    let other = HttpServer::start(|_| HttpResponse::ok("from elsewhere"));
    let elsewhere = other.url("/file");
    let server = HttpServer::start(move |request| match request.path.as_str() {
        "/away" => HttpResponse::status(302).header("location", elsewhere.clone()),
        "/here" => HttpResponse::status(302).header("location", "/file"),
        _ => HttpResponse::ok("from here"),
    });
    let machine = Machine::new();
    let own = hosts(&format!("\"{}\"", server.url("")));
    let get = |path: &str, policy: &str| {
        download(
            &machine,
            json!({ "url": server.url(path), "allowInsecureDownload": true }),
            "/tmp/file",
            policy,
        )
    };
    let run = get("/here", &own).success();
    assert_eq!(run.stdout(1), "from here");
    let run = get("/away", &own);
    assert!(run.code == 1 || run.code == 3, "{:#}", run.json);
    assert!(
        run.json.to_string().contains(&other.address.to_string()),
        "{:#}",
        run.json
    );
    assert_eq!(other.count(), 0);
    let both = hosts(&format!("\"{}\", \"{}\"", server.url(""), other.url("")));
    assert_eq!(get("/away", &both).success().stdout(1), "from elsewhere");
}

#[test]
fn a_download_with_a_wrong_checksum_leaves_nothing() {
    let server = HttpServer::start(|_| HttpResponse::ok("content"));
    let machine = Machine::new();
    let policy = hosts(&format!("\"{}\"", server.url("")));
    let good = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";
    for (sum, code) in [(good, 0), (&good.replace('e', "f")[..], 1)] {
        let info = json!({ "url": server.url("/f"), "allowInsecureDownload": true, "sha256": sum });
        let run = download(&machine, info, "/tmp/file", &policy);
        assert_eq!(run.code, code, "{:#}", run.json);
    }
}

#[test]
fn a_download_goes_where_its_folder_or_the_file_alone_is_granted() {
    let server = HttpServer::start(|_| HttpResponse::ok("content"));
    let machine = Machine::new();
    let folder = machine.path("opt");
    std::fs::create_dir_all(&folder).unwrap();
    let info = json!({ "url": server.url("/f"), "allowInsecureDownload": true });
    let get = |to: &Path, policy: &str| fetch_to(&machine, "HTTP", &info, to, policy);

    let all = grants(&server, &[(&folder, "read-write")]);
    for name in ["one", "below/two", "one"] {
        get(&folder.join(name), &all).success();
        assert_eq!(std::fs::read(folder.join(name)).unwrap(), b"content");
        let receipts = std::fs::read_to_string(machine.state().join("receipts.jsonl")).unwrap();
        let last: Value = serde_json::from_str(receipts.lines().last().unwrap()).unwrap();
        assert_eq!(last["receipt"]["denials"], json!([]), "{last:#}");
    }
    // What the refusal says is enough, for a new file and for one that is there.
    for name in ["three", "one"] {
        let file = folder.join(name);
        std::fs::write(folder.join("one"), "old").unwrap();
        let refused = get(&file, &grants(&server, &[]));
        assert_eq!(refused.code, 3, "{:#}", refused.json);
        let text = refused.json.to_string();
        let hint = text
            .split("access: ")
            .find_map(|part| {
                part.starts_with('[')
                    .then(|| part.split_inclusive(']').next())
            })
            .flatten()
            .unwrap_or_else(|| panic!("{:#}", refused.json));
        get(&file, &grants(&server, &[(&file, hint)])).success();
        assert_eq!(std::fs::read(&file).unwrap(), b"content");
    }
    // The folder is missing, and only the file is granted.
    let file = folder.join("missing/file");
    let refused = get(&file, &grants(&server, &[(&file, "read-write")]));
    assert_ne!(refused.code, 0, "{:#}", refused.json);
    let above = format!("path: {}, access: read-write", folder.display());
    assert!(
        refused.json.to_string().contains(&above),
        "{:#}",
        refused.json
    );
    assert!(!folder.join("missing").exists());
    get(&file, &all).success();
    assert_eq!(std::fs::read(&file).unwrap(), b"content");
}

#[test]
fn what_cannot_be_downloaded_leaves_nothing_behind() {
    let server = HttpServer::start(|request| match request.path.as_str() {
        "/f" => HttpResponse::ok("content").header("etag", "\"1\""),
        "/away" => HttpResponse::status(302).header("location", "http://192.0.2.1/"),
        path => HttpResponse::status(path[1..].parse().unwrap()),
    });
    let machine = Machine::new();
    let folder = machine.path("opt");
    std::fs::create_dir_all(&folder).unwrap();
    let policy = grants(&server, &[(&folder, "read-write")]);
    for path in ["/404", "/401", "/403", "/away", "/f"] {
        let info = json!({
            "url": server.url(path), "allowInsecureDownload": true, "sha256": "0".repeat(64) });
        let run = fetch_to(&machine, "HTTP", &info, &folder.join("file"), &policy);
        assert_ne!(run.code, 0, "{path}");
        assert_eq!(names(&folder), [""; 0], "{path}");
    }
}

#[test]
fn a_download_goes_on_only_with_the_same_version() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    // What is served: its version, and after how many bytes the connection breaks; and whether parts are served as if
    // nobody had asked for a version.
    let state = std::sync::Arc::new((
        AtomicUsize::new(1),
        AtomicUsize::new(4),
        AtomicUsize::new(0),
    ));
    let shared = std::sync::Arc::clone(&state);
    let server = HttpServer::start(move |request| {
        let (version, breaks) = (
            shared.0.load(Ordering::SeqCst),
            shared.1.load(Ordering::SeqCst),
        );
        let body = version.to_string().repeat(10).into_bytes();
        let tag = format!("\"{version}\"");
        let from = request.header("range").and_then(|range| {
            range
                .strip_prefix("bytes=")?
                .strip_suffix('-')?
                .parse()
                .ok()
        });
        let same = request.header("if-range") == Some(&tag);
        let response = match from {
            Some(from) if same || shared.2.load(Ordering::SeqCst) == 1 => HttpResponse {
                status: 206,
                headers: vec![("content-range".into(), format!("bytes {from}-9/10"))],
                body: body[from..].to_vec(),
            },
            _ => HttpResponse::ok(body),
        };
        let mut response = response.header("etag", tag);
        if breaks > 0 && breaks < response.body.len() {
            let length = response.body.len().to_string();
            response = response.header("content-length", length);
            response.body.truncate(breaks);
        }
        response
    });
    let machine = Machine::new();
    let folder = machine.path("opt");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("file");
    let policy = grants(&server, &[(&folder, "read-write")]);
    let info = json!({ "url": server.url("/f"), "allowInsecureDownload": true });
    let get = || fetch_to(&machine, "HTTP", &info, &file, &policy);

    // It breaks off, and is taken up again in the same step.
    get().success();
    assert_eq!(std::fs::read(&file).unwrap(), b"1111111111");
    assert!(server.requests.lock().unwrap().iter().any(|request| {
        request.header("range") == Some("bytes=4-") && request.header("if-range") == Some("\"1\"")
    }));
    // It breaks off for good: the part stays, and another version does not become a part of it.
    for careless in [0, 1] {
        state.2.store(0, Ordering::SeqCst);
        state.0.store(2, Ordering::SeqCst);
        state.1.store(1, Ordering::SeqCst);
        get().expect(1, "Failed");
        assert_eq!(names(&folder).len(), 2);
        state.0.store(3, Ordering::SeqCst);
        state.1.store(0, Ordering::SeqCst);
        state.2.store(careless, Ordering::SeqCst);
        get().success();
        assert_eq!(std::fs::read(&file).unwrap(), b"3333333333");
        assert_eq!(names(&folder), ["file"]);
    }
    // The rest of the same version is all that is fetched.
    state.2.store(0, Ordering::SeqCst);
    state.0.store(4, Ordering::SeqCst);
    state.1.store(1, Ordering::SeqCst);
    get().expect(1, "Failed");
    state.1.store(0, Ordering::SeqCst);
    server.requests.lock().unwrap().clear();
    get().success();
    assert_eq!(std::fs::read(&file).unwrap(), b"4444444444");
    let last = server.requests.lock().unwrap().last().cloned().unwrap();
    assert_eq!(last.header("range"), Some("bytes=5-"), "{last:?}");
}
