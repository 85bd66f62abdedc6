//! What every end-to-end test needs: a state folder of its own, the binary, and its JSON.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use capstan_runtime::{describe, with_manifest};
use serde_json::Value;

/// Where the tests keep their files: never below a folder that a confined step sees replaced by its own, or what
/// is granted there would be something else than what is tested; nor, for root, below one that is closed to the users
/// that steps run as.
fn scratch() -> PathBuf {
    let usual = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let hidden = |path: &Path| {
        ["/tmp", "/var/tmp", "/run"]
            .iter()
            .any(|folder| path.starts_with(folder))
    };
    let closed = |path: &Path| {
        use std::os::unix::fs::MetadataExt as _;
        path.ancestors()
            .filter_map(|folder| std::fs::metadata(folder).ok())
            .any(|folder| folder.mode() & 0o001 == 0)
    };
    let reachable = !is_root() || !closed(usual);
    if reachable && !hidden(usual) {
        return usual.to_owned();
    }
    let home = std::env::var_os("HOME")
        .map(PathBuf::from)
        .filter(|home| !hidden(home));
    let folder = if is_root() {
        PathBuf::from("/var/cache")
    } else {
        home.unwrap_or_else(|| usual.to_owned())
    };
    folder.join("capstan-tests")
}

/// The compile cache that all tests share, so that each component is compiled once.
pub fn shared_cache() -> PathBuf {
    scratch().join("compile-cache")
}

/// A folder that is removed with the test, and `capstan` with its state in it.
pub struct Machine {
    root: PathBuf,
}

