//! Edges of what is granted: spellings, names that come later, and limits that are passed on the way. As in
//! `escapes`, each test has a twin that works.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use serde_json::json;

use crate::support::{
    HttpResponse, HttpServer, Machine, Run, WITHOUT_NAMESPACES, shell_document, skips_without,
    skips_without_root,
};

fn policy(machine: &Machine, limits: &str, grants: &str) -> String {
    let text = format!(
        "version: 1\nlimits: {{ {limits} }}\nrules:\n  - id: test\n    grants: {{ {grants} }}\n"
    );
    machine.file("policy.yaml", text).display().to_string()
}

fn limited(limits: &str, script: &str) -> Run {
    let machine = Machine::new();
    let policy = policy(&machine, limits, "");
    machine.shell(script, &["--policy", &policy])
}

#[track_caller]
fn over(run: Run, detail: &str, words: &str) {
    let run = run.expect(1, "Failed");
    let step = run.step(0);
    assert!(
        step["statusDetail"] == detail && step.to_string().contains(words),
        "{:#}",
        run.json
    );
}

#[test]
fn a_step_is_refused_when_what_is_denied_cannot_be_told() {
    let machine = Machine::new();
    let audit = machine.path("audit");
    std::fs::create_dir_all(audit.join("x/secret")).unwrap();
    let policy = machine.file(
        "policy.yaml",
        format!(
            "version: 1\nrules:\n  - id: all\n    grants: {{ files: [{{ path: {0}, access: read }}] }}\n  - id: keep-back\n    effect: deny\n    grants: {{ files: [{{ path: \"{0}/{{{{ App }}}}/secret\", access: read }}] }}\n",
            audit.display()
        ),
    );
    let document = json!({
        "schemaVersion": "2.2",
        "parameters": { "App": { "type": "String" } },
        "mainSteps": [{ "name": "script", "action": "aws:runShellScript",
            "inputs": { "runCommand": [format!("ls {}", audit.display())] } }],
    })
    .to_string();
    let run = |app: &str| {
        let parameters = json!({ "App": [app] }).to_string();
        let policy = policy.display().to_string();
        machine.run(
            &document,
            &["--policy", &policy, "--parameters", &parameters],
        )
    };
    assert_eq!(run("x").success().stdout(0), "x\n");
    for app in ["x/y", "..", ""] {
        let run = run(app);
        assert_eq!(
            run.step(0)["statusDetail"],
            "AccessDenied",
            "{:#}",
            run.json
        );
        assert!(run.json.to_string().contains("keep-back"), "{:#}", run.json);
    }
}

#[test]
fn a_burst_of_files_is_over_the_limit_at_the_end_of_the_step() {
    if skips_without(&["fallocate"]) {
        return;
    }
    let burst = |count: u32| {
        let script = format!("for i in $(seq {count}); do fallocate -l 4M file$i || exit 2; done");
        limited("disk: 10MiB", &script)
    };
    burst(2).success();
    over(burst(3), "DiskLimitExceeded", "more than 10485760 bytes");
}

#[test]
fn removed_files_that_are_open_take_up_the_disk() {
    if skips_without(&["fallocate"]) {
        return;
    }
    let run = |script: &str| limited("disk: 10MiB", script);
    run("for file in a b; do exec 3> $file; fallocate -l 8M $file; rm $file; exec 3>&-; done; sleep 0.5").success();
    let hold = "exec 3> a 4> b; fallocate -l 8M a; fallocate -l 8M b; rm a b; ";
    let wait = format!("{hold} sleep 60");
    over(run(&wait), "DiskLimitExceeded", "bytes");
    // Whoever hides what it has open is looked at all the same.
    if !skips_without(&["python3"]) && !skips_without_root("a process that hides itself") {
        let hide = format!(
            "{hold} exec python3 -c 'import ctypes, time; ctypes.CDLL(None).prctl(4, 0); time.sleep(60)'"
        );
        over(run(&hide), "DiskLimitExceeded", "bytes");
    }
}

