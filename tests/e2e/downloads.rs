//! `aws:downloadContent`, from servers on loopback.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{HttpResponse, HttpServer, Machine, Run, has, put_secret};

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

/// Downloads from a kind of source and prints what came.
fn fetch(
    machine: &Machine,
    kind: &str,
    info: &Value,
    script: &str,
    grants: &str,
    env: &[(&str, &str)],
) -> Run {
    let document = json!({
        "schemaVersion": "2.2",
        "mainSteps": [
            { "name": "get", "action": "aws:downloadContent", "inputs": {
                "onFailure": "exit", "sourceType": kind, "sourceInfo": info.to_string(), "destinationPath": "/tmp/got" } },
            { "name": "show", "action": "aws:runShellScript", "inputs": { "runCommand": [script] } },
        ],
    });
    let policy = machine.file(
        "policy.yaml",
        format!("version: 1\nrules:\n  - id: test\n    grants: {{ {grants} }}\n"),
    );
    let document = machine.file("document.json", document.to_string());
    let output = machine
        .command()
        .envs(env.iter().copied())
        .args(["run", "--output", "json", "--policy"])
        .args([&policy, &document])
        .output()
        .unwrap();
    Run::of(output)
}

/// Downloads to a path and shows nothing.
fn fetch_to(machine: &Machine, kind: &str, info: &Value, to: &Path, policy: &str) -> Run {
    let document = json!({
        "schemaVersion": "2.2",
        "mainSteps": [{ "name": "get", "action": "aws:downloadContent", "inputs": {
            "sourceType": kind, "sourceInfo": info, "destinationPath": to } }],
    });
    let policy = machine.file("policy.yaml", policy);
    machine.run(
        &document.to_string(),
        &["--policy", &policy.display().to_string()],
    )
}

/// A policy with hosts, and files each with its access.
fn grants(server: &HttpServer, files: &[(&Path, &str)]) -> String {
    let files: String = files
        .iter()
        .map(|(path, access)| format!("{{ path: {}, access: {access} }}, ", path.display()))
        .collect();
    format!(
        "version: 1\nrules:\n  - id: test\n    grants: {{ hosts: [\"{}\"], files: [{files}] }}\n",
        server.url("")
    )
}

/// The names in a folder, hidden ones too.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
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

#[test]
fn s3_says_why_it_refuses() {
    let server = HttpServer::start(|request| {
        if request.path.starts_with("/b?") {
            return HttpResponse::status(403);
        }
        if request.path == "/b/versioned?versionId=v%2B1" {
            return HttpResponse::ok("the old one");
        }
        let (status, code) = match request.path.as_str() {
            "/b/secret" => (403, "AccessDenied"),
            _ => (404, "NoSuchKey"),
        };
        HttpResponse {
            status,
            ..HttpResponse::ok(format!(
                "<Error><Code>{code}</Code><Message>The reason.</Message></Error>"
            ))
        }
    });
    let machine = Machine::new();
    let endpoint = server.url("");
    let env = [("AWS_ENDPOINT_URL_S3", endpoint.as_str())];
    let get = |path: &str, signing: &str| {
        let info = json!({ "path": path });
        let grants = format!("hosts: [\"{endpoint}\"]{signing}");
        fetch(&machine, "S3", &info, "cat /tmp/got", &grants, &env)
    };
    for (path, signing, words) in [
        ("s3://b/none", "", vec!["404, NoSuchKey: The reason."]),
        (
            "s3://b/secret",
            "",
            vec!["403, AccessDenied: The reason.", "signing: [s3]"],
        ),
        (
            "s3://b/secret",
            ", signing: [s3]",
            vec!["403, AccessDenied", "no AWS credentials"],
        ),
    ] {
        let run = get(path, signing).expect(1, "Failed");
        for word in words {
            assert!(
                run.json.to_string().contains(word),
                "{word}\n{:#}",
                run.json
            );
        }
    }
    let run = get("https://b.s3.amazonaws.com/versioned?versionId=v%2B1", "").success();
    assert_eq!(run.stdout(1), "the old one");
}

