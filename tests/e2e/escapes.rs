//! What a script under the default profile cannot do. Each has a twin that shows that the same thing works where
//! it is granted, so that a test does not pass because the machine lacks what it tries.

use std::io::Write as _;
use std::net::TcpListener;

use crate::support::{
    Machine, WITHOUT_NAMESPACES, has, shell_document, skips_without, skips_without_root,
};

/// The script must fail on its own, without the step being refused beforehand.
#[track_caller]
fn fails(machine: &Machine, script: &str) -> crate::support::Run {
    machine.shell(script, &[]).expect(1, "Failed")
}

fn policy(machine: &Machine, grants: &str) -> String {
    let text = format!(
        "version: 1\nprofile: confined\nrules:\n  - id: test\n    grants:\n      {grants}\n"
    );
    machine.file("policy.yaml", text).display().to_string()
}

#[test]
fn cannot_read_a_file_that_is_not_granted() {
    let machine = Machine::new();
    let secret = machine.file("other/secret", "s3cret");
    let script = format!("cat {}", secret.display());
    let run = fails(&machine, &script);
    assert!(!run.json.to_string().contains("s3cret"));

    let policy = policy(
        &machine,
        &format!("files: [{{ path: {}, access: read }}]", secret.display()),
    );
    let run = machine.shell(&script, &["--policy", &policy]).success();
    assert_eq!(run.stdout(0), "s3cret");
}

#[test]
fn cannot_read_password_hashes() {
    fails(&Machine::new(), "cat /etc/shadow");
    Machine::new().shell("cat /etc/passwd", &[]).success();
}

#[test]
fn cannot_write_outside_of_its_folders() {
    let machine = Machine::new();
    let folder = machine.path("other");
    std::fs::create_dir_all(&folder).unwrap();
    let script = format!("echo x > {}/file", folder.display());
    fails(&machine, &script);
    fails(&machine, "echo x > /etc/capstan-test");
    fails(&machine, "echo x > /usr/capstan-test");
    assert!(!folder.join("file").exists());

    let policy = policy(
        &machine,
        &format!(
            "files: [{{ path: {}, access: read-write }}]",
            folder.display()
        ),
    );
    machine.shell(&script, &["--policy", &policy]).success();
    assert_eq!(std::fs::read_to_string(folder.join("file")).unwrap(), "x\n");
    machine
        .shell(
            "echo x > file && echo y > /tmp/file && cat file /tmp/file",
            &[],
        )
        .success();
}

#[test]
fn cannot_change_the_mode_or_owner_of_a_file_outside() {
    if skips_without_root("a file of another user") {
        return;
    }
    let machine = Machine::new();
    let file = machine.file("other", "x");
    fails(&machine, &format!("chmod 777 {}", file.display()));
    fails(&machine, &format!("chown 65534 {}", file.display()));
    fails(&machine, "chmod 644 /etc/shadow");
}

#[test]
fn links_do_not_lead_out() {
    let machine = Machine::new();
    let secret = machine.file("other/secret", "s3cret");
    let run = fails(
        &machine,
        &format!("ln -s {} link && cat link", secret.display()),
    );
    assert!(!run.json.to_string().contains("s3cret"));
    fails(
        &machine,
        &format!("ln {} hard && cat hard", secret.display()),
    );
}

#[test]
fn cannot_reach_loopback_or_any_address() {
    if !has("bash") {
        return;
    }
    let machine = Machine::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    fails(
        &machine,
        &format!("#!/bin/bash\nexec 3<> /dev/tcp/127.0.0.1/{port}"),
    );
    fails(
        &machine,
        "#!/bin/bash\nexec 3<> /dev/tcp/169.254.169.254/80",
    );
    fails(&machine, "#!/bin/bash\necho x > /dev/udp/127.0.0.1/53");
    assert!(listener.accept().is_err(), "the script connected");

    machine
        .shell(
            &format!("#!/bin/bash\nexec 3<> /dev/tcp/127.0.0.1/{port}"),
            &["--profile", "trusted-host"],
        )
        .success();
}

