//! `aws:runDocument`.

use capstan_sdk::{Context, Failure, Outcome, Status, Value, action, control, files, step};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inputs {
    #[serde(default)]
    document_type: DocumentType,
    document_path: Option<String>,
    /// A mapping, or JSON or YAML text of one, which the host reads.
    #[serde(default)]
    document_parameters: Value,
}

#[derive(Default, Deserialize)]
enum DocumentType {
    #[default]
    #[serde(rename = "SSMDocument")]
    Stored,
    #[serde(rename = "LocalPath")]
    Local,
}

/// A document that does nothing, by SSM's convention.
const NOOP: &str = "AWS-Noop";

// After a restart that a nested document asked for, the host starts the step again.
#[action(manifest = "../manifest.json")]
fn run(context: &Context, inputs: Inputs) -> Result<Outcome, Failure> {
    let path = inputs
        .document_path
        .ok_or_else(|| Failure::invalid("the step has no documentPath"))?;
    let (name, content) = match inputs.document_type {
        DocumentType::Stored if path == NOOP => return Ok(Outcome::success()),
        DocumentType::Stored => (path.clone(), control::get_document(&path)?),
        DocumentType::Local => local(context, &path)?,
    };
    let parameters = match inputs.document_parameters {
        Value::Null => "{}".to_owned(),
        Value::String(text) if text.trim().is_empty() => "{}".to_owned(),
        Value::String(text) => text,
        value => value.to_string(),
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
