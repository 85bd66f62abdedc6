//! `capstan document` with a server.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::Tag;
use super::client::{Remote, items};
use super::table::{Table, text};
use crate::commands::document::{CreateArguments, DocumentCommand, Format};
use crate::exit::Exit;
use crate::render::shown;

pub(super) async fn run(remote: &Remote, command: DocumentCommand) -> Result<Exit> {
    match command {
        DocumentCommand::List => list(remote).await?,
        DocumentCommand::Show {
            name,
            document_version,
            format,
        } => show(remote, &name, document_version, format).await?,
        DocumentCommand::Create(arguments) => create(remote, &arguments).await?,
        DocumentCommand::Update {
            name,
            file,
            document_version,
            version_name,
            format,
        } => {
            let content = read(&file)?;
            let mut input = json!({
                "Name": name,
                "DocumentVersion": document_version,
                "DocumentFormat": format_of(format, &file, &content),
                "Content": content,
            });
            if let Some(version) = version_name {
                input["VersionName"] = version.into();
            }
            let answer = remote.call("UpdateDocument", &input).await?;
            remote.print(&answer, |answer| print(&answer["DocumentDescription"]));
        }
        DocumentCommand::Delete {
            name,
            document_version,
        } => {
            let mut input = json!({ "Name": name });
            if let Some(version) = document_version {
                input["DocumentVersion"] = version.into();
            }
            let answer = remote.call("DeleteDocument", &input).await?;
            remote.print(&answer, |_| outln!("{name}: deleted"));
        }
        DocumentCommand::SetDefault { name, version } => {
            let input = json!({ "Name": name, "DocumentVersion": version });
            let answer = remote.call("UpdateDocumentDefaultVersion", &input).await?;
            remote.print(&answer, |answer| {
                outln!(
                    "{name}: version {} is the default",
                    text(&answer["Description"], "DefaultVersion")
                );
            });
        }
    }
    Ok(Exit::Success)
}

async fn list(remote: &Remote) -> Result<()> {
    let answer = remote
        .pages(
            "ListDocuments",
            json!({ "MaxResults": 50 }),
            "DocumentIdentifiers",
            None,
        )
        .await?;
    remote.print(&answer, |answer| {
        let mut table = Table::new(&[
            "DOCUMENT",
            "TYPE",
            "VERSION",
            "FORMAT",
            "OWNER",
            "PLATFORMS",
        ]);
        for document in items(answer, "DocumentIdentifiers") {
            table.row([
                text(document, "Name"),
                text(document, "DocumentType"),
                text(document, "DocumentVersion"),
                text(document, "DocumentFormat"),
                text(document, "Owner"),
                text(document, "PlatformTypes"),
            ]);
        }
        table.print();
    });
    Ok(())
}

async fn show(
    remote: &Remote,
    name: &str,
    version: Option<String>,
    format: Option<Format>,
) -> Result<()> {
    let mut input = json!({ "Name": name });
    if let Some(version) = version {
        input["DocumentVersion"] = version.into();
    }
    input["DocumentFormat"] = match format {
        Some(format) => format.word().into(),
        // The API makes JSON of everything unless it is told what it has.
        None => remote.call("DescribeDocument", &input).await?["Document"]["DocumentFormat"].take(),
    };
    let answer = remote.call("GetDocument", &input).await?;
    remote.print(&answer, |answer| {
        let content = text(answer, "Content");
        let end = if content.ends_with('\n') { "" } else { "\n" };
        out!("{content}{end}");
    });
    Ok(())
}

async fn create(remote: &Remote, arguments: &CreateArguments) -> Result<()> {
    let content = read(&arguments.file)?;
    let mut input = json!({
        "Name": arguments.name,
        "DocumentType": arguments.kind,
        "DocumentFormat": format_of(arguments.format, &arguments.file, &content),
        "Content": content,
    });
    if let Some(version) = &arguments.version_name {
        input["VersionName"] = version.clone().into();
    }
    if !arguments.tag.is_empty() {
        input["Tags"] = Tag::wire(&arguments.tag);
    }
    let answer = remote.call("CreateDocument", &input).await?;
    remote.print(&answer, |answer| print(&answer["DocumentDescription"]));
    Ok(())
}

fn print(document: &Value) {
    outln!(
        "{}: version {}",
        shown(&text(document, "Name")),
        text(document, "DocumentVersion")
    );
}

fn read(file: &Path) -> Result<String> {
    if file == Path::new("-") {
        return std::io::read_to_string(std::io::stdin())
            .context("the document from standard input");
    }
    std::fs::read_to_string(file).with_context(|| format!("the document {}", file.display()))
}

/// What was said, else what the file's name says, else what its content looks like.
fn format_of(said: Option<Format>, file: &Path, content: &str) -> &'static str {
    let extension = file.extension().and_then(|extension| extension.to_str());
    let format = said.unwrap_or(match extension {
        Some("json") => Format::Json,
        Some("yaml" | "yml") => Format::Yaml,
        Some("txt" | "ics") => Format::Text,
        _ if content.trim_start().starts_with('{') => Format::Json,
        _ => Format::Yaml,
    });
    format.word()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Format, format_of};

    #[test]
    fn the_format_is_known_by_name_or_content() {
        for (said, file, content, expected) in [
            (None, "a.json", "", "JSON"),
            (None, "a.yml", "{}", "YAML"),
            (None, "-", " {\"a\": 1}", "JSON"),
            (None, "-", "a: 1", "YAML"),
            (None, "open.ics", "BEGIN", "TEXT"),
            (Some(Format::Text), "a.json", "{}", "TEXT"),
        ] {
            assert_eq!(
                format_of(said, Path::new(file), content),
                expected,
                "{file}"
            );
        }
    }
}
