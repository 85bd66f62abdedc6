//! The whole outputs of a command, besides the beginnings that replies hold: in S3, where the command asks for it and the
//! node's policy has the bucket, and in a folder that the policy names.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use capstan_client::{Client, ClientError, Endpoint, Options};
use capstan_policy::{OutputBucket, Outputs};
use capstan_runner::{StepResult, copy_output, find_credentials, open_output, sign};
use capstan_runtime::SignRequest;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

use crate::message::{Command, hex};

/// What S3 wants encoded in the path of a key: all but what RFC 3986 leaves alone, and the slash.
const KEY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');
/// Waits between attempts to put an object.
const RESTS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];
/// How long a connection and an answer may take, besides the time for the bytes.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes a second, at the least.
const SLOWEST: u64 = 100_000;

/// A step whose outputs are to be kept: what it came to, and whether its document names steps by their action.
pub(crate) struct Source<'a> {
    pub(crate) result: &'a StepResult,
    pub(crate) by_action: bool,
}

impl Source<'_> {
    /// The folders of its outputs, as SSM's agent names them.
    fn folders(&self) -> [String; 2] {
        let plugin = self.result.action.replace(':', "");
        let step = if self.by_action {
            format!("0.{plugin}")
        } else {
            self.result.name.clone()
        };
        [plugin, step]
    }

    fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let both = [
            ("stdout", &self.result.stdout_path),
            ("stderr", &self.result.stderr_path),
        ];
        both.into_iter()
            .filter(|(_, path)| !path.is_empty())
            .map(|(name, path)| (name, Path::new(path)))
    }
}

/// Where the outputs of a node's command go.
pub(crate) struct Places<'a> {
    pub(crate) allowed: &'a Outputs,
    pub(crate) command: &'a Command,
    pub(crate) node: &'a str,
    pub(crate) region: &'a str,
}

/// What was kept elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// By the place of the step: the bucket, and what its keys begin with.
    pub(crate) in_s3: Vec<Option<(String, String)>>,
    /// What went wrong, for people.
    pub(crate) problems: Vec<String>,
}

impl Places<'_> {
    /// Takes the outputs of all steps where they are to go. What goes wrong costs the copy and nothing else.
    pub(crate) async fn take(&self, steps: &[Source<'_>]) -> Kept {
        let mut kept = Kept {
            in_s3: vec![None; steps.len()],
            ..Kept::default()
        };
        if let Some(folder) = &self.allowed.folder {
            for step in steps {
                if let Err(error) = self.copy(Path::new(folder), step) {
                    kept.problems
                        .push(format!("the outputs are not in {folder}: {error}"));
                    break;
                }
            }
        }
        let bucket = &self.command.output_bucket;
        if bucket.is_empty() {
            return kept;
        }
        if let Err(why) = self.upload(steps, &mut kept.in_s3).await {
            kept.problems
                .push(format!("the outputs are not all in s3://{bucket}: {why}"));
        }
        for problem in &kept.problems {
            tracing::warn!(command = self.command.id, problem, "outputs");
        }
        kept
    }

    fn copy(&self, root: &Path, step: &Source<'_>) -> io::Result<()> {
        let [plugin, name] = step.folders();
        let folders = [self.command.id.clone(), plugin, name];
        for (stream, path) in step.files() {
            copy_output(open_output(path)?, root, &folders, stream)?;
        }
        Ok(())
    }

    async fn upload(
        &self,
        steps: &[Source<'_>],
        done: &mut [Option<(String, String)>],
    ) -> Result<(), String> {
        let (bucket, prefix) = (&self.command.output_bucket, &self.command.output_prefix);
        let rule = self.allowed.bucket(bucket, prefix).ok_or_else(|| {
            format!(
                "this node's policy does not have it; `outputs: {{ s3: [{{ bucket: {bucket} }}] }}` in the policy would \
                 allow it"
            )
        })?;
        let store = Store::new(rule, self.region)?;
        let prefix = prefix.trim_matches('/');
        let slash = if prefix.is_empty() { "" } else { "/" };
        for (step, done) in steps.iter().zip(done) {
            let [plugin, name] = step.folders();
            let (command, node) = (&self.command.id, self.node);
            let start = format!("{prefix}{slash}{command}/{node}/{plugin}/{name}");
            for (stream, path) in step.files() {
                store.put(&format!("{start}/{stream}"), path).await?;
                *done = Some((bucket.clone(), start.clone()));
            }
        }
        Ok(())
    }
}

/// The length and the SHA-256 of a file.
fn digest(file: &mut File) -> io::Result<(u64, String)> {
    let (mut hash, mut length, mut piece) = (Sha256::new(), 0, vec![0; 64 * 1024]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok((length, hex(&hash.finalize()))),
            read => {
                hash.update(&piece[..read]);
                length += read as u64;
            }
        }
    }
}

/// A bucket.
struct Store<'a> {
    rule: &'a OutputBucket,
    region: String,
    client: Client,
}

impl<'a> Store<'a> {
    fn new(rule: &'a OutputBucket, region: &str) -> Result<Self, String> {
        let region = rule.region.clone().unwrap_or_else(|| region.to_owned());
        let url = rule
            .endpoint
            .clone()
            .or_else(|| std::env::var("AWS_ENDPOINT_URL_S3").ok())
            .filter(|url| !url.is_empty())
            .unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let endpoint: Endpoint = url
            .parse()
            .map_err(|error: ClientError| error.to_string())?;
        let client =
            Client::new(endpoint, Options::default()).map_err(|error| error.to_string())?;
        Ok(Self {
            rule,
            region,
            client,
        })
    }

    async fn put(&self, key: &str, path: &Path) -> Result<(), String> {
        let path = path.to_owned();
        let (file, length, digest) = tokio::task::spawn_blocking(move || -> io::Result<_> {
            let mut file = open_output(&path)?;
            let (length, digest) = digest(&mut file)?;
            Ok((file, length, digest))
        })
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error| format!("an output cannot be read: {error}"))?;
        let path = format!("/{}/{}", self.rule.bucket, utf8_percent_encode(key, KEY));
        let timeout = TIMEOUT + Duration::from_secs(length / SLOWEST);
        let mut rests = RESTS.iter();
        loop {
            let mut file = file.try_clone().map_err(|error| error.to_string())?;
            file.rewind().map_err(|error| error.to_string())?;
            let headers = self.sign(&path, &digest)?;
            let put = self.client.put_file(&path, &headers, file, length, timeout);
            let Err(error) = put.await else {
                return Ok(());
            };
            match rests.next() {
                Some(rest) if error.is_transient() => tokio::time::sleep(*rest).await,
                _ => return Err(error.to_string()),
            }
        }
    }

    fn sign(&self, path: &str, digest: &str) -> Result<Vec<(String, String)>, String> {
        let credentials = find_credentials().map_err(|error| error.to_string())?;
        let request = SignRequest {
            service: "s3".to_owned(),
            region: self.region.clone(),
            method: "PUT".to_owned(),
            url: format!("{}{path}", self.client.endpoint()),
            headers: Vec::new(),
            body_sha256: digest.to_owned(),
        };
        sign(&credentials, &request, SystemTime::now()).map_err(|error| error.to_string())
    }
}
