//! `aws:configurePackage` and `aws:updateSsmAgent`, with real archives, scripts and package managers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use zip::write::SimpleFileOptions;

use crate::support::{
    HttpResponse, HttpServer, Machine, Run, sh, skips_without, skips_without_root,
};

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Puts a version of a package into a repository folder. Its scripts write to `log`.
pub fn publish(
    repository: &Path,
    (package, version): (&str, &str),
    log: &Path,
    scripts: &[(&str, &str)],
) {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().unix_permissions(0o755);
    for (name, body) in scripts {
        zip.start_file(*name, options).unwrap();
        let text = format!(
            "echo {name} {version} $SSM_LEVEL >> {}\n{body}\n",
            log.display()
        );
        zip.write_all(text.as_bytes()).unwrap();
    }
    let archive = zip.finish().unwrap().into_inner();
    let manifest = json!({
        "schemaVersion": "2.0", "version": version,
        "packages": { "_any": { "_any": { "_any": { "file": "tool.zip" } } } },
        "files": { "tool.zip": { "checksums": { "sha256": hex(&archive) } } },
    });
    for folder in [
        repository.join(package),
        repository.join(package).join(version),
    ] {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("tool.zip"), &archive).unwrap();
        std::fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    }
}

struct Packages {
    machine: Machine,
    policy: String,
}

impl Packages {
    fn new() -> Self {
        let machine = Machine::new();
        for folder in ["repository", "log"] {
            std::fs::create_dir_all(machine.path(folder)).unwrap();
        }
        let policy = format!(
            "version: 1\nrules:\n  - id: packages\n    match: {{ action: \"aws:configurePackage\" }}\n    grants:\n      files:\n        \
             - {{ path: {}, access: [read-write, execute] }}\n        - {{ path: {}, access: read-only }}\n        - {{ path: {}, access: read-write }}\n",
            machine.state().join("data/aws/configurePackage").display(),
            machine.path("repository").display(),
            machine.path("log").display(),
        );
        let policy = machine.file("policy.yaml", policy).display().to_string();
        Self { machine, policy }
    }

    fn publish(&self, version: &str, scripts: &[(&str, &str)]) {
        publish(
            &self.machine.path("repository"),
            ("tool", version),
            &self.machine.path("log/scripts"),
            scripts,
        );
    }

    fn configure(&self, inputs: &Value) -> Run {
        let mut all = json!({ "name": "tool", "repository": self.machine.path("repository") });
        for (key, value) in inputs.as_object().unwrap() {
            all[key] = value.clone();
        }
        let document = json!({
            "schemaVersion": "2.2",
            "mainSteps": [{ "name": "package", "action": "aws:configurePackage", "inputs": all }],
        });
        self.machine
            .run(&document.to_string(), &["--policy", &self.policy])
    }

    /// What the scripts wrote since the last time.
    fn log(&self) -> String {
        let path = self.machine.path("log/scripts");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let _ = std::fs::remove_file(path);
        text
    }
}

const SCRIPTS: &[(&str, &str)] = &[
    ("install.sh", ""),
    ("uninstall.sh", ""),
    ("validate.sh", ""),
];

#[test]
fn a_package_is_installed_replaced_and_removed() {
    let packages = Packages::new();
    packages.publish("1.0", SCRIPTS);
    let install = json!({ "action": "Install", "additionalArguments": { "SSM_LEVEL": "high" } });
    let run = packages.configure(&install).success();
    assert_eq!(run.stdout(0), "tool 1.0 is installed\n");
    assert_eq!(
        packages.log(),
        "install.sh 1.0 high\nvalidate.sh 1.0 high\n"
    );

    let run = packages.configure(&install).success();
    assert_eq!(run.stdout(0), "tool 1.0 is installed already\n");
    assert_eq!(packages.log(), "validate.sh 1.0 high\n");

    packages.publish("1.1", SCRIPTS);
    packages
        .configure(&json!({ "action": "Install" }))
        .success();
    assert_eq!(
        packages.log(),
        "uninstall.sh 1.0\ninstall.sh 1.1\nvalidate.sh 1.1\n"
    );
    packages
        .configure(&json!({ "action": "Install", "version": "1.0" }))
        .success();
    assert_eq!(
        packages.log(),
        "uninstall.sh 1.1\ninstall.sh 1.0\nvalidate.sh 1.0\n"
    );

    let run = packages
        .configure(&json!({ "action": "Uninstall" }))
        .success();
    assert_eq!(run.stdout(0), "tool is uninstalled\n");
    assert_eq!(packages.log(), "uninstall.sh 1.0\n");
    let run = packages
        .configure(&json!({ "action": "Uninstall" }))
        .success();
    assert_eq!(run.stdout(0), "tool is not installed\n");
    assert_eq!(packages.log(), "");
}

