//! What each layer leaves to the others, with namespaces and without: each test has a twin that shows that the same
//! thing works where it is granted.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::{
    HttpResponse, HttpServer, Machine, Run, below, kill, repository, shared_cache, shell_document,
    skips_without, skips_without_root,
};

/// What this process is let have when it starts the binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// All that it has itself: every layer for root.
    Full,
    /// Root without CAP_SYS_ADMIN and control groups, as in most containers.
    PlainRoot,
    /// A user on a machine that allows no user namespaces.
    PlainUser,
}

const PLAIN: [Mode; 2] = [Mode::PlainRoot, Mode::PlainUser];
const ALL: [Mode; 3] = [Mode::Full, Mode::PlainRoot, Mode::PlainUser];

/// What a policy says for a machine without namespaces, but for what follows.
const LACKING: &str =
    "cgroup, mount-namespace, pid-namespace, network-namespace, landlock-tcp, landlock-scopes";

impl Mode {
    /// The binary in this mode, with the state of this machine.
    fn command(self, machine: &Machine) -> Command {
        let binary = env!("CARGO_BIN_EXE_capstan");
        let without_groups = "umount -R -l /sys/fs/cgroup; exec \"$@\"";
        let mut command = match self {
            Self::Full => Command::new(binary),
            Self::PlainRoot => {
                let mut command = Command::new("unshare");
                command.args(["-m", "sh", "-c", without_groups, "sh"]);
                command.args(["setpriv", "--bounding-set", "-sys_admin", binary]);
                command
            }
            Self::PlainUser => {
                let mut command = Command::new("unshare");
                command.args(["-m", "sh", "-c", without_groups, "sh"]);
                command.args(["python3", "-c", crate::support::WITHOUT_NAMESPACES, binary]);
                command
            }
        };
        command
            .env("CAPSTAN_STATE", machine.state())
            .env("CAPSTAN_CACHE", shared_cache())
            .stdin(Stdio::null());
        command
    }

    fn run(self, machine: &Machine, document: &Path, arguments: &[&str]) -> Run {
        let mut command = self.command(machine);
        command
            .args(["run", "--output", "json"])
            .arg(document)
            .args(arguments);
        Run::of(command.output().unwrap())
    }

    fn shell(self, machine: &Machine, script: &str, arguments: &[&str]) -> Run {
        let document = machine.file("document.yaml", shell_document(script));
        self.run(machine, &document, arguments)
    }
}

/// Says which test is left out where the modes cannot be had.
fn skips() -> bool {
    skips_without_root("a mode without namespaces and control groups")
        || skips_without(&["python3", "unshare", "setpriv"])
}

fn policy(machine: &Machine, text: &str) -> String {
    machine
        .file("policy.yaml", format!("version: 1\n{text}\n"))
        .display()
        .to_string()
}

fn grants(grants: &str) -> String {
    format!("rules:\n  - id: test\n    grants: {{ {grants} }}")
}

/// A script of attempts, each of which prints its name and how it ended. `call` is the bare system call.
fn attempts(lines: &str) -> String {
    format!(
        r#"#!/usr/bin/python3
import ctypes, errno, os, resource, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(*args):
    result = libc.syscall(*args)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
def attempt(name, what):
    try:
        what()
        print(name, "done", flush=True)
    except OSError as error:
        print(name, errno.errorcode.get(error.errno, error), flush=True)
{lines}
"#
    )
}

/// The attempts ended so and no other way.
#[track_caller]
fn ended(run: &Run, mode: Mode, expected: &[(&str, &str)]) {
    let lines: Vec<&str> = run.stdout(0).lines().collect();
    let wanted: Vec<String> = expected
        .iter()
        .map(|(name, how)| format!("{name} {how}"))
        .collect();
    assert_eq!(lines, wanted, "{mode:?}: {:#}\n{}", run.json, run.stderr);
}

