//! `aws:downloadContent` from a repository over ssh, from a server of OpenSSH on loopback.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Daemon, Machine, Run, free_port, put_secret, sh, skips_without};

/// An ssh server for the user of the tests, with a key that it takes.
struct Server {
    _process: Daemon,
    port: u16,
    user: String,
    folder: PathBuf,
}

impl Server {
    fn start(machine: &Machine) -> Self {
        let folder = machine.path("ssh");
        std::fs::create_dir_all(&folder).unwrap();
        let user = sh(
            &folder,
            "for key in host client other; do ssh-keygen -q -t ed25519 -N '' -f $key; done; \
             cp client.pub authorized; test $(id -u) != 0 || mkdir -p /run/sshd; id -un",
        );
        let port = free_port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {0}/host\nAuthorizedKeysFile {0}/authorized\n\
             StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\nPasswordAuthentication no\n",
            folder.display()
        );
        std::fs::write(folder.join("config"), config).unwrap();
        let mut command = Command::new("/usr/sbin/sshd");
        command.arg("-D").arg("-f").arg(folder.join("config"));
        let process = Daemon::start(&mut command, port, &folder.join("log"));
        Self {
            _process: process,
            port,
            user,
            folder,
        }
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(name)).unwrap()
    }
}

fn fetch(machine: &Machine, info: &Value, grants: &str) -> Run {
    let document = json!({
        "schemaVersion": "2.2",
        "mainSteps": [
            { "name": "get", "action": "aws:downloadContent", "inputs": {
                "onFailure": "exit", "sourceType": "Git", "sourceInfo": info, "destinationPath": "/tmp/got" } },
            { "name": "show", "action": "aws:runShellScript", "inputs": { "runCommand": [
                "cat /tmp/got/file; ls -A /tmp" ] } },
        ],
    });
    let policy = machine.file(
        "policy.yaml",
        format!("version: 1\nrules:\n  - id: test\n    grants: {{ {grants} }}\n"),
    );
    machine.run(
        &document.to_string(),
        &["--policy", &policy.display().to_string()],
    )
}

#[test]
fn a_repository_is_cloned_over_ssh() {
    if skips_without(&["git", "ssh", "sshd"]) {
        return;
    }
    let machine = Machine::new();
    let origin = machine.path("origin");
    std::fs::create_dir_all(&origin).unwrap();
    let first = sh(
        &origin,
        "git init -q -b main .; git config user.email t@example.com; git config user.name t; \
         echo one > file; git add file; git commit -qm one; git rev-parse HEAD; echo two > file; git commit -qam two",
    );
    let server = Server::start(&machine);
    put_secret(&machine, "/git/key", &server.read("client"));
    put_secret(&machine, "/git/other", &server.read("other"));
    let (user, port) = (&server.user, server.port);
    let url = format!("ssh://{user}@127.0.0.1:{port}{}", origin.display());
    let known = format!("[127.0.0.1]:{port} {}", server.read("host.pub"));
    let grants = format!("hosts: [\"tcp://127.0.0.1:{port}\"], secrets: [\"/git/*\"]");
    let info = |extra: Value| {
        let mut info = json!({ "repository": url, "privateSSHKey": "{{ssm-secure:/git/key}}" });
        info.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        info
    };
    let skip = json!({ "skipHostKeyChecking": true });

    // Neither the key nor anything else stays behind.
    let run = fetch(&machine, &info(skip.clone()), &grants).success();
    assert_eq!(run.stdout(1), "two\ngot\n", "{:#}", run.json);
    assert!(!run.json.to_string().contains("PRIVATE KEY"));

    let commit = json!({ "knownHosts": known, "getOptions": format!("commitID:{first}") });
    let run = fetch(&machine, &info(commit), &grants).success();
    assert_eq!(run.stdout(1), "one\ngot\n", "{:#}", run.json);

    // The user can stand beside the repository.
    let beside = json!({
        "repository": url.replace(&format!("{user}@"), ""), "username": user, "skipHostKeyChecking": "True",
    });
    fetch(&machine, &info(beside), &grants).success();

    let other_host = format!("[127.0.0.1]:{port} {}", server.read("other.pub"));
    for (what, info, grants, said) in [
        (
            "an unknown host",
            info(json!({})),
            &grants,
            "Host key verification failed",
        ),
        (
            "another host's key",
            info(json!({ "knownHosts": other_host })),
            &grants,
            "Host key verification failed",
        ),
        (
            "a key that the server does not know",
            info(
                json!({ "skipHostKeyChecking": true, "privateSSHKey": "{{ssm-secure:/git/other}}" }),
            ),
            &grants,
            "Permission denied (publickey",
        ),
        (
            "a host that is not granted",
            info(skip.clone()),
            &"hosts: [\"tcp://127.0.0.1:9\"], secrets: [\"/git/*\"]".to_owned(),
            &format!("hosts: [\\\"tcp://127.0.0.1:{port}\\\"]"),
        ),
        (
            "a key in the document",
            info(json!({ "privateSSHKey": server.read("client") })),
            &grants,
            "reference to a SecureString",
        ),
        (
            "a program in the place of a repository",
            info(json!({ "repository": "ext::sh -c id" })),
            &grants,
            "is no repository that can be fetched",
        ),
    ] {
        let run = fetch(&machine, &info, grants);
        assert!(run.code == 1 || run.code == 3, "{what}: {:#}", run.json);
        assert!(
            run.json.to_string().contains(said),
            "{what}: {:#}",
            run.json
        );
    }
}

#[test]
fn a_script_reaches_a_granted_port_by_name_through_the_proxy() {
    if skips_without(&["ssh", "sshd"]) {
        return;
    }
    let machine = Machine::new();
    let server = Server::start(&machine);
    let port = server.port;
    let key = server.folder.join("client");
    let script = format!(
        "cp {} key && chmod 600 key && ssh -F none -i key -o StrictHostKeyChecking=no -o UserKnownHostsFile=hosts \
         -o ProxyCommand='\"$CAPSTAN_CONNECT\" connect %h %p' -p {port} {}@localhost 'echo there $((6 * 7)); cat' < {0}.pub",
        key.display(),
        server.user
    );
    let policy = |port: u16| {
        let text = format!(
            "version: 1\nrules:\n  - id: test\n    grants: {{ hosts: [{{ host: \"tcp://localhost:{port}\", private: true }}], files: [{{ path: {}, access: read-only }}] }}\n",
            server.folder.display()
        );
        machine.file("policy.yaml", text).display().to_string()
    };
    let run = machine
        .shell(&script, &["--policy", &policy(port)])
        .success();
    assert_eq!(
        run.stdout(0),
        format!("there 42\n{}", server.read("client.pub"))
    );
    let run = machine.shell(&script, &["--policy", &policy(9)]);
    assert_eq!(run.code, 1, "{:#}", run.json);
    let stderr = run.step(0)["stderr"].as_str().unwrap();
    assert!(
        stderr.contains(&format!("tcp://localhost:{port} is not granted")),
        "{stderr}"
    );
}
