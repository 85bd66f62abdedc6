//! A private PostgreSQL for tests, behind the feature `testing`:
//!
//! ```toml
//! [dev-dependencies]
//! capstan-store = { workspace = true, features = ["testing"] }
//! ```
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! if let Some(cluster) = capstan_store::testing::Cluster::start()? {
//!     let location = cluster.database()?;
//!     // Open stores on it; it is gone when the cluster is dropped.
//! }
//! # Ok(())
//! # }
//! ```

use std::env;
use std::fs;
use std::io::{Error, Result};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use postgres::{Client, NoTls};

use crate::Location;

/// How long the server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the server, and ends it by its id once its standard input is closed: when the cluster is dropped, and also when
/// the test was killed.
const KEEPER: &str = r#"
    "$1" -D "$2/data" -k "$2" -h '' -c max_connections=100 >"$2/log" 2>&1 </dev/null &
    server=$!
    read -r _
    kill -QUIT "$server"
    wait "$server"
"#;

/// A PostgreSQL server in a temporary folder, reached through a socket there and by nobody else.
///
/// Its databases sort as people do (by ICU, where it is built in), so that what should be sorted by bytes shows.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    keeper: Child,
    databases: AtomicU32,
}

impl Cluster {
    /// Starts one; none where PostgreSQL is not installed, which is said on standard error.
    ///
    /// # Errors
    ///
    /// When it is installed, and does not start.
    pub fn start() -> Result<Option<Cluster>> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);

        let Some(programs) = programs() else {
            eprintln!("PostgreSQL is not installed: what is tested with it is left out");
            return Ok(None);
        };
        // The path of a socket has a hundred characters at the most.
        let temporary = Some(env::temp_dir()).filter(|folder| folder.as_os_str().len() < 40);
        let name = format!(
            "capstan-pg-{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let folder = temporary.unwrap_or_else(|| "/tmp".into()).join(name);
        fs::create_dir(&folder)?;
        let started = begin(&programs, &folder);
        if started.is_err() {
            let _ = fs::remove_dir_all(&folder);
        }
        let cluster = Cluster {
            folder,
            keeper: started?,
            databases: AtomicU32::new(0),
        };
        let began = Instant::now();
        while let Err(error) = cluster.client() {
            if began.elapsed() > PATIENCE {
                let log = fs::read_to_string(cluster.folder.join("log")).unwrap_or_default();
                return Err(Error::other(format!(
                    "PostgreSQL does not start: {error}\n{log}"
                )));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(Some(cluster))
    }

    /// Makes a new, empty database.
    ///
    /// # Errors
    ///
    /// When the server does not.
    pub fn database(&self) -> Result<Location> {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.execute(&format!("CREATE DATABASE {name}"))?;
        Ok(Location::Postgres(self.url(&name)))
    }

    /// Runs statements as the administrator: to end connections, for one.
    ///
    /// # Errors
    ///
    /// When the server does not take them.
    pub fn execute(&self, sql: &str) -> Result<()> {
        // The client may not be used in a thread that runs asynchronous tasks, as the caller's may.
        thread::scope(|scope| {
            let run = scope.spawn(|| self.client()?.batch_execute(sql).map_err(Error::other));
            run.join()
                .unwrap_or_else(|_| Err(Error::other("the client panicked")))
        })
    }

    fn client(&self) -> Result<Client> {
        thread::scope(|scope| {
            let connect =
                scope.spawn(|| Client::connect(&self.url("postgres"), NoTls).map_err(Error::other));
            connect
                .join()
                .unwrap_or_else(|_| Err(Error::other("the client panicked")))
        })
    }

    fn url(&self, database: &str) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://capstan@{folder}/{database}")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The folder of the newest PostgreSQL's programs.
fn programs() -> Option<PathBuf> {
    let in_path = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect::<Vec<_>>();
    let mut installed: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .collect();
    installed.sort_by_key(|path| {
        let version = path
            .parent()
            .and_then(Path::file_name)
            .and_then(|name| name.to_str());
        std::cmp::Reverse(version.and_then(|version| version.parse::<u32>().ok()))
    });
    in_path
        .into_iter()
        .chain(installed)
        .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

fn begin(programs: &Path, folder: &Path) -> Result<Child> {
    // The server refuses to run as root.
    let user = match fs::metadata("/proc/self")?.uid() {
        0 => Some(unprivileged()?),
        _ => None,
    };
    if let Some((user, group)) = user {
        chown(folder, Some(user), Some(group))?;
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    let command = |program: &Path| {
        let mut command = Command::new(program);
        if let Some((user, group)) = user {
            command.uid(user).gid(group);
        }
        command.current_dir(folder).env("LC_ALL", "C.UTF-8");
        command
    };
    let make = |locale: &[&str]| {
        command(&programs.join("initdb"))
            .args([
                "--no-sync",
                "--no-instructions",
                "-A",
                "trust",
                "-U",
                "capstan",
                "-E",
                "UTF8",
                "-D",
            ])
            .arg(folder.join("data"))
            .args(locale)
            .output()
    };
    let mut made = make(&[
        "--locale=C.UTF-8",
        "--locale-provider=icu",
        "--icu-locale=en-US",
    ])?;
    if !made.status.success() {
        made = make(&["--locale=C.UTF-8"])?;
    }
    if !made.status.success() {
        return Err(Error::other(format!(
            "initdb failed: {}",
            String::from_utf8_lossy(&made.stderr)
        )));
    }
    command(Path::new("/bin/sh"))
        .args(["-c", KEEPER, "sh"])
        .arg(programs.join("postgres"))
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
}

/// The user and group of `postgres`, or else of `nobody`.
fn unprivileged() -> Result<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd")?;
    let find = |name: &str| {
        let line = users
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    find("postgres").or_else(|| find("nobody")).ok_or_else(|| {
        Error::other("there is neither a user postgres nor nobody to run PostgreSQL as")
    })
}