#[test]
fn only_tcp_through_the_proxy_is_there_for_granted_hosts() {
    if skips() {
        return;
    }
    let server = HttpServer::start(|_| HttpResponse::ok("hello"));
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    other.set_nonblocking(true).unwrap();
    let port = other.local_addr().unwrap().port();
    let script = attempts(&format!(
        r#"
import urllib.request
there = ("127.0.0.1", {port})
def fast():
    return socket.socket().sendto(b"x", 0x20000000, there)
def fast_message():
    return socket.socket().sendmsg([b"x"], [], 0x20000000, there)
def listens():
    socket.socket().listen()
def turns():
    socket.socket().setsockopt(6, 31, b"smc")
attempt("mptcp", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262))
attempt("mptcp6", lambda: socket.socket(socket.AF_INET6, socket.SOCK_STREAM, 262))
attempt("sctp", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132))
attempt("tcp", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 6))
attempt("granted", lambda: urllib.request.urlopen("{}").read())
attempt("fast", fast)
attempt("message", fast_message)
attempt("ulp", turns)
attempt("listen", listens)
"#,
        server.url("/")
    ));
    let common = [
        ("mptcp", "EPERM"),
        ("mptcp6", "EPERM"),
        ("sctp", "EPERM"),
        ("tcp", "done"),
        ("granted", "done"),
    ];
    for mode in ALL {
        let machine = Machine::new();
        let policy = policy(
            &machine,
            &grants(&format!("hosts: [\"{}\"]", server.url(""))),
        );
        let run = mode
            .shell(&machine, &script, &["--policy", &policy])
            .success();
        let mut expected = common.to_vec();
        if mode == Mode::Full {
            // In a network of its own, where nobody else is, a program may listen.
            let lines = run.stdout(0);
            assert!(lines.ends_with("listen done\n"), "{lines}");
            assert!(
                lines
                    .starts_with("mptcp EPERM\nmptcp6 EPERM\nsctp EPERM\ntcp done\ngranted done\n")
            );
        } else {
            expected.extend([
                ("fast", "EPERM"),
                ("message", "EPERM"),
                ("ulp", "EPERM"),
                ("listen", "EPERM"),
            ]);
            ended(&run, mode, &expected);
        }
        assert!(other.accept().is_err(), "{mode:?}: the script connected");
    }
    let machine = Machine::new();
    machine
        .shell(&script, &["--profile", "trusted-host"])
        .success();
    assert!(other.accept().is_ok(), "nothing was there to connect to");
}

#[test]
fn a_pair_of_datagram_sockets_needs_granted_sockets() {
    if skips() {
        return;
    }
    let script = attempts(
        r#"
for name, kind in (("stream", socket.SOCK_STREAM), ("packets", socket.SOCK_SEQPACKET),
                   ("datagrams", socket.SOCK_DGRAM), ("raw", socket.SOCK_RAW)):
    attempt(name, lambda: socket.socketpair(socket.AF_UNIX, kind))
"#,
    );
    for mode in ALL {
        let machine = Machine::new();
        let run = mode.shell(&machine, &script, &[]).success();
        let refused = [
            ("stream", "done"),
            ("packets", "done"),
            ("datagrams", "EPERM"),
            ("raw", "EPERM"),
        ];
        ended(&run, mode, &refused);
        let policy = policy(&machine, &grants("sockets: [/run/capstan-test.sock]"));
        let run = mode
            .shell(&machine, &script, &["--policy", &policy])
            .success();
        assert_eq!(run.stdout(0).matches("done").count(), 4, "{:#}", run.json);
    }
}

#[test]
fn limits_and_priorities_of_others_stay_as_they_are() {
    if skips() {
        return;
    }
    // The parent is the worker.
    let script = attempts(
        r#"
other, limit = os.getppid(), resource.getrlimit(resource.RLIMIT_CPU)
attempt("limit", lambda: resource.prlimit(other, resource.RLIMIT_CPU, limit))
attempt("own limit", lambda: resource.prlimit(0, resource.RLIMIT_CPU, limit))
attempt("own priority", lambda: os.setpriority(os.PRIO_PROCESS, 0, 1))
attempt("own processors", lambda: os.sched_setaffinity(0, os.sched_getaffinity(0)))
attempt("priority", lambda: os.setpriority(os.PRIO_PROCESS, other, 1))
attempt("user's priority", lambda: os.setpriority(os.PRIO_USER, 0, 1))
attempt("group's priority", lambda: os.setpriority(os.PRIO_PGRP, 0, 1))
attempt("processors", lambda: os.sched_setaffinity(other, os.sched_getaffinity(0)))
attempt("scheduler", lambda: os.sched_setscheduler(other, os.SCHED_BATCH, os.sched_param(0)))
attempt("own scheduler", lambda: os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0)))
"#,
    );
    for mode in ALL {
        let machine = Machine::new();
        let run = mode.shell(&machine, &script, &[]).success();
        let lines: Vec<&str> = run.stdout(0).lines().collect();
        let own = |line: &&&str| line.starts_with("own");
        assert_eq!(lines.len(), 10, "{mode:?}: {lines:?}");
        assert_eq!(lines[0], "limit EPERM", "{mode:?}");
        for line in lines.iter().filter(own) {
            assert!(line.ends_with("done"), "{mode:?}: {line}");
        }
        if mode != Mode::Full {
            for line in lines.iter().filter(|line| !own(line)) {
                assert!(line.ends_with("EPERM"), "{mode:?}: {line}");
            }
        }
    }
}