/// A bucket `b` with a few objects, in pages of two.
fn bucket() -> HttpServer {
    const KEYS: &[&str] = &["app/bin/run", "app/conf", "app/notes & more", "app2"];
    HttpServer::start(|request| {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        if path == "/b" {
            let prefix = query.split("prefix=").nth(1).unwrap_or_default();
            let prefix = prefix.replace("%2F", "/");
            let from = usize::from(query.contains("continuation-token=two%2F")) * 2;
            let all: Vec<&&str> = KEYS.iter().filter(|key| key.starts_with(&prefix)).collect();
            let page: String = all
                .iter()
                .skip(from)
                .take(2)
                .map(|key| {
                    format!(
                        "<Contents><Key>{}</Key></Contents>",
                        key.replace('&', "&amp;")
                    )
                })
                .collect();
            let next = if all.len() > from + 2 {
                "<NextContinuationToken>two/</NextContinuationToken>"
            } else {
                ""
            };
            return HttpResponse::ok(format!("<ListBucketResult>{page}{next}</ListBucketResult>"));
        }
        let key = path
            .trim_start_matches("/b/")
            .replace("%20", " ")
            .replace("%26", "&");
        if KEYS.contains(&key.as_str()) {
            HttpResponse::ok(format!("content of {key}\n"))
        } else {
            HttpResponse::status(404)
        }
    })
}

#[test]
fn objects_and_folders_come_from_s3_signed_by_the_host() {
    let server = bucket();
    let machine = Machine::new();
    machine.file(
        ".aws/credentials",
        "[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = hidden-key\n",
    );
    let endpoint = server.url("");
    let env = [("AWS_ENDPOINT_URL_S3", endpoint.as_str())];
    let grants = format!("hosts: [\"{endpoint}\"], signing: [s3]");
    let get = |path: &str, script: &str, grants: &str| {
        fetch(
            &machine,
            "S3",
            &json!({ "path": path }),
            script,
            grants,
            &env,
        )
    };

    let folder = "https://b.s3.eu-west-1.amazonaws.com/app/";
    let run = get(folder, "cd /tmp/got && cat bin/run conf notes*", &grants).success();
    assert_eq!(
        run.stdout(1),
        "content of app/bin/run\ncontent of app/conf\ncontent of app/notes & more\n"
    );
    for request in server.requests.lock().unwrap().iter() {
        let signed = request.header("authorization").unwrap_or_default();
        assert!(
            signed.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
                && signed.contains("/eu-west-1/s3/aws4_request"),
            "{request:?}"
        );
    }
    let everything = walk(&machine.state());
    assert!(
        !everything.contains("hidden-key"),
        "the key was written down"
    );

    let object = "https://s3.eu-west-1.amazonaws.com/b/app2";
    let run = get(object, "cat /tmp/got", &grants).success();
    assert_eq!(run.stdout(1), "content of app2\n");
    let run = get("https://b.s3.amazonaws.com/none", "true", &grants).expect(1, "Failed");
    assert!(run.json.to_string().contains("404"), "{:#}", run.json);

    // Without leave to sign, requests go out unsigned.
    server.requests.lock().unwrap().clear();
    get(object, "true", &format!("hosts: [\"{endpoint}\"]")).success();
    for request in server.requests.lock().unwrap().iter() {
        assert_eq!(request.header("authorization"), None);
    }
}

/// All text below a folder.
fn walk(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            text.push_str(&walk(&path));
        } else if path.is_file() {
            text.push_str(&String::from_utf8_lossy(
                &std::fs::read(&path).unwrap_or_default(),
            ));
        }
    }
    text
}

