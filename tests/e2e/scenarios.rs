//! Whole stories: the documents in `examples/` against real files and servers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{
    HttpResponse, HttpServer, Machine, Run, has, is_root, repository, skips_without_root,
};

/// A service manager in small: it obeys a control file, as `systemctl` obeys its socket, and answers for the
/// health of the service while that runs.
struct Service {
    server: HttpServer,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Service {
    fn start(root: &Path) -> Self {
        let running = Arc::new(AtomicBool::new(true));
        let healthy = Arc::clone(&running);
        let server = HttpServer::start(move |request| {
            if request.path == "/health" && healthy.load(Ordering::SeqCst) {
                HttpResponse::ok("ok")
            } else {
                HttpResponse::status(503)
            }
        });
        let stop = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&stop);
        let control = root.join("control");
        let version = root.join("app/VERSION");
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                match std::fs::read_to_string(&control).as_deref().map(str::trim) {
                    Ok("stop") => running.store(false, Ordering::SeqCst),
                    Ok("start") => running.store(version.exists(), Ordering::SeqCst),
                    _ => {}
                }
                std::thread::yield_now();
            }
        });
        Self {
            server,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

struct Deployment {
    machine: Machine,
    root: PathBuf,
    service: Service,
    artifacts: HttpServer,
}

impl Deployment {
    fn new() -> Self {
        let machine = Machine::new();
        let root = machine.path("orders");
        std::fs::create_dir_all(&root).unwrap();
        machine.file("release/VERSION", "4.2\n");
        let archive = machine.path("app.tar.gz");
        let packed = std::process::Command::new("tar")
            .args(["-czf"])
            .arg(&archive)
            .arg("-C")
            .arg(machine.path("release"))
            .arg("VERSION")
            .status()
            .unwrap();
        assert!(packed.success());
        let bytes = std::fs::read(archive).unwrap();
        let artifacts = HttpServer::start(move |request| match request.path.as_str() {
            "/releases/current/app.tar.gz" => {
                HttpResponse::status(302).header("location", "/releases/4.2/app.tar.gz")
            }
            "/releases/4.2/app.tar.gz" => HttpResponse::ok(bytes.clone()),
            _ => HttpResponse::status(404),
        });
        let service = Service::start(&root);
        Self {
            machine,
            root,
            service,
            artifacts,
        }
    }

    /// The example's policy with this test's folder and ports, and without the rule `without`.
    fn policy(&self, without: Option<&str>) -> String {
        let text = std::fs::read_to_string(repository().join("examples/deploy/policy.yaml"))
            .unwrap()
            .replace("/opt/orders", &self.root.display().to_string())
            .replace("http://artifacts.internal:8000", &self.artifacts.url(""))
            .replace("http://localhost:8080", &self.service.server.url(""));
        let mut rules = text.split("\n  - id: ");
        let mut policy = rules.next().unwrap().to_owned();
        for rule in rules.filter(|rule| without.is_none_or(|name| !rule.starts_with(name))) {
            policy += &format!("\n  - id: {rule}");
        }
        self.machine
            .file("policy.yaml", policy)
            .display()
            .to_string()
    }

    fn arguments(&self, policy: &str) -> Vec<String> {
        let owner = if is_root() {
            "daemon".to_owned()
        } else {
            whoami()
        };
        let parameters = serde_json::json!({
            "Release": ["4.2"],
            "Artifacts": [self.artifacts.url("")],
            "Root": [self.root],
            "Owner": [owner],
            "Health": [self.service.server.url("/health")],
        });
        vec![
            repository()
                .join("examples/deploy/deploy.yaml")
                .display()
                .to_string(),
            "--policy".into(),
            policy.into(),
            "--parameters".into(),
            parameters.to_string(),
        ]
    }

    fn run(&self, without: Option<&str>) -> Run {
        let policy = self.policy(without);
        let mut arguments = vec!["run".to_owned(), "--output".into(), "json".into()];
        arguments.extend(self.arguments(&policy));
        Run::of(self.machine.capstan(arguments))
    }

    fn plan(&self, without: Option<&str>) -> (i32, String) {
        let policy = self.policy(without);
        let mut arguments = vec!["plan".to_owned()];
        arguments.extend(self.arguments(&policy));
        let output = self.machine.capstan(arguments);
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        (output.status.code().unwrap(), text)
    }
}

fn whoami() -> String {
    let output = std::process::Command::new("id")
        .arg("-un")
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_deployment_runs_under_a_policy_that_grants_just_that() {
    if !has("curl") || !has("tar") {
        return;
    }
    let deployment = Deployment::new();
    assert_eq!(deployment.plan(None).0, 0, "{}", deployment.plan(None).1);
    let run = deployment.run(None).success();
    assert!(run.stdout(4).contains("healthy after"), "{:#}", run.json);
    let version = deployment.root.join("app/VERSION");
    assert_eq!(std::fs::read_to_string(&version).unwrap(), "4.2\n");
    if is_root() {
        use std::os::unix::fs::MetadataExt as _;
        assert_ne!(std::fs::metadata(&version).unwrap().uid(), 0);
    }
    // The archive went to the run's own /tmp.
    assert!(!Path::new("/tmp/app.tar.gz").exists());
}

#[test]
fn a_deployment_stops_before_the_step_that_lacks_a_grant() {
    if !has("curl") || !has("tar") {
        return;
    }
    for (rule, step, index, names) in [
        ("deploy-artifacts", "downloadRelease", 1, "hosts"),
        ("deploy-health", "validateDeployment", 4, "hosts"),
        ("deploy-folder", "stopService", 0, "files"),
    ] {
        let deployment = Deployment::new();
        let (code, text) = deployment.plan(Some(rule));
        assert_eq!(code, 3, "plan without {rule}:\n{text}");
        assert!(
            text.contains(step) && text.contains(names),
            "plan without {rule}:\n{text}"
        );
        let run = deployment.run(Some(rule));
        assert_eq!(run.code, 3, "{rule}: {:#}\n{}", run.json, run.stderr);
        assert_eq!(run.step(index)["name"], step);
        assert_eq!(
            run.step(index)["statusDetail"],
            "AccessDenied",
            "{:#}",
            run.json
        );
        assert!(
            run.step(index)["message"].as_str().unwrap().contains(names),
            "{:#}",
            run.json
        );
        for before in 0..index {
            assert_eq!(run.step(before)["status"], "Success", "{:#}", run.json);
        }
    }
}

fn baseline(machine: &Machine) -> (Vec<String>, PathBuf, PathBuf) {
    let sshd = machine.file(
        "etc/ssh/sshd_config",
        "Port 22\n#PermitRootLogin yes\n#PasswordAuthentication yes\n",
    );
    machine.file("etc/ssh/other", "untouched\n");
    let sysctl = machine.path("etc/sysctl.d/90-baseline.conf");
    std::fs::create_dir_all(sysctl.parent().unwrap()).unwrap();
    let policy = std::fs::read_to_string(repository().join("examples/baseline/policy.yaml"))
        .unwrap()
        .replace("/etc/ssh/sshd_config", &sshd.display().to_string())
        .replace(
            "/etc/sysctl.d/90-baseline.conf",
            &sysctl.display().to_string(),
        );
    let policy = machine.file("policy.yaml", policy).display().to_string();
    (vec!["--policy".into(), policy], sshd, sysctl)
}

fn files_only(extra: &str, sshd: &Path, sysctl: &Path) -> String {
    serde_json::json!({
        "schemaVersion": "2.2",
        "mainSteps": [
            { "name": "configureSsh", "action": "aws:runShellScript", "inputs": { "onFailure": "exit", "runCommand": [
                format!("sed -i 's/^#\\?PermitRootLogin .*/PermitRootLogin no/' {}", sshd.display()),
                extra,
            ] } },
            { "name": "configureKernel", "action": "aws:runShellScript", "inputs": { "runCommand": [
                format!("cat <<EOF > {}\nnet.ipv4.ip_forward = 0\nEOF\n", sysctl.display()),
            ] } },
        ],
    })
    .to_string()
}

#[test]
fn a_baseline_changes_the_granted_files_and_no_others() {
    if skips_without_root("a file of the system's") {
        return;
    }
    let machine = Machine::new();
    let (arguments, sshd, sysctl) = baseline(&machine);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let file = machine.file("baseline.json", files_only("true", &sshd, &sysctl));
    let run = machine.run_file(&file, &arguments).success();
    assert_eq!(
        std::fs::read_to_string(&sshd).unwrap(),
        "Port 22\nPermitRootLogin no\n#PasswordAuthentication yes\n",
        "{:#}",
        run.json
    );
    assert_eq!(
        std::fs::read_to_string(&sysctl).unwrap(),
        "net.ipv4.ip_forward = 0\n"
    );

    for attempt in [
        "cat /etc/shadow".to_owned(),
        format!(
            "echo x >> {}",
            sshd.parent().unwrap().join("other").display()
        ),
        format!("rm {}", sshd.parent().unwrap().join("other").display()),
        format!("echo x > {}", sysctl.display()),
        "echo x > /etc/motd".to_owned(),
    ] {
        let file = machine.file("baseline.json", files_only(&attempt, &sshd, &sysctl));
        let run = machine.run_file(&file, &arguments);
        assert_eq!(run.code, 1, "{attempt}: {:#}", run.json);
    }
    assert_eq!(
        std::fs::read_to_string(sshd.parent().unwrap().join("other")).unwrap(),
        "untouched\n"
    );
    let left: Vec<_> = std::fs::read_dir(sshd.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn the_baseline_example_runs_as_it_is_shipped() {
    if skips_without_root("a file of the system's") {
        return;
    }
    let machine = Machine::new();
    let (arguments, sshd, sysctl) = baseline(&machine);
    let rules = machine.path("etc/audit/rules.d");
    std::fs::create_dir_all(&rules).unwrap();
    let packages = machine.path("packages");
    let script = format!("echo -w /etc/passwd > {}/base.rules", rules.display());
    crate::packages::publish(
        &packages,
        ("audit-rules", "3.1"),
        &rules.join("log"),
        &[("install.sh", &script)],
    );
    let server = HttpServer::start(move |request| {
        std::fs::read(packages.join(request.path.trim_start_matches('/')))
            .map_or_else(|_| HttpResponse::status(404), HttpResponse::ok)
    });
    let policy = std::fs::read_to_string(&arguments[1])
        .unwrap()
        .replace("https://packages.example.com", &server.url(""))
        .replace("/var/lib/capstan", &machine.state().display().to_string())
        .replace("/etc/audit/rules.d", &rules.display().to_string());
    std::fs::write(&arguments[1], policy).unwrap();
    let parameters = format!(
        "SshdConfig={},SysctlFile={},Repository={}",
        sshd.display(),
        sysctl.display(),
        server.url("")
    );
    let run = machine
        .run_file(
            &repository().join("examples/baseline/baseline.yaml"),
            &["--policy", &arguments[1], "--parameters", &parameters],
        )
        .success();
    assert_eq!(run.stdout(2), "audit-rules 3.1 is installed\n");
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    assert_eq!(read(&rules.join("base.rules")), "-w /etc/passwd\n");
    assert!(read(&sshd).contains("PasswordAuthentication no"));
    assert!(read(&sysctl).contains("accept_redirects = 0"));
}

#[test]
fn the_example_of_the_readme_runs() {
    let machine = Machine::new();
    let run = machine
        .run_file(&repository().join("examples/system-report.yaml"), &[])
        .success();
    assert!(run.stdout(0).contains("kernel:"));
    assert!(run.stdout(2).contains("out of reach"));
}

#[test]
fn a_reader_who_has_gone_is_no_reason_to_panic() {
    let machine = Machine::new();
    let document = repository().join("examples/system-report.yaml");
    for arguments in [&["policy", "explain"][..], &["plan"], &["run"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = machine
            .command()
            .args(arguments)
            .arg(&document)
            .stdout(writer.try_clone().unwrap())
            .stderr(std::process::Stdio::piped())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
        assert!(!errors.contains("panicked"), "{errors}");
    }
}

#[test]
fn a_policy_is_explained_by_file_and_host() {
    let machine = Machine::new();
    let document = machine.file("document.json", crate::support::shell_document("true"));
    let policy = machine.file(
        "policy.yaml",
        "version: 1\nrules:\n  - id: app\n    grants: { files: [{ path: /srv/app, access: read-write }], hosts: [\"https://example.com/health\"] }\n",
    );
    let explain = |question: [&str; 2]| {
        let output = machine
            .command()
            .args(["policy", "explain"])
            .arg(&document)
            .arg("--policy")
            .arg(&policy)
            .args(question)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    };
    for (question, expected) in [
        (
            ["--file", "/etc/shadow"],
            "its programs: nothing: /etc is granted, except /etc/shadow*",
        ),
        (["--file", "/srv/app/x"], "write, create, remove (/srv/app)"),
        (
            ["--file", "/srv/app/x"],
            "rules of the policy that apply: app",
        ),
        (["--file", "/home/x"], "its programs: nothing\n"),
        (
            ["--host", "https://example.com/health"],
            "its programs: GET, at public addresses only",
        ),
        (["--host", "https://example.org/"], "its programs: nothing"),
        (["--file", "/srv/../etc"], "without `.`, `..`"),
        (["--host", "example"], "no URL"),
    ] {
        let text = explain(question);
        assert!(text.contains(expected), "{question:?}: {text}");
    }
}