#[test]
fn folders_within_each_other_without_end_are_over_the_limit() {
    let nest = |count: u32| {
        let name = "n".repeat(100);
        let script = format!(
            "i=0; while [ $i -lt {count} ]; do mkdir {name} && cd -P {name} 2> /dev/null || exit 2; i=$((i+1)); done"
        );
        limited("disk: 10MiB", &script)
    };
    nest(20).success();
    let python = "#!/usr/bin/python3\nimport os\nfor i in range(300):\n    os.mkdir('n' * 100)\n    os.chdir('n' * 100)\n";
    if !skips_without(&["python3"]) {
        let run = limited("disk: 10MiB", python);
        over(run, "DiskLimitExceeded", "within each other");
    }
}

#[test]
fn empty_files_are_counted() {
    let touch = |count: u32| limited("disk: 10MiB", &format!("seq {count} | xargs touch"));
    touch(9_000).success();
    over(touch(11_000), "DiskLimitExceeded", "more than 10000 files");
}

#[test]
fn the_next_step_does_not_answer_for_what_another_left() {
    if skips_without(&["fallocate"]) {
        return;
    }
    let machine = Machine::new();
    let policy = policy(&machine, "disk: 10MiB", "");
    let step = |name: &str, script: &str| json!({ "name": name, "action": "aws:runShellScript", "inputs": { "runCommand": [script] } });
    let document = json!({
        "schemaVersion": "2.2",
        "mainSteps": [
            step("bad", "for i in 1 2 3; do fallocate -l 4M $TMPDIR/file$i; done"),
            step("good", "echo fine; sleep 0.5"),
            step("more", "fallocate -l 4M $TMPDIR/file4"),
        ],
    });
    let run = machine.run(&document.to_string(), &["--policy", &policy]);
    let details: Vec<_> = (0..3).map(|step| &run.step(step)["statusDetail"]).collect();
    assert_eq!(
        details,
        ["DiskLimitExceeded", "Success", "DiskLimitExceeded"],
        "{:#}",
        run.json
    );
}

/// Runs a script as a user who can make no namespaces; none where that cannot be had.
fn without_namespaces(machine: &Machine, script: &str, policy: &str) -> Option<Run> {
    if skips_without(&["python3"]) {
        return None;
    }
    let document = machine.file("document.json", shell_document(script));
    let mut command = std::process::Command::new("python3");
    command
        .args(["-c", WITHOUT_NAMESPACES, env!("CARGO_BIN_EXE_capstan")])
        .args(["run", "--output", "json", "--policy", policy])
        .arg(&document)
        .env("CAPSTAN_STATE", machine.state())
        .env("CAPSTAN_CACHE", crate::support::shared_cache());
    let run = Run::of(command.output().unwrap());
    if run.code == 77 {
        eprintln!("left out: this machine allows no user namespaces at all");
        return None;
    }
    Some(run)
}

#[test]
fn the_disk_is_counted_without_namespaces() {
    if skips_without(&["fallocate"]) {
        return;
    }
    let run = |script: &str| {
        let machine = Machine::new();
        let policy = policy(&machine, "disk: 10MiB", "");
        without_namespaces(&machine, script, &policy)
    };
    let fill = "for i in 1 2 3; do fallocate -l 4M $TMPDIR/file$i; done";
    let Some(run_full) = run(fill) else { return };
    over(run_full, "DiskLimitExceeded", "bytes");
    let close = "mkdir closed && fallocate -l 4M closed/file && chmod 0 closed";
    over(run(close).unwrap(), "DiskLimitExceeded", "closed");
    let both = "mkdir open; fallocate -l 4M open/file; fallocate -l 4M $TMPDIR/file";
    run(both).unwrap().success();
}