fn md5(text: &str) -> String {
    let output = Command::new("sh")
        .args(["-c", "printf %s \"$1\" | md5sum | cut -c1-32", "sh", text])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn digest_authentication_answers_the_challenge() {
    let server = HttpServer::start(|request| {
        let Some(answer) = request.header("authorization") else {
            return HttpResponse::status(401).header(
                "www-authenticate",
                "Digest realm=\"r\", nonce=\"n1\", qop=\"auth\", algorithm=MD5",
            );
        };
        let field = |name: &str| {
            answer
                .trim_start_matches("Digest ")
                .split(',')
                .filter_map(|pair| pair.trim().split_once('='))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.trim_matches('"').to_owned())
                .unwrap_or_default()
        };
        let expected = md5(&format!(
            "{}:n1:{}:{}:auth:{}",
            md5("me:r:pass word"),
            field("nc"),
            field("cnonce"),
            md5("GET:/file?x=1")
        ));
        if field("response") == expected && field("username") == "me" {
            HttpResponse::ok("for members\n")
        } else {
            HttpResponse::status(403)
        }
    });
    let machine = Machine::new();
    put_secret(&machine, "/web/password", "pass word");
    let info = json!({
        "url": server.url("/file?x=1"), "allowInsecureDownload": true, "authMethod": "Digest",
        "username": "me", "password": "{{ssm-secure:/web/password}}",
    });
    let grants = format!("hosts: [\"{}\"], secrets: [/web/password]", server.url(""));
    let run = fetch(&machine, "HTTP", &info, "cat /tmp/got", &grants, &[]).success();
    assert_eq!(run.stdout(1), "for members\n");

    // The name of the user may be a secret as well.
    put_secret(&machine, "/web/user", "me");
    let mut info = info;
    info["username"] = "{{ssm-secure:/web/user}}".into();
    let grants = format!("hosts: [\"{}\"], secrets: [\"/web/*\"]", server.url(""));
    let run = fetch(&machine, "HTTP", &info, "cat /tmp/got", &grants, &[]).success();
    assert_eq!(run.stdout(1), "for members\n");
}