#[test]
fn what_processes_share_is_not_that_of_the_machine() {
    if skips() {
        return;
    }
    let script = attempts(
        r#"
attempt("memory", lambda: call(29, 0, 4096, 0o1600))
attempt("messages", lambda: call(68, 0, 0o1600))
attempt("semaphores", lambda: call(64, 0, 1, 0o1600))
"#,
    );
    if std::env::consts::ARCH != "x86_64" {
        eprintln!("left out: the numbers of the calls are those of x86_64");
        return;
    }
    for mode in ALL {
        let how = if mode == Mode::Full { "done" } else { "EPERM" };
        let run = mode.shell(&Machine::new(), &script, &[]).success();
        let expected = [("memory", how), ("messages", how), ("semaphores", how)];
        ended(&run, mode, &expected);
    }
}

#[test]
fn newer_calls_are_refused_like_older_ones() {
    if skips() {
        return;
    }
    // memfd_secret, statmount, listmount and open_tree_attr have these numbers everywhere.
    let script = attempts(
        r#"
for name, number in (("memory", 447), ("mount", 457), ("mounts", 458), ("tree", 467)):
    attempt(name, lambda: call(number, 0, 0, 0, 0, 0, 0))
"#,
    );
    for mode in ALL {
        let run = mode.shell(&Machine::new(), &script, &[]).success();
        let expected = ["memory", "mount", "mounts", "tree"].map(|name| (name, "EPERM"));
        ended(&run, mode, &expected);
    }
}

/// Attempts to change what is not content, of a file.
fn metadata_attempts(file: &Path) -> String {
    attempts(&format!(
        r#"
import fcntl, struct
file = "{}"
attempt("mode", lambda: os.chmod(file, 0o640))
attempt("owner", lambda: os.chown(file, os.getuid(), os.getgid()))
attempt("times", lambda: os.utime(file, (1, 1)))
attempt("attribute", lambda: os.setxattr(file, "user.test", b"x"))
def flags():
    handle = os.open(file, os.O_RDONLY)
    fcntl.ioctl(handle, 0x40086602, struct.pack("l", 0))
attempt("flags", flags)
os.system("touch new && echo touched")
"#,
        file.display()
    ))
}

