//! From GitHub and from Git.

use serde_json::json;

use super::{fetch, fetch_to, names};
use crate::support::{HttpResponse, HttpServer, Machine, has, put_secret, sh};

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
    sh(&origin, script);
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
