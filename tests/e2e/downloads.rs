//! `aws:downloadContent`, from servers on loopback.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{HttpResponse, HttpServer, Machine, Run, has};

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

fn put_secret(machine: &Machine, name: &str, value: &str) {
    let put = machine.capstan([
        "parameter",
        "put",
        name,
        "--value",
        value,
        "--type",
        "SecureString",
    ]);
    assert!(
        put.status.success(),
        "{}",
        String::from_utf8_lossy(&put.stderr)
    );
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
}

#[test]
fn a_folder_comes_from_github() {
    let server = HttpServer::start(|request| {
        if request.header("authorization") != Some("Bearer token-1") {
            return HttpResponse::status(401);
        }
        let raw = request.header("accept") == Some("application/vnd.github.raw+json");
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        assert_eq!(query, "ref=main");
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
    let info = json!({ "repository": "git@example.com:ops.git" });
    let run = fetch(&machine, "Git", &info, "true", &grants, &[]).expect(1, "Failed");
    assert!(run.json.to_string().contains("https URL"), "{:#}", run.json);
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