#[test]
fn a_version_that_does_not_install_gives_way_to_the_one_before() {
    let packages = Packages::new();
    packages.publish("1.0", SCRIPTS);
    packages
        .configure(&json!({ "action": "Install" }))
        .success();
    packages.log();
    packages.publish(
        "2.0",
        &[
            ("install.sh", "exit 3"),
            ("uninstall.sh", ""),
            ("update.sh", ""),
        ],
    );
    let run = packages
        .configure(&json!({ "action": "Install" }))
        .expect(1, "Failed");
    assert!(
        run.json.to_string().contains(
            "install.sh of tool 2.0 ended with code 3; the version before was installed again"
        ),
        "{:#}",
        run.json
    );
    assert_eq!(
        packages.log(),
        "uninstall.sh 1.0\ninstall.sh 2.0\nuninstall.sh 2.0\ninstall.sh 1.0\n"
    );
    let update = json!({ "action": "Install", "installationType": "In-place update" });
    packages.configure(&update).success();
    assert_eq!(packages.log(), "update.sh 2.0\n");
}

#[test]
fn a_package_goes_on_with_its_next_phase_after_a_restart() {
    let packages = Packages::new();
    packages.publish("1.0", &[("install.sh", "exit 194"), ("validate.sh", "")]);
    let run = packages.configure(&json!({ "action": "Install" }));
    assert_eq!(packages.log(), "install.sh 1.0\n");
    let id = run.json["runId"].as_str().unwrap().to_owned();
    let output = packages.machine.capstan([
        "run",
        "--output",
        "json",
        "--policy",
        &packages.policy,
        "--resume",
        &id,
    ]);
    Run::of(output).success();
    assert_eq!(packages.log(), "validate.sh 1.0\n");
}

#[test]
fn an_archive_that_is_not_the_one_described_is_refused() {
    let packages = Packages::new();
    packages.publish("1.0", SCRIPTS);
    let archive = packages.machine.path("repository/tool/tool.zip");
    let mut bytes = std::fs::read(&archive).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&archive, bytes).unwrap();
    let run = packages
        .configure(&json!({ "action": "Install" }))
        .expect(1, "Failed");
    assert!(run.json.to_string().contains("SHA-256"), "{:#}", run.json);
    assert_eq!(packages.log(), "");
}

#[test]
fn packages_come_from_a_web_server_and_from_s3() {
    let packages = Packages::new();
    packages.publish("1.0", SCRIPTS);
    let root = packages.machine.path("repository");
    let server = HttpServer::start(move |request| {
        let path = request
            .path
            .trim_start_matches("/bucket")
            .trim_start_matches('/');
        std::fs::read(root.join(path)).map_or_else(|_| HttpResponse::status(404), HttpResponse::ok)
    });
    let policy = std::fs::read_to_string(&packages.policy).unwrap();
    std::fs::write(
        &packages.policy,
        format!("{policy}      hosts: [\"{}\"]\n", server.url("")),
    )
    .unwrap();
    packages
        .configure(&json!({ "action": "Install", "repository": server.url("") }))
        .success();
    packages
        .configure(&json!({ "action": "Uninstall", "repository": server.url("") }))
        .success();
    packages.log();

    let document = json!({
        "schemaVersion": "2.2",
        "mainSteps": [{ "name": "package", "action": "aws:configurePackage", "inputs": {
            "name": "tool", "action": "Install", "version": "1.0", "repository": "s3://bucket" } }],
    });
    let document = packages.machine.file("s3.json", document.to_string());
    let output = packages
        .machine
        .command()
        .env("AWS_ENDPOINT_URL_S3", server.url(""))
        .args(["run", "--output", "json", "--policy", &packages.policy])
        .arg(document)
        .output()
        .unwrap();
    Run::of(output).success();
    assert_eq!(packages.log(), "install.sh 1.0\nvalidate.sh 1.0\n");
}

