//! `aws:downloadContent`.

mod git;
mod github;
mod remote;
mod s3;
mod source;

use capstan_sdk::download::{self, Part};
use capstan_sdk::{
    Context, Failure, Outcome, Value, control, files, http, input_text, step, text_input,
};

struct DownloadContent;

/// SSM's agent gives every download this mode.
const MODE: u32 = 0o700;

impl DownloadContent {
    fn start(context: &Context, inputs: Value) -> Result<Outcome, Failure> {
        let kind = text_input(&inputs, "sourceType")?
            .ok_or_else(|| Failure::invalid("the step has no sourceType"))?;
        let info = source::info(&inputs)?;
        let text = |key: &str| input_text(&info, key).filter(|text| !text.is_empty());
        let destination = text_input(&inputs, "destinationPath")?.unwrap_or_default();
        let sha256 = source::sha256(text("sha256"), text("checksum"))?;
        let sha256 = sha256.as_deref();
        match kind.as_str() {
            "HTTP" => {
                let url = text("url").ok_or_else(|| Failure::invalid("sourceInfo has no url"))?;
                source::check_scheme(&url, text("allowInsecureDownload").as_deref())?;
                let authorization =
                    source::authorization(text("authMethod"), text("username"), text("password"))?;
                let path = place(
                    context,
                    &destination,
                    source::file_name(&url).unwrap_or("download"),
                );
                let get = |part: &Part| {
                    let mut request = http::get_part(&url, part);
                    request.authorization = authorization.clone();
                    http::send(&request)
                };
                download::to_file(&url, get, &path, MODE, sha256)?;
                done(&path)
            }
            "S3" => {
                let given =
                    text("path").ok_or_else(|| Failure::invalid("sourceInfo has no path"))?;
                s3::fetch(context, &given, &destination, sha256)
            }
            "SSMDocument" => {
                let name =
                    text("name").ok_or_else(|| Failure::invalid("sourceInfo has no name"))?;
                source::no_sum(sha256, "a stored document")?;
                let content = control::get_document(&name)?;
                let plain = name
                    .rsplit('/')
                    .next()
                    .unwrap_or(&name)
                    .split(':')
                    .next()
                    .unwrap_or(&name);
                let path = place(context, &destination, &format!("{plain}.json"));
                files::write(&path, MODE, content.as_bytes())?;
                done(&path)
            }
            "Git" => {
                source::no_sum(
                    sha256,
                    "a repository; getOptions: commitID:HASH fixes its content",
                )?;
                git::fetch(context, &text, &destination)
            }
            "GitHub" => github::fetch(context, &text, &destination, sha256),
            other => Err(Failure::invalid(format!(
                "there is no source type {other}; there are HTTP, S3, SSMDocument, GitHub and Git, written just so"
            ))),
        }
    }
}

fn done(path: &str) -> Result<Outcome, Failure> {
    step::print(&format!("Content downloaded to {path}\n"));
    Ok(Outcome::success())
}

/// Where a destination is: absolute as it is, else below the downloads folder.
fn absolute(context: &Context, destination: &str) -> String {
    if destination.starts_with('/') {
        destination.to_owned()
    } else {
        format!("{}/{destination}", context.downloads_directory)
    }
}

/// The folder that several files become, made.
fn folder(context: &Context, destination: &str) -> Result<String, Failure> {
    let path = absolute(context, destination);
    let path = match path.trim_end_matches('/') {
        "" => "/",
        path => path,
    };
    if files::stat(path).is_err() {
        files::create_directory(path)?;
    }
    Ok(path.to_owned())
}

/// A file below a folder by a relative path from outside.
fn below(folder: &str, relative: &str) -> Result<String, Failure> {
    let bad = relative
        .split('/')
        .any(|part| part.is_empty() || part == "." || part == "..")
        || relative.contains('\0');
    if bad {
        return Err(Failure::failed(format!(
            "`{relative}` is no path below a folder"
        )));
    }
    Ok(format!("{folder}/{relative}"))
}

/// The file that a download becomes. Its folder is made when the file is: it need not be granted if it is there.
fn place(context: &Context, destination: &str, name: &str) -> String {
    let absolute = absolute(context, destination);
    let folder = absolute.trim_end_matches('/');
    let is_folder = destination.is_empty()
        || destination.ends_with('/')
        || files::stat(folder).is_ok_and(|metadata| metadata.kind == files::Kind::Directory);
    if is_folder {
        format!("{folder}/{name}")
    } else {
        absolute
    }
}

#[capstan_sdk::action(manifest = "../manifest.json")]
fn download(context: &Context, inputs: Value) -> Result<Outcome, Failure> {
    DownloadContent::start(context, inputs)
}