#[test]
fn nothing_of_a_file_outside_changes_without_a_mount_namespace() {
    if skips() {
        return;
    }
    for mode in PLAIN {
        let machine = Machine::new();
        let file = machine.file("other", "x");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let before = std::fs::metadata(&file).unwrap();
        let script = metadata_attempts(&file);
        let readable = format!("files: [{{ path: {}, access: read }}]", file.display());
        let rules = grants(&readable);
        // Root may not by default, others where a list says so.
        let text = match mode {
            Mode::PlainUser => format!("mayLack: [{LACKING}]\n{rules}"),
            _ => rules.clone(),
        };
        let arguments = ["--policy", &policy(&machine, &text)];
        let run = mode.shell(&machine, &script, &arguments).success();
        assert_eq!(
            run.stdout(0),
            "mode EPERM\nowner EPERM\ntimes EPERM\nattribute EPERM\nflags EPERM\ntouched\n",
            "{mode:?}: {:#}",
            run.json
        );
        let after = std::fs::metadata(&file).unwrap();
        assert_eq!(before.mode(), after.mode());
        assert_eq!(before.mtime(), after.mtime());
        let enforced = &run.step(0)["enforced"];
        assert_eq!(enforced["file-metadata"], "full", "{enforced:#}");

        // Who needs them, for packing and installing, says so.
        let text = match mode {
            Mode::PlainUser => rules,
            _ => format!("mayLack: [{LACKING}, file-metadata]\n{rules}"),
        };
        let arguments = ["--policy", &policy(&machine, &text)];
        let run = mode.shell(&machine, &script, &arguments).success();
        let stdout = run.stdout(0);
        assert!(
            stdout.starts_with("mode done\nowner done\ntimes done\n"),
            "{mode:?}: {stdout}"
        );
        let enforced = &run.step(0)["enforced"];
        assert!(
            enforced["file-metadata"].to_string().contains("issing"),
            "{enforced:#}"
        );
    }
    // With a mount namespace a step's own files are its own, and the others are out of reach.
    let machine = Machine::new();
    let file = machine.file("other", "x");
    let own = metadata_attempts(Path::new("own")).replace("file = ", "open('own', 'w'); file = ");
    let run = machine.shell(&own, &[]).success();
    assert!(
        run.stdout(0)
            .starts_with("mode done\nowner done\ntimes done\n")
    );
    let run = machine.shell(&metadata_attempts(&file), &[]).success();
    assert!(
        run.stdout(0)
            .starts_with("mode EROFS\nowner EROFS\ntimes EROFS\n")
    );
}

#[test]
fn the_first_example_and_downloads_work_without_namespaces() {
    if skips() {
        return;
    }
    let server = HttpServer::start(|_| HttpResponse::ok("content"));
    for mode in PLAIN {
        let machine = Machine::new();
        let run = mode
            .run(
                &machine,
                &repository().join("examples/system-report.yaml"),
                &[],
            )
            .success();
        assert!(run.stdout(0).contains("kernel:"), "{:#}", run.json);
        assert!(run.stdout(1).contains("report.txt.gz"), "{:#}", run.json);
        assert!(run.stdout(2).contains("out of reach"), "{:#}", run.json);

        // The component gives the file that it wrote its mode, outside of its programs' filter.
        let info = json!({ "url": server.url("/f"), "allowInsecureDownload": true });
        let document = json!({
            "schemaVersion": "2.2",
            "mainSteps": [
                { "name": "get", "action": "aws:downloadContent", "inputs": {
                    "sourceType": "HTTP", "sourceInfo": info.to_string(), "destinationPath": "got" } },
            ],
        });
        let document = machine.file("download.json", document.to_string());
        let policy = policy(
            &machine,
            &grants(&format!("hosts: [\"{}\"]", server.url(""))),
        );
        mode.run(&machine, &document, &["--policy", &policy])
            .success();
    }
}

#[test]
fn no_program_leaves_a_setuid_file_behind() {
    if skips() {
        return;
    }
    let script = |folder: &Path| {
        attempts(&format!(
            r#"
os.chdir("{}")
def opens(name, mode):
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY, mode))
attempt("plain", lambda: opens("plain", 0o755))
attempt("mode", lambda: os.chmod("plain", 0o4755))
attempt("group", lambda: os.chmod(os.open("plain", os.O_RDONLY), 0o2755))
attempt("open", lambda: opens("open", 0o4755))
attempt("temporary", lambda: os.open(".", os.O_TMPFILE | os.O_RDWR, 0o4755))
attempt("node", lambda: os.mknod("node", 0o104755))
attempt("openat2", lambda: call(437, -100, b"plain", b"\0" * 24, 24))
attempt("folder", lambda: os.mkdir("folder", 0o2755))
attempt("sticky", lambda: os.chmod("folder", 0o1777))
"#,
            folder.display()
        ))
    };
    let machine = Machine::new();
    let folder = machine.path("shared");
    std::fs::create_dir_all(&folder).unwrap();
    let text = grants(&format!(
        "files: [{{ path: {}, access: read-write }}]",
        folder.display()
    ));
    let setuid = || {
        std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| {
                let metadata = entry.metadata().unwrap();
                metadata.is_file() && metadata.mode() & 0o6000 != 0
            })
            .count()
    };
    let arguments = ["--policy", &policy(&machine, &text)];
    let run = machine.shell(&script(&folder), &arguments).success();
    let expected = [
        ("plain", "done"),
        ("mode", "EPERM"),
        ("group", "EPERM"),
        ("open", "EPERM"),
        ("temporary", "EPERM"),
        ("node", "EPERM"),
        ("openat2", "ENOSYS"),
        ("folder", "done"),
        ("sticky", "done"),
    ];
    ended(&run, Mode::Full, &expected);
    assert_eq!(run.step(0)["enforced"]["setuid-files"], "full");
    assert_eq!(setuid(), 0);

    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::create_dir_all(&folder).unwrap();
    let arguments = [
        "--policy",
        &policy(&machine, &format!("mayLack: [setuid-files]\n{text}")),
    ];
    let run = machine.shell(&script(&folder), &arguments).success();
    assert_eq!(run.stdout(0).matches(" done").count(), 9, "{:#}", run.json);
    assert!(setuid() >= 2);
    let enforced = &run.step(0)["enforced"];
    assert!(
        enforced["setuid-files"].to_string().contains("issing"),
        "{enforced:#}"
    );
}