#[test]
fn cannot_see_or_signal_other_processes() {
    let machine = Machine::new();
    let mut other = std::process::Command::new("sleep")
        .arg("600")
        .spawn()
        .unwrap();
    let pid = other.id();
    fails(&machine, &format!("kill -0 {pid}"));
    fails(
        &machine,
        &format!("cat /proc/{pid}/cmdline /proc/{pid}/environ"),
    );
    machine.shell(&format!("kill -9 {pid}; kill -9 1; true"), &[]);
    assert!(
        other.try_wait().unwrap().is_none(),
        "the script ended another process"
    );
    machine
        .shell(&format!("kill -9 {pid}"), &["--profile", "trusted-host"])
        .success();
    assert!(!other.wait().unwrap().success());
}

#[test]
fn nothing_outlives_the_step() {
    let machine = Machine::new();
    let folder = machine.path("shared");
    std::fs::create_dir_all(&folder).unwrap();
    let mark = folder.join("mark");
    let policy = policy(
        &machine,
        &format!(
            "files: [{{ path: {}, access: read-write }}]",
            folder.display()
        ),
    );
    // The daemon holds a lock for as long as it lives; the second step waits for nothing and must get it.
    let document = serde_json::json!({
        "schemaVersion": "2.2",
        "mainSteps": [
            { "name": "leave", "action": "aws:runShellScript", "inputs": { "runCommand": [
                format!("setsid nohup sh -c 'exec 9> {0}; flock 9; echo held > {0}.held; sleep 600' > /dev/null 2>&1 < /dev/null &", mark.display()),
                format!("until test -e {}.held; do sleep 0.02; done", mark.display()),
            ] } },
            { "name": "look", "action": "aws:runShellScript", "inputs": { "runCommand": [
                format!("exec 9> {}; flock -n 9", mark.display()),
            ] } },
        ],
    });
    machine
        .run(&document.to_string(), &["--policy", &policy])
        .success();
}

#[test]
fn cannot_gain_privileges_through_a_setuid_file() {
    if skips_without_root("a file of another user") {
        return;
    }
    let machine = Machine::new();
    let run = machine.shell(
        "grep -E '^NoNewPrivs:' /proc/self/status; cp /usr/bin/id ./id; chmod u+s ./id; ./id -u",
        &[],
    );
    assert!(
        run.stdout(0).contains("NoNewPrivs:\t1") || run.code == 1,
        "privileges can be gained: {:#}",
        run.json
    );
}

#[test]
fn cannot_make_namespaces_or_mounts() {
    let machine = Machine::new();
    fails(&machine, "unshare -Ur true");
    fails(&machine, "unshare -m true");
    fails(&machine, "mount -t tmpfs none /tmp");
}

#[test]
fn sees_nothing_of_the_callers_environment() {
    let machine = Machine::new();
    let file = machine.file("document.yaml", shell_document("env"));
    let output = machine
        .command()
        .env("AWS_SECRET_ACCESS_KEY", "s3cret-value")
        .args(["run", "--output", "json"])
        .arg(file)
        .output()
        .unwrap();
    let run = crate::support::Run::of(output).success();
    assert!(!run.json.to_string().contains("s3cret-value"));
    assert!(run.stdout(0).contains("SSM_COMMAND_ID="));
}