impl Machine {
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "e2e-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let root = scratch().join(name);
        std::fs::create_dir_all(&root).unwrap();
        Self { root }
    }

    /// A path in the test's own folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Writes a file into the test's own folder.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// The binary, with nothing of the caller's environment that would change what it does.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_capstan"));
        command
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", &self.root)
            .env("CAPSTAN_STATE", self.state())
            .env("CAPSTAN_CACHE", shared_cache())
            .stdin(Stdio::null());
        command
    }

    pub fn capstan<S: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// Runs a document given as text and returns its result.
    pub fn run(&self, document: &str, arguments: &[&str]) -> Run {
        let file = self.file("document.yaml", document);
        self.run_file(&file, arguments)
    }

    pub fn run_file(&self, file: &Path, arguments: &[&str]) -> Run {
        let output = self
            .command()
            .args(["run", "--output", "json"])
            .arg(file)
            .args(arguments)
            .output()
            .unwrap();
        Run::of(output)
    }

    /// One shell step under the default profile or what `arguments` say.
    pub fn shell(&self, script: &str, arguments: &[&str]) -> Run {
        self.run(&shell_document(script), arguments)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

/// A document with one shell step.
pub fn shell_document(script: &str) -> String {
    serde_json::json!({
        "schemaVersion": "2.2",
        "mainSteps": [{ "name": "script", "action": "aws:runShellScript", "inputs": { "runCommand": [script] } }],
    })
    .to_string()
}

/// Prepares something with a script, with this folder as the current one and as home, and returns what it printed.
#[track_caller]
pub fn sh(folder: &Path, script: &str) -> String {
    let output = Command::new("sh")
        .args(["-ec", script])
        .current_dir(folder)
        .env("HOME", folder)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Puts a secure parameter.
pub fn put_secret(machine: &Machine, name: &str, value: &str) {
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

/// What a run printed.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub json: Value,
    pub stderr: String,
}

impl Run {
    pub fn of(output: Output) -> Self {
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let json = serde_json::from_str(&stdout).unwrap_or(Value::Null);
        Self {
            code: output.status.code().unwrap_or(-1),
            json,
            stderr,
        }
    }

    pub fn step(&self, index: usize) -> &Value {
        &self.json["steps"][index]
    }

    pub fn stdout(&self, index: usize) -> &str {
        self.step(index)["stdout"].as_str().unwrap_or_default()
    }

    /// Panics with everything that is known unless the run ended so.
    #[track_caller]
    pub fn expect(self, code: i32, status: &str) -> Self {
        assert!(
            self.code == code && self.json["status"] == status,
            "expected exit {code} and {status}, got exit {}\n{:#}\n{}",
            self.code,
            self.json,
            self.stderr
        );
        self
    }

    #[track_caller]
    pub fn success(self) -> Self {
        self.expect(0, "Success")
    }
}

/// The components in `tests/components`, built once for all tests.
pub fn component(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("components");
    BUILT.get_or_init(|| {
        let names: Vec<String> = std::fs::read_dir(repository().join("tests/components"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        capstan_sdk_build::build_components(repository(), &target, &names).unwrap();
    });
    target
        .join("wasm32-wasip2/component")
        .join(format!("{}.wasm", name.replace('-', "_")))
}

/// A component that makes its own manifest, with that manifest in it, as `capstan plugin build` leaves it.
pub fn described(machine: &Machine, name: &str) -> PathBuf {
    let wasm = std::fs::read(component(name)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let manifest = runtime.block_on(describe(&wasm)).unwrap();
    machine.file(
        &format!("{name}.wasm"),
        with_manifest(&wasm, &manifest).unwrap(),
    )
}

pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A port of loopback that nobody listens on yet.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A server of the system's, which ends with the test.
pub struct Daemon(Child);

impl Daemon {
    /// Starts it, and waits until it listens.
    pub fn start(command: &mut Command, port: u16, log: &Path) -> Self {
        let process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(log).unwrap())
            .spawn()
            .unwrap();
        let daemon = Self(process);
        let started = std::time::Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                started.elapsed() < std::time::Duration::from_secs(20),
                "{command:?} does not listen: {}",
                std::fs::read_to_string(log).unwrap()
            );
            std::thread::yield_now();
        }
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn is_root() -> bool {
    // The owner of a process's own folder is its effective user.
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Says which test is left out where it cannot be had.
pub fn skips_without_root(what: &str) -> bool {
    if !is_root() {
        eprintln!("left out: {what} needs root");
    }
    !is_root()
}

/// The same for programs.
pub fn skips_without(programs: &[&str]) -> bool {
    let missing: Vec<&&str> = programs.iter().filter(|program| !has(program)).collect();
    if !missing.is_empty() {
        eprintln!("left out: {missing:?} are not on this machine");
    }
    !missing.is_empty()
}

pub fn has(program: &str) -> bool {
    ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        .iter()
        .any(|folder| Path::new(folder).join(program).exists())
}

/// Leaves for a user namespace that allows no more of them, as nobody in particular, and runs the rest.
pub const WITHOUT_NAMESPACES: &str = r#"
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
uid, gid = os.geteuid(), os.getegid()
if libc.unshare(0x10000000) != 0:
    sys.exit(77)
for path, text in (("setgroups", "deny"), ("uid_map", f"1234 {uid} 1"), ("gid_map", f"1234 {gid} 1")):
    with open("/proc/self/" + path, "w") as file:
        file.write(text)
with open("/proc/sys/user/max_user_namespaces", "w") as file:
    file.write("0")
os.execv(sys.argv[1], sys.argv[1:])
"#;

/// A request as far as the tests look at it.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl HttpRequest {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// What the server answers.
pub struct HttpResponse {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl HttpResponse {
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// An HTTP/1.1 server on loopback that answers one request a connection.
pub struct HttpServer {
    pub address: SocketAddr,
    pub requests: Arc<Mutex<Vec<HttpRequest>>>,
}

impl HttpServer {
    pub fn start(answer: impl Fn(&HttpRequest) -> HttpResponse + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let _ = serve(stream, &log, &*answer);
                });
            }
        });
        Self { address, requests }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

fn serve(
    mut stream: std::net::TcpStream,
    log: &Mutex<Vec<HttpRequest>>,
    answer: &dyn Fn(&HttpRequest) -> HttpResponse,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Ok(());
    };
    let mut request = HttpRequest {
        method: method.into(),
        path: path.into(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        request.headers.push((name.into(), value.trim().into()));
    }
    if let Some(length) = request
        .header("content-length")
        .and_then(|text| text.parse::<u64>().ok())
    {
        reader
            .by_ref()
            .take(length)
            .read_to_end(&mut request.body)?;
    }
    log.lock().unwrap().push(request.clone());
    let response = answer(&request);
    let mut head = format!("HTTP/1.1 {} x\r\nconnection: close\r\n", response.status);
    if !response
        .headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-length"))
    {
        head += &format!("content-length: {}\r\n", response.body.len());
    }
    for (name, value) in &response.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"\r\n")?;
    if request.method != "HEAD" {
        stream.write_all(&response.body)?;
    }
    stream.flush()
}

/// Ends a process that the test started.
pub fn kill(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// The processes below one, nearest first.
pub fn below(pid: u32) -> Vec<u32> {
    let mut list: Vec<u32> = std::fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default())
        .flat_map(|text| {
            text.split_whitespace()
                .map(|pid| pid.parse().unwrap())
                .collect::<Vec<u32>>()
        })
        .collect();
    let further: Vec<u32> = list.iter().flat_map(|pid| below(*pid)).collect();
    list.extend(further);
    list
}