/// A real `apt-get` and `dpkg` with a private root, so that the machine under test stays as it is.
#[test]
fn a_system_package_is_installed_and_removed() {
    if skips_without_root("a system package") || skips_without(&["apt-get", "dpkg-deb"]) {
        eprintln!("there is no apt here, or no root; nothing was tested");
        return;
    }
    let machine = Machine::new();
    let root = machine.path("root");
    let script = r#"set -e
        mkdir -p pkg/DEBIAN pkg/opt/greeter root/var/lib/dpkg/info root/var/lib/dpkg/updates root/var/lib/apt/lists/partial \
            root/var/cache/apt/archives/partial root/var/log/apt root/etc/apt/sources.list.d root/etc/apt/preferences.d root/etc/apt/apt.conf.d repo
        : > root/var/lib/dpkg/status
        printf 'Package: greeter\nVersion: 1.5\nArchitecture: all\nMaintainer: t <t@example.com>\nDescription: greets\n' > pkg/DEBIAN/control
        echo hello > pkg/opt/greeter/word
        dpkg-deb --root-owner-group -b pkg repo/greeter.deb >/dev/null
        { cat pkg/DEBIAN/control; echo Filename: ./greeter.deb; echo Size: $(stat -c %s repo/greeter.deb);
          echo SHA256: $(sha256sum repo/greeter.deb | cut -c1-64); } > repo/Packages
        echo "deb [trusted=yes] file:$PWD/repo ./" > root/etc/apt/sources.list
        printf 'Dir "%s/root";\nDir::State::status "%s/root/var/lib/dpkg/status";\nDPkg::Options { "--root=%s/root"; "--force-script-chrootless"; "--log=%s/root/var/log/dpkg.log"; };\n' "$PWD" "$PWD" "$PWD" "$PWD" > apt.conf
        APT_CONFIG=$PWD/apt.conf apt-get -q update >/dev/null"#;
    sh(&machine.path(""), script);
    let policy = format!(
        "version: 1\nrules:\n  - id: packages\n    grants:\n      environment: [APT_CONFIG, DPKG_ADMINDIR]\n      files:\n        - {{ path: {root}, access: read-write }}\n        \
         - {{ path: {repo}, access: read-only }}\n        - {{ path: {conf}, access: read }}\n",
        root = root.display(),
        repo = machine.path("repo").display(),
        conf = machine.path("apt.conf").display(),
    );
    let policy = machine.file("policy.yaml", policy);
    let configure = |action: &str, version: &str| {
        let output = machine
            .command()
            .env("APT_CONFIG", machine.path("apt.conf"))
            .env("DPKG_ADMINDIR", root.join("var/lib/dpkg"))
            .args([
                "run",
                "--output",
                "json",
                "AWS-ConfigureAWSPackage",
                "--policy",
            ])
            .arg(&policy)
            .arg("--parameters")
            .arg(format!("action={action},name=greeter,version={version}"))
            .output()
            .unwrap();
        Run::of(output)
    };
    let run = configure("Install", "1.5").success();
    assert!(
        run.stdout(0).ends_with("greeter 1.5 is installed\n"),
        "{:#}",
        run.json
    );
    assert_eq!(
        std::fs::read_to_string(root.join("opt/greeter/word")).unwrap(),
        "hello\n"
    );
    let run = configure("Install", "1.5").success();
    assert_eq!(run.stdout(0), "greeter 1.5 is installed already\n");
    let run = configure("Uninstall", "").success();
    assert!(
        run.stdout(0).ends_with("greeter is uninstalled\n"),
        "{:#}",
        run.json
    );
    assert!(!root.join("opt/greeter/word").exists());
    configure("Install", "9.9").expect(1, "Failed");
}

#[test]
fn the_agent_is_updated_from_the_nodes_own_source_only() {
    let machine = Machine::new();
    let run = Run::of(machine.capstan(["run", "--output", "json", "AWS-UpdateSSMAgent"])).success();
    assert!(
        run.stdout(0).contains("Nothing was updated"),
        "{:#}",
        run.json
    );
    let output = machine.capstan([
        "run",
        "--output",
        "json",
        "AWS-UpdateSSMAgent",
        "--parameters",
        "version=3.3.0",
    ]);
    Run::of(output).expect(1, "Failed");

    // What begins like a program for this machine.
    let mut program = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec();
    program.extend(if cfg!(target_arch = "x86_64") {
        [62, 0]
    } else {
        [183, 0]
    });
    program.extend(b"the new program");
    let script = b"#!/bin/sh\nexec something-else\n";
    let manifest = json!({ "version": "99.0.0", "files": {
        format!("linux-{}", std::env::consts::ARCH): { "file": "capstan", "sha256": hex(&program) } } });
    let mut other = manifest.clone();
    other["files"][format!("linux-{}", std::env::consts::ARCH)] =
        json!({ "file": "script", "sha256": hex(script) });
    let served = program.clone();
    let server = HttpServer::start(move |request| match request.path.as_str() {
        "/update/manifest.json" => HttpResponse::ok(manifest.to_string()),
        "/update/other.json" => HttpResponse::ok(other.to_string()),
        "/update/capstan" => HttpResponse::ok(served.clone()),
        "/update/script" => HttpResponse::ok(*script),
        _ => HttpResponse::status(404),
    });
    let put = |file: &str| {
        let put = machine.capstan([
            "parameter",
            "put",
            "/capstan/update/source",
            "--overwrite",
            "--type",
            "String",
            "--value",
            &server.url(file),
        ]);
        assert!(put.status.success(), "{put:?}");
    };
    put("/update/manifest.json");
    // A source that is set and not granted is a refusal, and not an absence.
    let run = Run::of(machine.capstan(["run", "--output", "json", "AWS-UpdateSSMAgent"]));
    assert_ne!(run.code, 0, "{:#}", run.json);
    assert!(
        run.json
            .to_string()
            .contains("parameters: [\\\"/capstan/update/source\\\"]"),
        "{:#}",
        run.json
    );
    let target = machine.file("bin/capstan", "the old program");
    let document = json!({
        "schemaVersion": "2.2",
        "mainSteps": [{ "name": "update", "action": "aws:updateAgent", "inputs": { "program": target } }],
    });
    let policy = machine.file("policy.yaml", format!(
        "version: 1\nrules:\n  - id: update\n    grants: {{ parameters: [/capstan/update/source], hosts: [\"{}\"], files: [{{ path: {}, access: [read, write, create, replace] }}] }}\n",
        server.url(""), target.display()
    ));
    let update = || {
        machine.run(
            &document.to_string(),
            &["--policy", &policy.display().to_string()],
        )
    };
    put("/update/other.json");
    let run = update().expect(1, "Failed");
    assert!(
        run.json.to_string().contains("is no program for Linux"),
        "{:#}",
        run.json
    );
    assert_eq!(std::fs::read(&target).unwrap(), b"the old program");
    put("/update/manifest.json");
    let run = update().success();
    for words in [
        "calls Capstan 99.0.0",
        "it was not started",
        &format!("was written to {}", target.display()),
    ] {
        assert!(run.stdout(0).contains(words), "{words}\n{:#}", run.json);
    }
    assert_eq!(std::fs::read(&target).unwrap(), program);
}