#[test]
fn root_cannot_read_the_files_of_others_under_the_profile() {
    if skips_without_root("a file of another user") {
        return;
    }
    let folder = format!("/opt/capstan-test-{}", std::process::id());
    std::fs::create_dir_all(&folder).unwrap();
    let (secret, open) = (format!("{folder}/secret"), format!("{folder}/open"));
    for (path, mode) in [(&secret, 0o600), (&open, 0o644)] {
        std::fs::write(path, "s3cret").unwrap();
        chown(path, Some(65534), Some(65534)).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let machine = Machine::new();
    let script = format!("cat {open} && echo && cat {secret}");
    let refused = machine.shell(&script, &[]);
    let become_owner = machine.shell(
        &format!("setpriv --reuid 65534 --clear-groups cat {secret}"),
        &[],
    );
    let grants = format!("files: [{{ path: {folder}, access: read }}]");
    let policy = policy(&machine, "", &grants);
    let granted = machine.shell(&script, &["--policy", &policy]);
    let own = machine.shell("echo x > file; chmod 600 file; cat file; rm file", &[]);
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(refused.stdout(0), "s3cret\n", "{:#}", refused.json);
    assert_eq!(refused.code, 1, "{:#}", refused.json);
    assert!(!become_owner.json.to_string().contains("s3cret"));
    assert_eq!(granted.success().stdout(0), "s3cret\ns3cret");
    assert_eq!(own.success().stdout(0), "x\n");
}

#[test]
fn the_state_folder_is_in_no_grant_around_it() {
    let machine = Machine::new();
    machine.shell("true", &[]).success();
    machine.file("other/file", "fine");
    let root = machine.path("");
    let root = root.display().to_string();
    let root = root.trim_end_matches('/');
    let grants = format!("files: [{{ path: {root}, access: read-write }}]");
    let policy = policy(&machine, "", &grants);
    let script = format!("cat {root}/other/file && echo x > file && cat file");
    let run = machine.shell(&script, &["--policy", &policy]).success();
    assert_eq!(run.stdout(0), "finex\n");
    // Names can be listed, as those of everything that is kept back from a granted folder.
    for attempt in [
        "cat receipts.jsonl",
        "cat runs/*/journal.jsonl",
        "echo x > x",
    ] {
        let script = format!("cd {root}/state; {attempt}");
        let run = machine.shell(&script, &["--policy", &policy]);
        let run = run.expect(1, "Failed");
        assert!(run.stdout(0).is_empty(), "{:#}", run.json);
    }
    let cache = crate::support::shared_cache();
    let grants = format!(
        "files: [{{ path: {}, access: read }}]",
        cache.parent().unwrap().display()
    );
    let policy = self::policy(&machine, "", &grants);
    let script = format!("head -c 9 {}/*.cwasm", cache.display());
    machine
        .shell(&script, &["--policy", &policy])
        .expect(1, "Failed");
}

fn wait_for(path: &Path) {
    while !path.exists() {
        std::thread::yield_now();
    }
}

#[test]
fn what_is_granted_beside_a_single_file_and_the_state_below_its_folder_stay_in_reach() {
    if skips_without_root("a file of the system's") {
        return;
    }
    let machine = Machine::new();
    let (single, data) = (machine.path("single"), machine.path("closed/data"));
    std::fs::create_dir_all(&data).unwrap();
    let grants = format!(
        "files: [{{ path: {}, access: read-write }}, {{ path: {}, access: read-write }}]",
        single.display(),
        data.display()
    );
    let policy = policy(&machine, "", &grants);
    let script = format!(
        "echo one > {}; echo two > {}/new; ls {}",
        single.display(),
        data.display(),
        machine.state().display()
    );
    let run = machine.shell(&script, &["--policy", &policy]);
    assert_eq!(std::fs::read_to_string(&single).unwrap(), "one\n");
    assert_eq!(std::fs::read_to_string(data.join("new")).unwrap(), "two\n");
    // The state is where the worker finds it, and not for programs.
    run.expect(1, "Failed");
}

#[test]
fn a_single_file_below_a_folder_that_steps_see_replaced_is_made_and_replaced() {
    if skips_without_root("a file of the system's") {
        return;
    }
    let machine = Machine::new();
    let name = format!("capstan-single-{}", std::process::id());
    for folder in ["/var/tmp", "/tmp"] {
        let file = Path::new(folder).join(&name);
        let _ = std::fs::remove_file(&file);
        let grants = format!(
            "files: [{{ path: {}, access: read-write }}]",
            file.display()
        );
        let policy = policy(&machine, "", &grants);
        for content in ["one", "two"] {
            let script = format!("echo {content} > {0}.new && mv {0}.new {0}", file.display());
            machine.shell(&script, &["--policy", &policy]).success();
            assert_eq!(
                std::fs::read_to_string(&file).unwrap(),
                format!("{content}\n"),
                "{folder}"
            );
        }
        let _ = std::fs::remove_file(file);
    }
}

#[test]
fn a_neighbour_that_is_made_later_is_not_beside_a_single_file() {
    if skips_without_root("a file of the system's") {
        return;
    }
    let machine = Machine::new();
    let config = machine.file("ov/config", "a\n");
    let (folder, shared) = (machine.path("ov"), machine.path("shared"));
    std::fs::create_dir_all(&shared).unwrap();
    let grants = format!(
        "files: [{{ path: {}, access: [read, replace] }}, {{ path: {}, access: read-write }}]",
        config.display(),
        shared.display()
    );
    let policy = policy(&machine, "", &grants);
    let step = |name: &str, lines: &[String]| json!({ "name": name, "action": "aws:runShellScript", "inputs": { "runCommand": lines } });
    let wait = |number: u32| {
        format!(
            "touch {0}/ready{number}; until test -e {0}/go{number}; do :; done",
            shared.display()
        )
    };
    let document = json!({
        "schemaVersion": "2.2",
        "mainSteps": [
            step("look", &[wait(1), format!("cat {}/new; cat {}", folder.display(), config.display())]),
            step("change", &[format!("cat {0}; sed -i s/b/c/ {0}", config.display()), wait(2)]),
            step("remove", &[format!("cat {0}; rm {0}", config.display())]),
        ],
    })
    .to_string();
    let run = std::thread::scope(|scope| {
        let running = scope.spawn(|| machine.run(&document, &["--policy", &policy]));
        wait_for(&shared.join("ready1"));
        let new = machine.file("ov/new", "s3cret");
        std::fs::set_permissions(new, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&config, "b\n").unwrap();
        std::fs::write(shared.join("go1"), "").unwrap();
        wait_for(&shared.join("ready2"));
        assert_eq!(std::fs::read_to_string(&config).unwrap(), "b\n");
        std::fs::write(shared.join("go2"), "").unwrap();
        running.join().unwrap()
    });
    let run = run.success();
    assert!(!run.json.to_string().contains("s3cret"), "{:#}", run.json);
    // What others changed between two steps is there, and so is what the step before made of it.
    assert_eq!(run.stdout(0), "a\n", "{:#}", run.json);
    assert_eq!(run.stdout(1), "b\n", "{:#}", run.json);
    assert_eq!(run.stdout(2), "c\n", "{:#}", run.json);
    assert!(!config.exists());
    assert_eq!(
        std::fs::read_to_string(folder.join("new")).unwrap(),
        "s3cret"
    );
}

/// A server that answers with a body of unknown length, in pieces, until nobody takes them any more.
fn endless(most: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            let piece = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
            for _ in 0..most {
                if stream.write_all(piece.as_bytes()).is_err() {
                    break;
                }
            }
            let _ = stream.write_all(b"0\r\n\r\n");
        }
    });
    port
}

