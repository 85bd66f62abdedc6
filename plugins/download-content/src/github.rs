//! `sourceType: GitHub`: a file or folder of a repository, over GitHub's API for contents.

use capstan_sdk::download::{self, Part};
use capstan_sdk::http::{self, Authorization};
use capstan_sdk::{Context, Failure, Outcome, Value, serde_json};

use crate::source::{Revision, no_sum, percent_encoded, revision, secure};
use crate::{MODE, below, done, folder, place};

const API: &str = "https://api.github.com";
const FOLDER_BYTES: usize = 8 << 20;
/// Deeper than any folder of scripts; a server must not lead in circles.
const DEPTH: usize = 32;

struct Repository {
    contents: String,
    query: String,
    authorization: Authorization,
}

pub(crate) fn fetch(
    context: &Context,
    text: &dyn Fn(&str) -> Option<String>,
    destination: &str,
    sha256: Option<&str>,
) -> Result<Outcome, Failure> {
    let required =
        |key: &str| text(key).ok_or_else(|| Failure::invalid(format!("sourceInfo has no {key}")));
    let (owner, name) = (required("owner")?, required("repository")?);
    let path = text("path").unwrap_or_default();
    let path = path.trim_matches('/');
    let plain = |part: &str| {
        !part.is_empty()
            && part != ".."
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    if !plain(&owner) || !plain(&name) {
        return Err(Failure::invalid(format!(
            "{owner}/{name} is no repository of GitHub"
        )));
    }
    let token = match text("tokenInfo") {
        None => Authorization::None,
        Some(token) => Authorization::Bearer(
            secure(&token)
                .ok_or_else(|| {
                    Failure::invalid(
                        "tokenInfo is a reference to a SecureString: {{ssm-secure:NAME}}",
                    )
                })?
                .to_owned(),
        ),
    };
    let query = match revision(&text("getOptions").unwrap_or_default())? {
        Revision::Default => String::new(),
        Revision::Branch(name) | Revision::Commit(name) => {
            format!("?ref={}", percent_encoded(&name))
        }
    };
    let api = text("apiUrl").unwrap_or_else(|| API.to_owned());
    let repository = Repository {
        contents: format!(
            "{}/repos/{owner}/{name}/contents",
            api.trim_end_matches('/')
        ),
        query,
        authorization: token,
    };
    match repository.list(path)? {
        Some(entries) => {
            no_sum(sha256, "a folder")?;
            let folder = folder(context, destination)?;
            repository.folder(&entries, path, &folder, 0)?;
            done(&folder)
        }
        None => {
            let name = path.rsplit('/').next().unwrap_or(path);
            let file = place(context, destination, name);
            repository.file(path, &file, sha256)?;
            done(&file)
        }
    }
}

impl Repository {
    fn url(&self, path: &str) -> String {
        format!("{}/{}{}", self.contents, percent_encoded(path), self.query)
    }

    /// The entries of a folder, none when the path is a file.
    fn list(&self, path: &str) -> Result<Option<Vec<Value>>, Failure> {
        let mut request = http::get(&self.url(path));
        request.authorization = self.authorization.clone();
        request.headers.push((
            "accept".to_owned(),
            "application/vnd.github.object+json".to_owned(),
        ));
        let response = http::send(&request)?;
        let status = response.status();
        let body = http::body(&response, FOLDER_BYTES)?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status != 200 {
            let why = answer["message"].as_str().unwrap_or("no reason given");
            return Err(Failure::failed(format!(
                "{} answered with status {status}: {why}",
                response.url()
            )));
        }
        match answer {
            Value::Array(entries) => Ok(Some(entries)),
            Value::Object(mut object) => match object.remove("entries") {
                Some(Value::Array(entries)) => Ok(Some(entries)),
                _ => Ok(None),
            },
            _ => Err(Failure::failed(format!(
                "{} answered with something else than GitHub's API does",
                response.url()
            ))),
        }
    }

    fn folder(
        &self,
        entries: &[Value],
        top: &str,
        folder: &str,
        depth: usize,
    ) -> Result<(), Failure> {
        if depth > DEPTH {
            return Err(Failure::failed(format!(
                "the folder is more than {DEPTH} deep"
            )));
        }
        for entry in entries {
            let path = entry["path"].as_str().unwrap_or_default();
            let relative = match top {
                "" => path,
                top => path
                    .strip_prefix(top)
                    .and_then(|path| path.strip_prefix('/'))
                    .unwrap_or_default(),
            };
            match entry["type"].as_str() {
                Some("dir") => {
                    let inner = self.list(path)?.unwrap_or_default();
                    self.folder(&inner, top, folder, depth + 1)?;
                }
                Some("file") => self.file(path, &below(folder, relative)?, None)?,
                // Links and submodules have no content of their own.
                _ => {}
            }
        }
        Ok(())
    }

    fn file(&self, path: &str, to: &str, sha256: Option<&str>) -> Result<(), Failure> {
        let url = self.url(path);
        let get = |part: &Part| {
            let mut request = http::get_part(&url, part);
            request.authorization = self.authorization.clone();
            request.headers.push((
                "accept".to_owned(),
                "application/vnd.github.raw+json".to_owned(),
            ));
            http::send(&request)
        };
        download::to_file(&url, get, to, MODE, sha256)
    }
}
