//! `aws:downloadContent`.

mod source;

use capstan_sdk::http::{self, Authorization};
use capstan_sdk::{
    Action, Context, Failure, Outcome, Value, control, describe, files, input_text, step,
};

struct DownloadContent;

/// How often a transfer that broke off is taken up again where it broke.
const ATTEMPTS: u32 = 5;
/// SSM's agent gives every download this mode.
const MODE: u32 = 0o700;

impl Action for DownloadContent {
    fn start(context: &Context, inputs: Value) -> Result<Outcome, Failure> {
        let kind = input_text(&inputs, "sourceType")
            .ok_or_else(|| Failure::invalid("the step has no sourceType"))?;
        let info = source::info(&inputs)?;
        let text = |key: &str| input_text(&info, key).filter(|text| !text.is_empty());
        let destination = input_text(&inputs, "destinationPath").unwrap_or_default();
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
                )?;
                fetch(&url, &path, &authorization, text("sha256").as_deref())
            }
            "S3" => {
                let given =
                    text("path").ok_or_else(|| Failure::invalid("sourceInfo has no path"))?;
                let object = source::s3(&given)?;
                let url = match http::aws_endpoint("s3") {
                    Some(endpoint) => format!(
                        "{}/{}/{}",
                        endpoint.trim_end_matches('/'),
                        object.bucket,
                        object.key
                    ),
                    None => given,
                };
                let path = place(
                    context,
                    &destination,
                    source::file_name(&object.key).unwrap_or("download"),
                )?;
                fetch(&url, &path, &Authorization::None, text("sha256").as_deref())
            }
            "SSMDocument" => {
                let name =
                    text("name").ok_or_else(|| Failure::invalid("sourceInfo has no name"))?;
                let content = control::get_document(&name)?;
                let plain = name
                    .rsplit('/')
                    .next()
                    .unwrap_or(&name)
                    .split(':')
                    .next()
                    .unwrap_or(&name);
                let path = place(context, &destination, &format!("{plain}.json"))?;
                files::write(&path, MODE, content.as_bytes())?;
                done(&path)
            }
            "Git" | "GitHub" => Err(Failure::invalid(format!(
                "the source type {kind} is not available yet; download an archive of the repository over HTTP instead"
            ))),
            other => Err(Failure::invalid(format!(
                "there is no source type {other}; there are HTTP, S3 and SSMDocument, written just so"
            ))),
        }
    }
}

fn done(path: &str) -> Result<Outcome, Failure> {
    step::print(&format!("Content downloaded to {path}\n"));
    Ok(Outcome::success())
}

/// The file that a download becomes, its folder made.
fn place(context: &Context, destination: &str, name: &str) -> Result<String, Failure> {
    let absolute = if destination.starts_with('/') {
        destination.to_owned()
    } else {
        format!("{}/{destination}", context.downloads_directory)
    };
    let folder = absolute.trim_end_matches('/');
    let is_folder = destination.is_empty()
        || destination.ends_with('/')
        || files::stat(folder).is_ok_and(|metadata| metadata.kind == files::Kind::Directory);
    let path = if is_folder {
        format!("{folder}/{name}")
    } else {
        absolute.clone()
    };
    let parent = path.rsplit_once('/').map_or("/", |(parent, _)| parent);
    if !parent.is_empty() && files::stat(parent).is_err() {
        files::create_directory(parent)?;
    }
    Ok(path)
}

/// Downloads to a file beside the target, going on where a broken transfer ended, and then puts it in place.
fn fetch(
    url: &str,
    path: &str,
    authorization: &Authorization,
    sha256: Option<&str>,
) -> Result<Outcome, Failure> {
    let (mut writer, mut have) = files::create(path, MODE, Some(url))?;
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        let mut request = http::get(url);
        request.authorization = authorization.clone();
        if have > 0 {
            request
                .headers
                .push(("range".to_owned(), format!("bytes={have}-")));
        }
        let response = match http::send(&request) {
            Ok(response) => response,
            Err(error @ capstan_sdk::Error::Io(_)) => {
                last = describe(&error);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let status = response.status();
        if status == 416 || (status == 200 && have > 0) {
            // What there is does not fit what the server has now: from the beginning, into a new file.
            (writer, have) = files::create(path, MODE, None)?;
            if status == 416 {
                last = "the server has no such part of the file".to_owned();
                continue;
            }
        } else if status != 200 && status != 206 {
            return Err(Failure::failed(format!(
                "{} answered with status {status}",
                response.url()
            )));
        }
        match transfer(&response, &writer, &mut have) {
            Ok(()) => {
                let found = writer.sha256();
                if let Some(wanted) = sha256
                    && !wanted.eq_ignore_ascii_case(&found)
                {
                    return Err(Failure::failed(format!(
                        "{url} has the SHA-256 {found}, and not {wanted}; nothing was put in place"
                    )));
                }
                writer.commit()?;
                return done(path);
            }
            Err(error @ capstan_sdk::Error::Io(_)) => last = describe(&error),
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::failed(format!(
        "the download broke off {ATTEMPTS} times, the last time because {last}; run the step again to go on"
    )))
}

fn transfer(
    response: &http::Response,
    writer: &files::Writer,
    have: &mut u64,
) -> Result<(), capstan_sdk::Error> {
    let total = response
        .headers()
        .iter()
        .find(|(name, _)| name == "content-length")
        .and_then(|(_, value)| value.parse::<u64>().ok())
        .map(|length| length + *have);
    loop {
        let part = response.read(256 << 10)?;
        if part.is_empty() {
            return Ok(());
        }
        writer.write(&part)?;
        *have += part.len() as u64;
        step::progress(*have, total, "bytes");
    }
}

capstan_sdk::action!(DownloadContent, "../manifest.json");