#[test]
fn what_passes_the_proxy_is_counted_while_it_does() {
    if skips_without(&["curl"]) {
        return;
    }
    let fetch = |pieces: usize, tunnel: bool| {
        let machine = Machine::new();
        let port = endless(pieces);
        let (scheme, option) = if tunnel {
            ("tcp", "--proxytunnel")
        } else {
            ("http", "")
        };
        let grants = format!("hosts: [\"{scheme}://localhost:{port}\"]");
        let policy = policy(&machine, "httpBytes: 1MiB", &grants);
        let script = format!("curl -fsS {option} --max-time 60 http://localhost:{port}/ | wc -c");
        machine.shell(&script, &["--policy", &policy])
    };
    for tunnel in [false, true] {
        assert_eq!(fetch(8, tunnel).success().stdout(0).trim(), "524288");
        // More than goes through in the time that the test has.
        over(fetch(1 << 24, tunnel), "HttpLimitExceeded", "over HTTP");
    }
}

#[test]
fn a_path_is_granted_in_its_plain_spelling() {
    if skips_without(&["curl"]) {
        return;
    }
    let machine = Machine::new();
    let server = HttpServer::start(|_| HttpResponse::ok("hello"));
    let port = server.address.port();
    let grants = format!("hosts: [\"http://localhost:{port}/api/**\"]");
    let policy = policy(&machine, "", &grants);
    let fetch = |path: &str| {
        let script = format!("curl -fsS --path-as-is --max-time 5 'http://localhost:{port}{path}'");
        machine.shell(&script, &["--policy", &policy])
    };
    for path in ["/api/a%20b", "/api/caf%C3%A9", "/api/.well-known/y"] {
        assert_eq!(fetch(path).success().stdout(0), "hello", "{path}");
    }
    let count = server.count();
    for path in [
        "/api/..;/admin",
        "/api/%252e%252e/admin",
        "/api/..%00/admin",
        "/api/%c0%ae%c0%ae/admin",
        "/api/.%%32%65/admin",
    ] {
        fetch(path).expect(1, "Failed");
    }
    assert_eq!(server.count(), count);
}