#[test]
fn devices_and_control_groups_keep_their_modes() {
    if skips_without_root("a device of root's") {
        return;
    }
    let machine = Machine::new();
    let run = machine
        .shell(
            "for file in /dev/null /dev/full /proc/meminfo $(find /sys/fs/cgroup -maxdepth 2 -name 'cgroup.procs' | head -3); do \
               chmod $(stat -c %a $file) $file 2>/dev/null && echo changed $file; \
               chown $(stat -c %u $file) $file 2>/dev/null && echo given $file; \
               touch $file 2>/dev/null && echo touched $file; \
             done; \
             echo x > /dev/null && head -c 10 /dev/zero > zeroes && cat zeroes > /dev/null && stat -c %s zeroes; \
             for file in slabinfo kpagecount timer_list vmallocinfo keys key-users; do \
               if test -e /proc/$file; then head -c 10 /proc/$file; fi; done; \
             grep -c MemTotal /proc/meminfo",
            &[],
        )
        .success();
    assert_eq!(run.stdout(0), "10\n1\n", "{:#}", run.json);
}

#[test]
fn processes_and_memory_are_limited_without_control_groups() {
    if skips() {
        return;
    }
    let many = "i=0; while [ $i -lt 60 ]; do setsid sleep 600 & i=$((i+1)); done; wait";
    let files = "#!/usr/bin/python3\nimport os, signal\nfor i in range(4):\n  f = os.memfd_create('x')\n  for j in range(40): os.write(f, b'x' * (1 << 20))\nprint('written', flush=True)\nsignal.pause()";
    let family = "#!/usr/bin/python3\nimport os, signal\nfor i in range(4):\n  if os.fork() == 0:\n    x = b'x' * (40 << 20)\n    signal.pause()\nsignal.pause()";
    for mode in PLAIN {
        for (script, limit, reason) in [
            (many, "processes: 30", "ProcessLimitExceeded"),
            (files, "childMemory: 100MiB", "ChildMemoryLimitExceeded"),
            (family, "childMemory: 100MiB", "ChildMemoryLimitExceeded"),
        ] {
            // For a user the kernel's own limit holds.
            if mode == Mode::PlainUser && script == many {
                continue;
            }
            let machine = Machine::new();
            let limits = policy(&machine, &format!("limits: {{ {limit}, wall: 60s }}"));
            let run = mode.shell(&machine, script, &["--policy", &limits]);
            assert_eq!(run.code, 1, "{mode:?} {limit}: {:#}", run.json);
            assert_eq!(
                run.step(0)["statusDetail"],
                reason,
                "{mode:?} {limit}: {:#}",
                run.json
            );
        }
        // What is shared is counted once, and what is below the limit is let be.
        let shared = "#!/usr/bin/python3\nimport os, time\nx = b'x' * (60 << 20)\nchildren = []\nfor i in range(4):\n  pid = os.fork()\n  if pid == 0:\n    time.sleep(0.6)\n    os._exit(0)\n  children.append(pid)\nfor pid in children: os.waitpid(pid, 0)\nprint('fine')";
        let machine = Machine::new();
        let limits = policy(&machine, "limits: { childMemory: 160MiB, processes: 30 }");
        let run = mode
            .shell(&machine, shared, &["--policy", &limits])
            .success();
        assert_eq!(run.stdout(0), "fine\n");
    }
}