#[test]
fn runs_that_install_take_turns() {
    let packages = Packages::new();
    let go = packages.machine.path("log/go");
    let wait = format!("until test -e {}; do sleep 0.01; done", go.display());
    packages.publish("1.0", &[("install.sh", &wait), ("validate.sh", "")]);
    let document = json!({
        "schemaVersion": "2.2",
        "mainSteps": [{ "name": "package", "action": "aws:configurePackage", "inputs": {
            "name": "tool", "repository": packages.machine.path("repository"), "action": "Install" } }],
    });
    let document = packages.machine.file("document.json", document.to_string());
    let start = || {
        packages
            .machine
            .command()
            .args(["run", "--policy", &packages.policy])
            .arg(&document)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut first = start();
    let scripts = packages.machine.path("log/scripts");
    while !std::fs::read_to_string(&scripts).is_ok_and(|log| log.contains("install.sh 1.0")) {
        std::thread::yield_now();
    }
    let mut second = start();
    let mut lines = BufReader::new(second.stderr.take().unwrap()).lines();
    assert!(
        lines.any(|line| line.unwrap().contains("waits for another run")),
        "the second run did not wait"
    );
    assert_eq!(packages.log(), "install.sh 1.0\n");
    std::fs::write(go, "").unwrap();
    assert!(first.wait().unwrap().success());
    lines.for_each(drop);
    assert!(second.wait().unwrap().success());
    // The second found it installed.
    assert_eq!(packages.log(), "validate.sh 1.0\nvalidate.sh 1.0\n");
}

#[test]
fn the_repository_that_the_node_names_is_used_or_refused() {
    let packages = Packages::new();
    packages.publish("1.0", SCRIPTS);
    let put = packages.machine.capstan([
        "parameter",
        "put",
        "/capstan/packages/repository",
        "--type",
        "String",
        "--value",
        &packages.machine.path("repository").display().to_string(),
    ]);
    assert!(put.status.success());
    let install = json!({ "action": "Install", "repository": "" });
    // It is set, so that the system's packages are not what the operator wants.
    let run = packages.configure(&install);
    assert_ne!(run.code, 0, "{:#}", run.json);
    assert!(
        run.json
            .to_string()
            .contains("parameters: [\\\"/capstan/packages/repository\\\"]"),
        "{:#}",
        run.json
    );
    assert_eq!(packages.log(), "");
    let policy = std::fs::read_to_string(&packages.policy).unwrap();
    std::fs::write(
        &packages.policy,
        format!("{policy}      parameters: [/capstan/packages/repository]\n"),
    )
    .unwrap();
    packages.configure(&install).success();
    assert_eq!(packages.log(), "install.sh 1.0\nvalidate.sh 1.0\n");
    // Nothing is asked for that is not granted.
    let receipts =
        std::fs::read_to_string(packages.machine.state().join("receipts.jsonl")).unwrap();
    let last: Value = serde_json::from_str(receipts.lines().last().unwrap()).unwrap();
    assert_eq!(last["receipt"]["denials"], json!([]), "{last:#}");
}