#[test]
fn without_a_network_of_its_own_a_steps_proxy_wants_its_password() {
    if skips_without(&["curl"]) {
        return;
    }
    let machine = Machine::new();
    // The script tells the server where its proxy is, and the server tries it from outside.
    let server = HttpServer::start(|request| {
        let path = request.path.trim_start_matches("/proxy/");
        let Some((own, port)) = path.split_once('/') else {
            return HttpResponse::ok("hello");
        };
        let mut answer = String::new();
        if let Ok(mut stream) = TcpStream::connect(format!("127.0.0.1:{port}")) {
            let head = format!(
                "GET http://localhost:{own}/x HTTP/1.1\r\nhost: localhost:{own}\r\nconnection: close\r\nproxy-authorization: Basic Y2Fwc3Rhbjo=\r\n\r\n"
            );
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.read_to_string(&mut answer);
        }
        HttpResponse::ok(answer)
    });
    let own = server.address.port();
    let grants = format!("hosts: [\"http://localhost:{own}\"]");
    let policy = policy(&machine, "", &grants);
    let script =
        format!("curl -fsS --max-time 20 http://localhost:{own}/proxy/{own}/${{http_proxy##*:}}");
    let Some(run) = without_namespaces(&machine, &script, &policy) else {
        return;
    };
    let run = run.success();
    assert!(run.stdout(0).starts_with("HTTP/1.1 407"), "{:#}", run.json);
    assert_eq!(server.count(), 1);
}

#[test]
fn a_step_whose_worker_died_tells_what_confined_it() {
    let machine = Machine::new();
    let shared = machine.path("shared");
    std::fs::create_dir_all(&shared).unwrap();
    let grants = format!(
        "files: [{{ path: {}, access: read-write }}]",
        shared.display()
    );
    let policy = policy(&machine, "", &grants);
    let script = format!("touch {}/ready; sleep 600", shared.display());
    let document = machine.file("document.json", shell_document(&script));
    let running = machine
        .command()
        .args(["run", "--output", "json", "--policy", &policy])
        .arg(document)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(&shared.join("ready"));
    // The worker is the one child of the supervisor.
    for thread in std::fs::read_dir(format!("/proc/{}/task", running.id())).unwrap() {
        let children = thread.unwrap().path().join("children");
        for worker in std::fs::read_to_string(children)
            .unwrap()
            .split_whitespace()
        {
            let kill = std::process::Command::new("kill")
                .args(["-9", worker])
                .status();
            assert!(kill.unwrap().success());
        }
    }
    let run = Run::of(running.wait_with_output().unwrap());
    let step = run.step(0);
    assert_eq!(step["statusDetail"], "WorkerCrashed", "{:#}", run.json);
    assert!(
        step["enforced"]["seccomp"].to_string().contains("ull"),
        "{:#}",
        run.json
    );
}