#[test]
fn cannot_reach_a_unix_socket() {
    if !has("python3") {
        return;
    }
    let machine = Machine::new();
    let path = std::path::PathBuf::from(format!("/run/capstan-test-{}.sock", std::process::id()));
    let Ok(listener) = std::os::unix::net::UnixListener::bind(&path) else {
        return;
    };
    let script = format!(
        "#!/usr/bin/python3\nimport socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('{}')\n",
        path.display()
    );
    fails(&machine, &script);
    let policy = policy(&machine, &format!("sockets: [{}]", path.display()));
    machine.shell(&script, &["--policy", &policy]).success();
    drop(listener);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_granted_name_is_reached_only_by_its_name() {
    if !has("curl") {
        return;
    }
    let machine = Machine::new();
    let server = crate::support::HttpServer::start(|_| crate::support::HttpResponse::ok("hello"));
    let port = server.address.port();
    let policy = policy(
        &machine,
        &format!("hosts: [\"http://localhost:{port}/open/**\"]"),
    );
    let script = format!("curl -fsS --max-time 5 http://localhost:{port}/open/x");
    fails(&machine, &script);
    let run = machine.shell(&script, &["--policy", &policy]).success();
    assert_eq!(run.stdout(0), "hello");

    for url in [
        format!("http://127.0.0.1:{port}/open/x"),
        format!("http://[::1]:{port}/open/x"),
        format!("http://localhost:{port}/closed"),
        "http://localhost:1/open/x".to_owned(),
    ] {
        let run = machine
            .shell(
                &format!("curl -fsS --max-time 5 '{url}'"),
                &["--policy", &policy],
            )
            .expect(1, "Failed");
        assert!(
            run.step(0)["denials"]
                .as_array()
                .is_some_and(|list| !list.is_empty()),
            "{url}: {:#}",
            run.json
        );
    }
    let run = machine.shell(
        &format!("curl -fsS --noproxy '*' --max-time 5 http://127.0.0.1:{port}/open/x"),
        &["--policy", &policy],
    );
    assert_eq!(run.code, 1, "{:#}", run.json);
    assert_eq!(server.count(), 1);
}

#[test]
fn a_receipt_that_was_changed_shows() {
    let machine = Machine::new();
    machine.shell("true", &[]).success();
    machine.shell("true", &[]).success();
    let receipts = machine.state().join("receipts.jsonl");
    assert!(machine.capstan(["audit", "verify"]).status.success());
    let text = std::fs::read_to_string(&receipts).unwrap();
    let mut file = std::fs::File::create(&receipts).unwrap();
    file.write_all(text.replacen("\"fuel\":", "\"fuel\":1", 1).as_bytes())
        .unwrap();
    let output = machine.capstan(["audit", "verify"]);
    assert!(!output.status.success());
    let lines: Vec<&str> = text.lines().collect();
    std::fs::write(&receipts, format!("{}\n", lines[1..].join("\n"))).unwrap();
    assert!(!machine.capstan(["audit", "verify"]).status.success());
}

#[test]
fn runs_as_the_user_that_the_policy_names() {
    if skips_without_root("a step that runs as another user") {
        return;
    }
    let machine = Machine::new();
    let folder = machine.path("shared");
    std::fs::create_dir_all(&folder).unwrap();
    let foreign = machine.file("shared/foreign", "x");
    use std::os::unix::fs::PermissionsExt as _;
    for path in [machine.path(""), folder.clone()] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    std::fs::set_permissions(&foreign, std::fs::Permissions::from_mode(0o600)).unwrap();
    let policy = |user: &str| {
        let text = format!(
            "version: 1\nrules:\n  - id: user\n    runAs: {{ user: {user} }}\n    grants: {{ files: [{{ path: {}, access: read-write }}] }}\n",
            folder.display()
        );
        machine.file("policy.yaml", text).display().to_string()
    };
    let script = format!(
        "id -u; id -G; grep CapEff /proc/self/status; cat {0} 2>&1; echo y > {0}; touch mine && echo work",
        foreign.display()
    );
    let run = machine
        .shell(&script, &["--policy", &policy("nobody")])
        .success();
    let lines: Vec<&str> = run.stdout(0).lines().collect();
    assert_eq!(lines[0], "65534", "{:#}", run.json);
    assert_eq!(lines[1], "65534", "{:#}", run.json);
    assert!(lines[2].ends_with("0000000000000000"), "{}", lines[2]);
    // What the policy grants is not more than what the user may do.
    assert!(lines[3].contains("Permission denied"), "{}", lines[3]);
    assert_eq!(lines.last(), Some(&"work"), "its own folder is its own");
    assert_eq!(std::fs::read_to_string(&foreign).unwrap(), "x");

    let run = machine.shell("id", &["--policy", &policy("no-such-user")]);
    assert_eq!(run.code, 1, "{:#}", run.json);
    assert!(
        run.json.to_string().contains("no-such-user"),
        "{:#}",
        run.json
    );
}

#[test]
fn the_profile_networked_reaches_public_addresses_only() {
    if skips_without_root("the profile networked, in a network of its own")
        || skips_without(&["ip", "unshare", "python3"])
    {
        return;
    }
    // A network with nothing but loopback, which has a public address, too. (The range is for documentation.)
    let machine = Machine::new();
    let document = machine.file(
        "document.json",
        shell_document(
            "for host in 8.8.8.8 127.0.0.1 169.254.169.254 10.1.2.3; do \
               python3 -c 'import sys, urllib.request; print(sys.argv[1], urllib.request.urlopen(\"http://\" + sys.argv[1] + \":8099/\", timeout=20).read())' $host 2>&1 | tail -1; \
             done",
        ),
    );
    let script = format!(
        "ip link set lo up; for a in 8.8.8.8 169.254.169.254 10.1.2.3; do ip address add $a/32 dev lo; done; \
         python3 -c 'import http.server; http.server.HTTPServer((\"\", 8099), http.server.SimpleHTTPRequestHandler).serve_forever()' >/dev/null 2>&1 & \
         server=$!; until python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 8099))' 2>/dev/null; do :; done; \
         {} run --output json --profile networked {}; code=$?; kill $server; exit $code",
        env!("CARGO_BIN_EXE_capstan"),
        document.display()
    );
    let mut command = std::process::Command::new("unshare");
    command
        .args(["--net", "sh", "-c", &script])
        .env("CAPSTAN_STATE", machine.state())
        .env("CAPSTAN_CACHE", crate::support::shared_cache())
        .current_dir(machine.path(""));
    let run = crate::support::Run::of(command.output().unwrap());
    let stdout = run.stdout(0);
    let reached = |host: &str| {
        stdout
            .lines()
            .any(|line| line.starts_with(host) && line.contains("Directory listing"))
    };
    assert!(reached("8.8.8.8"), "{:#}\n{}", run.json, run.stderr);
    for host in ["127.0.0.1", "169.254.169.254", "10.1.2.3"] {
        assert!(!reached(host), "{host}: {stdout}");
    }
    let denials = run.step(0)["denials"].to_string();
    assert!(denials.contains("169.254.169.254"), "{:#}", run.json);
}

#[test]
fn a_user_without_namespaces_is_confined_too_and_told_what_is_weaker() {
    if skips_without(&["python3"]) {
        return;
    }
    let machine = Machine::new();
    let secret = machine.file("other/secret", "s3cret");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let script = format!(
        "id -u; cat {0}; echo x > {0}; cat /etc/shadow; \
         (echo > /dev/tcp/127.0.0.1/{1}) && echo reached; \
         kill -0 {2} && echo signalled; \
         echo y > file; echo z > $TMPDIR/file; cat file $TMPDIR/file",
        secret.display(),
        listener.local_addr().unwrap().port(),
        std::process::id(),
    );
    let script = format!("#!/bin/bash\n{script}");
    let document = machine.file("document.json", shell_document(&script));
    let run = |more: &[&str]| {
        let mut command = std::process::Command::new("python3");
        command
            .args(["-c", WITHOUT_NAMESPACES, env!("CARGO_BIN_EXE_capstan")])
            .args(["run", "--output", "json"])
            .arg(&document)
            .args(more)
            .env("CAPSTAN_STATE", machine.state())
            .env("CAPSTAN_CACHE", crate::support::shared_cache());
        crate::support::Run::of(command.output().unwrap())
    };
    let result = run(&[]);
    if result.code == 77 {
        eprintln!("left out: this machine allows no user namespaces at all");
        return;
    }
    let result = result.success();
    assert_eq!(result.stdout(0), "1234\ny\nz\n", "{:#}", result.json);
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "s3cret");
    let enforced = &result.step(0)["enforced"];
    for layer in ["mount-namespace", "pid-namespace", "network-namespace"] {
        assert!(
            enforced[layer].to_string().contains("issing"),
            "{layer}: {enforced:#}"
        );
    }
    for layer in ["landlock-files", "seccomp", "no-new-privs"] {
        assert!(
            enforced[layer].to_string().contains("ull"),
            "{layer}: {enforced:#}"
        );
    }
    // Who does not accept that says so, and the step is not begun.
    let policy = machine.file("policy.yaml", "version: 1\nmayLack: []\n");
    let refused = run(&["--policy", &policy.display().to_string()]);
    assert_eq!(refused.code, 1, "{:#}", refused.json);
    assert_eq!(
        refused.step(0)["statusDetail"],
        "NotEnforceable",
        "{:#}",
        refused.json
    );
}
