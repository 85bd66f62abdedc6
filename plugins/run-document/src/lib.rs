//! `aws:runDocument`.

use capstan_sdk::{
    Action, Context, Event, Failure, Outcome, Status, Value, control, files, input, input_text,
    serde_json, step,
};

struct RunDocument;

/// A document that does nothing, by SSM's convention.
const NOOP: &str = "AWS-Noop";
const RESTART: i32 = 194;

impl Action for RunDocument {
    fn start(context: &Context, inputs: Value) -> Result<Outcome, Failure> {
        let kind = input_text(&inputs, "documentType").unwrap_or_else(|| "SSMDocument".to_owned());
        let path = input_text(&inputs, "documentPath")
            .filter(|path| !path.is_empty())
            .ok_or_else(|| Failure::invalid("the step has no documentPath"))?;
        let (name, content) = match kind.as_str() {
            "SSMDocument" if path == NOOP => return Ok(Outcome::success()),
            "SSMDocument" => (path.clone(), control::get_document(&path)?),
            "LocalPath" => {
                let file = if path.starts_with('/') {
                    path.clone()
                } else {
                    format!("{}/{path}", context.downloads_directory)
                };
                let content = String::from_utf8(files::read_all(&file)?)
                    .map_err(|_| Failure::invalid(format!("the document {file} is not UTF-8")))?;
                let name = file.rsplit('/').next().unwrap_or(&file);
                (
                    name.rsplit_once('.')
                        .map_or(name, |(stem, _)| stem)
                        .to_owned(),
                    content,
                )
            }
            other => {
                return Err(Failure::invalid(format!(
                    "there is no documentType {other}; there are SSMDocument and LocalPath"
                )));
            }
        };
        let parameters = match input(&inputs, "documentParameters") {
            None => "{}".to_owned(),
            Some(Value::String(text)) if text.trim().is_empty() => "{}".to_owned(),
            Some(Value::String(text)) => serde_json::from_str::<Value>(text)
                .map_err(|error| {
                    Failure::invalid(format!(
                        "documentParameters is neither a mapping nor JSON: {error}"
                    ))
                })?
                .to_string(),
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
        let code = if result.exit_code == RESTART {
            0
        } else {
            result.exit_code
        };
        Ok(Outcome::done(status, code))
    }

    fn resume(_: &Context, _: Vec<u8>, _: Event) -> Result<Outcome, Failure> {
        Err(Failure::failed(
            "the nested document asked for a restart, and is not taken up again after it; run it as a document of its own",
        ))
    }
}

capstan_sdk::action!(RunDocument, "../manifest.json");
