//! `aws:runDocument`.

use capstan_sdk::{
    Action, Context, Event, Failure, Outcome, Status, Value, control, files, input, step,
    text_input,
};

struct RunDocument;

/// A document that does nothing, by SSM's convention.
const NOOP: &str = "AWS-Noop";

impl Action for RunDocument {
    fn start(context: &Context, inputs: Value) -> Result<Outcome, Failure> {
        let kind = text_input(&inputs, "documentType")?.unwrap_or_else(|| "SSMDocument".to_owned());
        let path = text_input(&inputs, "documentPath")?
            .filter(|path| !path.is_empty())
            .ok_or_else(|| Failure::invalid("the step has no documentPath"))?;
        let (name, content) = match kind.as_str() {
            "SSMDocument" if path == NOOP => return Ok(Outcome::success()),
            "SSMDocument" => (path.clone(), control::get_document(&path)?),
            "LocalPath" => local(context, &path)?,
            other => {
                return Err(Failure::invalid(format!(
                    "there is no documentType {other}; there are SSMDocument and LocalPath"
                )));
            }
        };
        let parameters = match input(&inputs, "documentParameters") {
            None => "{}".to_owned(),
            Some(Value::String(text)) if text.trim().is_empty() => "{}".to_owned(),
            // JSON or YAML, which the host reads.
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        };
        let result = control::run_document(&name, &content, &parameters)?;
        let status = match result.status.as_str() {
            "Success" | "Skipped" | "SuccessAndReboot" => Status::Success,
            "TimedOut" => Status::TimedOut,
            "Cancelled" => Status::Cancelled,
            other => {
                step::print_error(&format!("the document {name} ended as {other}\n"));
                Status::Failed
            }
        };
        Ok(Outcome::done(status, result.exit_code))
    }

    fn resume(_: &Context, _: Vec<u8>, _: Event) -> Result<Outcome, Failure> {
        // After a restart that a nested document asked for, the host starts the step again.
        Err(Failure::failed("the step never asked to wait"))
    }
}

/// A document on this machine: a file, or the only one in a folder. Relative is below the downloads.
fn local(context: &Context, path: &str) -> Result<(String, String), Failure> {
    let mut file = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("{}/{path}", context.downloads_directory)
    };
    while file.len() > 1 && file.ends_with('/') {
        file.pop();
    }
    if files::stat(&file)?.kind == files::Kind::Directory {
        let mut documents: Vec<String> = files::list_directory(&file)?
            .into_iter()
            .map(|entry| entry.name)
            .filter(|name| {
                [".yaml", ".yml", ".json"]
                    .iter()
                    .any(|end| name.ends_with(end))
            })
            .collect();
        let found = documents.pop().filter(|_| documents.is_empty());
        let found = found.ok_or_else(|| {
            Failure::invalid(format!(
                "the folder {file} holds no document or several; documentPath names one"
            ))
        })?;
        file = format!("{file}/{found}");
    }
    let content = String::from_utf8(files::read_all(&file)?)
        .map_err(|_| Failure::invalid(format!("the document {file} is not UTF-8")))?;
    let name = file.rsplit('/').next().unwrap_or(&file);
    let name = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    Ok((name.to_owned(), content))
}

capstan_sdk::action!(RunDocument, "../manifest.json");
