//! The whole outputs of a command, besides the beginnings that replies hold: in S3, where the command asks for it and the
//! node's policy has the bucket, and in a folder that the policy names.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use capstan_client::{Client, ClientError, Endpoint, Options};
use capstan_document::output_folders;
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

/// The whole outputs that a step left.
fn files(step: &StepResult) -> impl Iterator<Item = (&'static str, &Path)> {
    let both = [("stdout", &step.stdout_path), ("stderr", &step.stderr_path)];
    both.into_iter()
        .filter(|(_, path)| !path.is_empty())
        .map(|(name, path)| (name, Path::new(path)))
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
    pub(crate) async fn take(&self, steps: &[StepResult]) -> Kept {
        let mut kept = Kept {
            in_s3: vec![None; steps.len()],
            ..Kept::default()
        };
        if let Some(folder) = &self.allowed.folder {
            kept.problems = self.copy(folder, steps).await;
        }
        if !self.command.output_bucket.is_empty() {
            self.upload(steps, &mut kept).await;
        }
        for problem in &kept.problems {
            tracing::warn!(command = self.command.id, problem, "outputs");
        }
        kept
    }

    /// What went wrong.
    async fn copy(&self, root: &str, steps: &[StepResult]) -> Vec<String> {
        let mut copies = Vec::new();
        for step in steps {
            let [plugin, name] = output_folders(&step.action, &step.name);
            for (stream, path) in files(step) {
                let folders = [self.command.id.clone(), plugin.clone(), name.clone()];
                copies.push((step.name.clone(), stream, path.to_owned(), folders));
            }
        }
        let root = root.to_owned();
        let copy = move || {
            let copy = |(step, stream, path, folders): (String, &str, PathBuf, [String; 3])| {
                open_output(&path)
                    .and_then(|file| copy_output(file, Path::new(&root), &folders, stream))
                    .err()
                    .map(|error| format!("the {stream} of `{step}` is not in {root}: {error}"))
            };
            copies.into_iter().filter_map(copy).collect()
        };
        // They may be large, and the agent does all else in one thread.
        tokio::task::spawn_blocking(copy)
            .await
            .unwrap_or_else(|error| vec![error.to_string()])
    }

    async fn upload(&self, steps: &[StepResult], kept: &mut Kept) {
        let (bucket, prefix) = (&self.command.output_bucket, &self.command.output_prefix);
        let missing = |why: &str| format!("the outputs are not all in s3://{bucket}: {why}");
        let Some(rule) = self.allowed.bucket(bucket, prefix) else {
            kept.problems.push(missing(&format!(
                "this node's policy does not have it; `outputs: {{ s3: [{{ bucket: {bucket} }}] }}` in the policy would \
                 allow it"
            )));
            return;
        };
        let mut store = match Store::new(rule, self.region) {
            Ok(store) => store,
            Err(why) => return kept.problems.push(missing(&why)),
        };
        let prefix = prefix.trim_matches('/');
        let slash = if prefix.is_empty() { "" } else { "/" };
        let (command, node) = (&self.command.id, self.node);
        for (step, done) in steps.iter().zip(&mut kept.in_s3) {
            let [plugin, name] = output_folders(&step.action, &step.name);
            let start = format!("{prefix}{slash}{command}/{node}/{plugin}/{name}");
            for (stream, path) in files(step) {
                match store.put(&format!("{start}/{stream}"), path).await {
                    Ok(()) => *done = Some((bucket.clone(), start.clone())),
                    Err(PutError::File(error)) => kept.problems.push(missing(&format!(
                        "the {stream} of `{}` cannot be read: {error}",
                        step.name
                    ))),
                    // The other objects would fare no better, and each would take as long to find out.
                    Err(PutError::Store(why)) => return kept.problems.push(missing(&why)),
                }
            }
        }
    }
}

/// Why an output is not in S3.
enum PutError {
    /// It cannot be read.
    File(io::Error),
    /// S3 does not take it.
    Store(String),
}

impl PutError {
    fn store(error: impl ToString) -> Self {
        Self::Store(error.to_string())
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
        let region = rule.region.as_deref().unwrap_or(region);
        Ok(Self {
            rule,
            region: region.to_owned(),
            client: client(rule, region)?,
        })
    }

    /// Turns to another region, where S3 says that the bucket is. An operator's word about the region holds.
    fn turn(&mut self, error: &ClientError) -> Result<bool, String> {
        let ClientError::Service(error) = error else {
            return Ok(false);
        };
        let Some(region) = error.region.as_deref().filter(|told| is_region(told)) else {
            return Ok(false);
        };
        if self.rule.region.is_some() || region == self.region {
            return Ok(false);
        }
        self.client = client(self.rule, region)?;
        region.clone_into(&mut self.region);
        Ok(true)
    }

    async fn put(&mut self, key: &str, path: &Path) -> Result<(), PutError> {
        let path = path.to_owned();
        let (file, length, digest) = tokio::task::spawn_blocking(move || -> io::Result<_> {
            let mut file = open_output(&path)?;
            let (length, digest) = digest(&mut file)?;
            Ok((file, length, digest))
        })
        .await
        .map_err(PutError::store)?
        .map_err(PutError::File)?;
        let path = format!("/{}/{}", self.rule.bucket, utf8_percent_encode(key, KEY));
        let timeout = TIMEOUT + Duration::from_secs(length / SLOWEST);
        let (mut rests, mut turned) = (RESTS.iter(), false);
        loop {
            let mut file = file.try_clone().map_err(PutError::File)?;
            file.rewind().map_err(PutError::File)?;
            let headers = self.sign(&path, &digest).map_err(PutError::Store)?;
            let put = self.client.put_file(&path, &headers, file, length, timeout);
            let Err(error) = put.await else {
                return Ok(());
            };
            if !turned && self.turn(&error).map_err(PutError::Store)? {
                turned = true;
                continue;
            }
            match rests.next() {
                Some(rest) if error.is_transient() => tokio::time::sleep(*rest).await,
                _ => return Err(PutError::store(error)),
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

fn client(rule: &OutputBucket, region: &str) -> Result<Client, String> {
    let url = rule
        .endpoint
        .clone()
        .or_else(|| std::env::var("AWS_ENDPOINT_URL_S3").ok())
        .filter(|url| !url.is_empty())
        .unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
    let endpoint: Endpoint = url
        .parse()
        .map_err(|error: ClientError| error.to_string())?;
    Client::new(endpoint, Options::default()).map_err(|error| error.to_string())
}

/// Whether it can be a part of a host's name, as regions are; an answer could say anything.
fn is_region(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