#[test]
fn the_user_of_basic_authentication_may_be_a_secret() {
    let server = HttpServer::start(|request| {
        // me:pass
        if request.header("authorization") == Some("Basic bWU6cGFzcw==") {
            HttpResponse::ok("for members")
        } else {
            HttpResponse::status(401)
        }
    });
    let machine = Machine::new();
    put_secret(&machine, "/web/user", "me");
    put_secret(&machine, "/web/password", "pass");
    let info = json!({
        "url": server.url("/f"), "allowInsecureDownload": true, "authMethod": "Basic",
        "username": "{{ssm-secure:/web/user}}", "password": "{{ssm-secure:/web/password}}",
    });
    let grants = format!("hosts: [\"{}\"], secrets: [\"/web/*\"]", server.url(""));
    let run = fetch(&machine, "HTTP", &info, "cat /tmp/got", &grants, &[]).success();
    assert_eq!(run.stdout(1), "for members");
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

#[test]
fn a_folder_comes_from_github() {
    let server = HttpServer::start(|request| {
        if request.header("authorization") != Some("Bearer token-1") {
            return HttpResponse::status(401);
        }
        let raw = request.header("accept") == Some("application/vnd.github.raw+json");
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        assert!(query == "ref=main" || query == "ref=fix%231%2Bx", "{query}");
        let entry = |kind: &str, path: &str| json!({ "type": kind, "path": path });
        match (path.trim_start_matches("/repos/acme/ops/contents/"), raw) {
            ("scripts", false) => HttpResponse::ok(
                json!({ "type": "dir", "entries": [entry("file", "scripts/a.sh"), entry("dir", "scripts/lib"),
                    entry("submodule", "scripts/other")] })
                .to_string(),
            ),
            ("scripts/lib", false) => {
                HttpResponse::ok(json!([entry("file", "scripts/lib/b.sh")]).to_string())
            }
            ("scripts/a.sh", true) => HttpResponse::ok("echo a\n"),
            ("scripts/lib/b.sh", true) => HttpResponse::ok("echo b\n"),
            ("scripts/a.sh", false) => HttpResponse::ok(entry("file", "scripts/a.sh").to_string()),
            ("evil", false) => HttpResponse::ok(
                json!([entry("file", "evil/../../../../tmp/x")]).to_string(),
            ),
            _ => HttpResponse::status(404),
        }
    });
    let machine = Machine::new();
    put_secret(&machine, "/github/token", "token-1");
    let grants = format!("hosts: [\"{}\"], secrets: [/github/token]", server.url(""));
    let get = |path: &str, script: &str| {
        let info = json!({
            "owner": "acme", "repository": "ops", "path": path, "getOptions": "branch:main",
            "tokenInfo": "{{ssm-secure:/github/token}}", "apiUrl": server.url(""),
        });
        fetch(&machine, "GitHub", &info, script, &grants, &[])
    };
    let run = get("scripts", "cd /tmp/got && sh a.sh && sh lib/b.sh").success();
    assert_eq!(run.stdout(1), "a\nb\n");
    let run = get("scripts/a.sh", "sh /tmp/got").success();
    assert_eq!(run.stdout(1), "a\n");
    for (path, sum, code) in [
        ("scripts/a.sh", "0".repeat(64), 1),
        (
            "scripts/a.sh",
            "914cefaded94d45f313fa21b0af05991c33df3566f4ca6814c3652f4b92b7c8c".into(),
            0,
        ),
        ("scripts", "0".repeat(64), 1),
    ] {
        let info = json!({
            "owner": "acme", "repository": "ops", "path": path, "getOptions": "branch:main", "sha256": sum,
            "tokenInfo": "{{ssm-secure:/github/token}}", "apiUrl": server.url(""),
        });
        let run = fetch(&machine, "GitHub", &info, "true", &grants, &[]);
        assert_eq!(run.code, code, "{:#}", run.json);
    }
    // The name of a branch is one value, whatever it holds.
    let info = json!({
        "owner": "acme", "repository": "ops", "path": "scripts/a.sh", "getOptions": "branch:fix#1+x",
        "tokenInfo": "{{ssm-secure:/github/token}}", "apiUrl": server.url(""),
    });
    fetch(&machine, "GitHub", &info, "sh /tmp/got", &grants, &[]).success();
    assert!(
        server
            .requests
            .lock()
            .unwrap()
            .iter()
            .any(|request| request.path.ends_with("?ref=fix%231%2Bx"))
    );
    let run = get("evil", "true").expect(1, "Failed");
    assert!(
        run.json.to_string().contains("is no path below"),
        "{:#}",
        run.json
    );
}

#[test]
fn a_repository_is_cloned_with_git() {
    if !has("git") {
        eprintln!("there is no git here; nothing was tested");
        return;
    }
    let machine = Machine::new();
    let origin = machine.path("origin");
    let script = "set -e; git init -q -b main .; git config user.email t@example.com; git config user.name t; \
        echo one > file; git add file; git commit -qm one; git rev-parse HEAD > ../first; \
        echo two > file; git commit -qam two; git checkout -q -b next; echo three > file; git commit -qam three; \
        git checkout -q main; git update-server-info";
    std::fs::create_dir_all(&origin).unwrap();
    let made = Command::new("sh")
        .args(["-c", script])
        .current_dir(&origin)
        .env("HOME", machine.path(""))
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let first = std::fs::read_to_string(machine.path("first")).unwrap();
    let files = origin.join(".git");
    let server = HttpServer::start(move |request| {
        // Basic: me and pass.
        if request.header("authorization") != Some("Basic bWU6cGFzcw==") {
            return HttpResponse::status(401).header("www-authenticate", "Basic realm=\"r\"");
        }
        let path = request.path.split('?').next().unwrap_or_default();
        let path = files.join(path.trim_start_matches("/ops.git/"));
        std::fs::read(path).map_or_else(|_| HttpResponse::status(404), HttpResponse::ok)
    });
    put_secret(&machine, "/git/password", "pass");
    let grants = format!("hosts: [\"{}\"], secrets: [/git/password]", server.url(""));
    let get = |options: &str| {
        let info = json!({
            "repository": server.url("/ops.git"), "getOptions": options,
            "username": "me", "password": "{{ssm-secure:/git/password}}",
        });
        fetch(&machine, "Git", &info, "cat /tmp/got/file", &grants, &[])
    };
    for (options, content) in [
        (String::new(), "two\n"),
        ("branch:next".to_owned(), "three\n"),
        (format!("commitID:{}", first.trim()), "one\n"),
    ] {
        assert_eq!(get(&options).success().stdout(1), content, "{options}");
    }
    // To a folder of its own, also after an attempt that failed, and with the user name as a secret too.
    put_secret(&machine, "/git/user", "me");
    let folder = machine.path("opt");
    std::fs::create_dir_all(&folder).unwrap();
    let policy = format!(
        "version: 1\nrules:\n  - id: test\n    grants: {{ hosts: [\"{}\"], secrets: [\"/git/*\"], files: [{{ path: {}, access: read-write }}] }}\n",
        server.url(""),
        folder.display()
    );
    let clone = |options: &str, sum: &str| {
        let info = json!({
            "repository": server.url("/ops.git"), "getOptions": options, "sha256": sum,
            "username": "{{ssm-secure:/git/user}}", "password": "{{ssm-secure:/git/password}}",
        });
        fetch_to(&machine, "Git", &info, &folder.join("ops"), &policy)
    };
    clone(&format!("commitID:{}", "0".repeat(40)), "").expect(1, "Failed");
    assert_eq!(names(&folder.join("ops")), [""; 0]);
    let run = clone("", &"0".repeat(64)).expect(1, "Failed");
    assert!(
        run.json.to_string().contains("sha256 is for one file"),
        "{:#}",
        run.json
    );
    clone("", "").success();
    assert_eq!(std::fs::read(folder.join("ops/file")).unwrap(), b"two\n");
}

#[test]
fn a_secret_is_shown_and_kept_nowhere() {
    let server = HttpServer::start(|request| {
        let sent = request.header("authorization").unwrap_or_default();
        HttpResponse::ok(format!("sent {sent}\nplain pass word\n"))
    });
    let machine = Machine::new();
    put_secret(&machine, "/web/password", "pass word");
    // A word of the report's own must not break it.
    put_secret(&machine, "/web/word", "Success");
    let info = json!({
        "url": server.url("/word"), "allowInsecureDownload": true, "authMethod": "Basic",
        "username": "me", "password": "{{ssm-secure:/web/word}}",
    });
    let grants = format!("hosts: [\"{}\"], secrets: [/web/word]", server.url(""));
    fetch(&machine, "HTTP", &info, "true", &grants, &[]).success();
    let info = json!({
        "url": server.url("/echo"), "allowInsecureDownload": true, "authMethod": "Basic",
        "username": "me", "password": "{{ssm-secure:/web/password}}",
    });
    let grants = format!("hosts: [\"{}\"], secrets: [/web/password]", server.url(""));
    let run = fetch(&machine, "HTTP", &info, "cat /tmp/got", &grants, &[]).success();
    assert!(run.stdout(1).contains("plain ****\n"), "{:#}", run.json);
    // What the component may read of its own accord it may also send elsewhere; what is written down is clean.
    let id = run.json["runId"].as_str().unwrap();
    let kept = [
        run.json.to_string(),
        run.stderr.clone(),
        walk(&machine.state().join("runs")),
        std::fs::read_to_string(machine.state().join("receipts.jsonl")).unwrap(),
        walk(
            &machine
                .state()
                .join("document/orchestration")
                .join(id)
                .join("awsrunShellScript"),
        ),
    ];
    assert!(kept[4].contains("plain ****"), "{}", kept[4]);
    for text in &kept {
        for form in ["pass word", "cGFzcyB3b3Jk", "bWU6cGFzcyB3b3Jk"] {
            assert!(!text.contains(form), "{form} in {text}");
        }
    }
}