#[test]
fn orphans_are_reaped_while_the_step_runs() {
    if skips_without_root("a /proc of the step's own") {
        return;
    }
    let machine = Machine::new();
    let run = machine
        .shell(
            "for i in 1 2 3 4 5 6 7 8; do (true &); done; \
             until ! grep -qs '^State:.Z' /proc/[0-9]*/status; do sleep 0.02; done; echo clean; \
             (exit 7); echo $?",
            &[],
        )
        .success();
    assert_eq!(run.stdout(0), "clean\n7\n", "{:#}", run.json);
}

#[test]
fn thousands_of_leftovers_are_ended_at_once() {
    if skips() {
        return;
    }
    for mode in [Mode::Full, Mode::PlainRoot] {
        let machine = Machine::new();
        let limits = policy(&machine, "limits: { processes: 4000 }");
        let script = "#!/usr/bin/python3\nimport os, signal\nfor i in range(1500):\n  if os.fork() == 0:\n    os.setsid()\n    os.closerange(0, 3)\n    signal.pause()\nprint('left')";
        let run = mode
            .shell(&machine, script, &["--policy", &limits])
            .success();
        assert_eq!(run.stdout(0), "left\n");
    }
}

/// Starts a run whose step leaves a daemon behind that holds a lock for as long as it lives; returns it when the
/// lock is held.
fn start_with_daemon(mode: Mode, machine: &Machine) -> (std::process::Child, PathBuf) {
    let folder = machine.path("shared");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let lock = folder.join("lock");
    let text = grants(&format!(
        "files: [{{ path: {}, access: read-write }}]",
        folder.display()
    ));
    let policy = policy(machine, &text);
    let script = format!(
        "setsid sh -c '(exec 9> {0}; flock 9; echo held > {0}.held; sleep 600) &' > /dev/null 2>&1 < /dev/null; sleep 600",
        lock.display()
    );
    let document = machine.file("document.json", shell_document(&script));
    let child = mode
        .command(machine)
        .args(["run", "--policy", &policy])
        .arg(document)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !lock.with_extension("held").exists() {
        std::thread::yield_now();
    }
    (child, lock)
}

/// Waits until nobody holds the lock.
fn released(lock: &Path) -> bool {
    Command::new("timeout")
        .args(["30", "flock"])
        .arg(lock)
        .arg("true")
        .status()
        .unwrap()
        .success()
}

fn signal(pid: u32, name: &str) {
    let status = Command::new("kill")
        .args([name, &pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn nothing_outlives_a_worker_that_dies() {
    if skips() || skips_without(&["flock", "timeout"]) {
        return;
    }
    for mode in ALL {
        let machine = Machine::new();
        let (mut child, lock) = start_with_daemon(mode, &machine);
        // Without a process namespace the worker is below its guardian.
        let workers = below(child.id());
        signal(workers[usize::from(mode != Mode::Full)], "-KILL");
        assert!(!child.wait().unwrap().success(), "{mode:?}");
        assert!(released(&lock), "{mode:?}: the daemon lives");
    }
}

#[test]
fn nothing_outlives_a_supervisor_that_dies() {
    if skips() || skips_without(&["flock", "timeout"]) {
        return;
    }
    for mode in ALL {
        let machine = Machine::new();
        let (mut child, lock) = start_with_daemon(mode, &machine);
        kill(&mut child);
        assert!(released(&lock), "{mode:?}: the daemon lives");
    }
}

#[test]
fn the_doctor_and_the_schema_know_every_layer() {
    let machine = Machine::new();
    let output = machine.capstan(["doctor"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let output = machine.capstan(["policy", "schema"]);
    let schema = String::from_utf8_lossy(&output.stdout).into_owned();
    for layer in ["file-metadata", "setuid-files"] {
        assert!(text.contains(&format!("{layer:<18} yes")), "{text}");
        assert!(schema.contains(layer), "{schema}");
    }
}
