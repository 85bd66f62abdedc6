//! Whether a text is a document of its type, and what it says of itself. Pure.

use capstan_document::{Diagnostics, Document, Outline, Runbook, Severity, parse_value};
use serde_json::Value;

use super::record::{ParameterWire, words};
use crate::error::ApiError;

/// Bytes of a document.
const LARGEST: usize = 64 * 1024;
/// Platforms of what does not run on nodes.
const ALL: [&str; 3] = ["Windows", "Linux", "MacOS"];

/// What a document's text says of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Checked {
    /// Empty where the type has none.
    pub(super) schema_version: String,
    pub(super) description: String,
    pub(super) parameters: Vec<ParameterWire>,
    pub(super) platforms: Vec<String>,
}

/// Checks a text that is to be a document of a type. `name` is for messages, which tell line and column.
pub(super) fn check(
    name: &str,
    kind: &str,
    format: &str,
    content: &str,
) -> Result<Checked, ApiError> {
    if content.len() > LARGEST {
        return Err(ApiError::new(
            "MaxDocumentSizeExceeded",
            format!(
                "The size limit of a document is 64 KB: {name} has {} bytes, and {LARGEST} are allowed.",
                content.len()
            ),
        ));
    }
    if kind == "Automation.ChangeTemplate" {
        return Err(ApiError::new(
            "NoLongerSupportedException",
            "Change templates are no longer supported.",
        ));
    }
    well_formed(name, kind, format, content)?;
    match kind {
        "Command" | "Policy" => command(name, kind, content),
        "Automation" => {
            schema(name, kind, content, &["0.3"])?;
            let runbook = Runbook::parse(content, name).map_err(|why| diagnosed(&why))?;
            Ok(Checked {
                platforms: ALL.map(str::to_owned).to_vec(),
                ..of_outline(&runbook.outline)
            })
        }
        "Session" => session(name, content),
        "Package" => package(name, content),
        "ChangeCalendar" => calendar(name, content),
        "CloudFormation" => demand_mapping(name, content, "Resources"),
        "ConformancePackTemplate" => demand_mapping(name, content, "Resources"),
        "ApplicationConfiguration" if format == "TEXT" => Ok(Checked::default()),
        _ => demand_a_mapping(name, content).map(|_| Checked::default()),
    }
}

/// Whether the text has the format that it is said to have, and the type may have it.
fn well_formed(name: &str, kind: &str, format: &str, content: &str) -> Result<(), ApiError> {
    let allowed: &[&str] = match kind {
        "ChangeCalendar" => &["TEXT"],
        "Package" | "ApplicationConfigurationSchema" | "DeploymentStrategy" => &["JSON"],
        "ApplicationConfiguration" => &["JSON", "YAML", "TEXT"],
        _ => &["JSON", "YAML"],
    };
    if !allowed.contains(&format) {
        return Err(invalid(format!(
            "Documents of the type {kind} have the DocumentFormat {}, and not {format}.",
            allowed.join(" or ")
        )));
    }
    if format == "JSON"
        && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(content)
    {
        let is_yaml = !content.trim_start().starts_with(['{', '['])
            && allowed.contains(&"YAML")
            && parse_value(content, name).is_ok();
        let help = if is_yaml {
            "\n  help: it is YAML: say so with DocumentFormat YAML"
        } else {
            ""
        };
        return Err(invalid(format!(
            "{name}:{}:{}: error[syntax]: this is not JSON: {error}{help}",
            error.line(),
            error.column()
        )));
    }
    if format != "TEXT" {
        parse_value(content, name).map_err(|why| diagnosed(&why))?;
    }
    Ok(())
}

fn command(name: &str, kind: &str, content: &str) -> Result<Checked, ApiError> {
    let versions: &[&str] = if kind == "Policy" {
        &["2.0", "2.0.1", "2.0.2", "2.0.3", "2.2"]
    } else {
        &["1.2", "2.0", "2.0.1", "2.0.2", "2.0.3", "2.2"]
    };
    schema(name, kind, content, versions)?;
    let document = Document::parse(content, name).map_err(|why| diagnosed(&why))?;
    // A node leaves such a reference as it is; here its author can still mend it.
    let undeclared: Vec<_> = document
        .lint()
        .items
        .into_iter()
        .filter(|item| item.code == "undeclared-reference")
        .map(|mut item| {
            item.severity = Severity::Error;
            item
        })
        .collect();
    if !undeclared.is_empty() {
        return Err(diagnosed(&Diagnostics::new(name, undeclared)));
    }
    Ok(Checked {
        schema_version: document.schema_version().to_owned(),
        description: document.description().to_owned(),
        parameters: document.parameters().iter().map(Into::into).collect(),
        platforms: words(&document),
    })
}

fn session(name: &str, content: &str) -> Result<Checked, ApiError> {
    const TYPES: [&str; 4] = [
        "Standard_Stream",
        "InteractiveCommands",
        "NonInteractiveCommands",
        "Port",
    ];
    schema(name, "Session", content, &["1.0"])?;
    let outline = Outline::parse(content, name).map_err(|why| diagnosed(&why))?;
    let kind = outline.value.get("sessionType").and_then(Value::as_str);
    if !kind.is_some_and(|kind| TYPES.contains(&kind)) {
        return Err(invalid(format!(
            "{name}: a session document has a `sessionType`, which is one of {}.",
            TYPES.join(", ")
        )));
    }
    for field in ["inputs", "properties"] {
        if outline
            .value
            .get(field)
            .is_some_and(|value| !value.is_object())
        {
            return Err(invalid(format!("{name}: `{field}` is a mapping.")));
        }
    }
    Ok(of_outline(&outline))
}

fn package(name: &str, content: &str) -> Result<Checked, ApiError> {
    schema(name, "Package", content, &["2.0"])?;
    let outline = Outline::parse(content, name).map_err(|why| diagnosed(&why))?;
    for field in ["packages", "files"] {
        if !outline.value.get(field).is_some_and(Value::is_object) {
            return Err(invalid(format!(
                "{name}: a package has a mapping `{field}`."
            )));
        }
    }
    if !outline.value.get("version").is_some_and(Value::is_string) {
        return Err(invalid(format!("{name}: a package has a text `version`.")));
    }
    Ok(of_outline(&outline))
}

/// iCalendar: its parts are closed in the order in which they were opened, and it says what it is when nothing is on.
fn calendar(name: &str, content: &str) -> Result<Checked, ApiError> {
    let at =
        |line: usize, what: &str| Err(invalid(format!("{name}:{line}:1: error[calendar]: {what}")));
    let (mut open, mut last, mut kind) = (Vec::new(), 1, false);
    for (number, line) in (1..).zip(content.lines()) {
        let line = line.trim_end();
        if line.is_empty() {
            continue;
        }
        if open.is_empty() && line != "BEGIN:VCALENDAR" {
            return at(
                number,
                "a calendar is between BEGIN:VCALENDAR and END:VCALENDAR",
            );
        }
        last = number;
        match line.split_once(':') {
            Some(("BEGIN", part)) => open.push(part),
            Some(("END", part)) => {
                let closed = open.pop();
                if closed != Some(part) {
                    return at(number, &format!("{part} is not what was begun last"));
                }
            }
            Some(("X-CALENDAR-TYPE", word)) => {
                if !matches!(word, "DEFAULT_OPEN" | "DEFAULT_CLOSED") {
                    return at(number, "X-CALENDAR-TYPE is DEFAULT_OPEN or DEFAULT_CLOSED");
                }
                kind = true;
            }
            _ => {}
        }
    }
    if let Some(part) = open.pop() {
        return at(last, &format!("{part} has no end"));
    }
    if !kind {
        return at(
            1,
            "the calendar has no X-CALENDAR-TYPE: DEFAULT_OPEN or DEFAULT_CLOSED",
        );
    }
    Ok(Checked::default())
}

fn demand_a_mapping(name: &str, content: &str) -> Result<Value, ApiError> {
    let value = parse_value(content, name).map_err(|why| diagnosed(&why))?;
    if value.is_object() {
        return Ok(value);
    }
    Err(invalid(format!(
        "{name}:1:1: error[type]: a document is a mapping"
    )))
}

fn demand_mapping(name: &str, content: &str, field: &str) -> Result<Checked, ApiError> {
    let value = demand_a_mapping(name, content)?;
    if value.get(field).is_some_and(Value::is_object) {
        return Ok(Checked::default());
    }
    Err(invalid(format!("{name}: it has no mapping `{field}`.")))
}

/// Refuses a schema that is not one of the type's. What has none is refused later.
fn schema(name: &str, kind: &str, content: &str, allowed: &[&str]) -> Result<(), ApiError> {
    let value = parse_value(content, name).map_err(|why| diagnosed(&why))?;
    match value.get("schemaVersion").and_then(Value::as_str) {
        Some(version) if !allowed.contains(&version) => Err(ApiError::new(
            "InvalidDocumentSchemaVersion",
            format!(
                "{name} has the schemaVersion {version}; documents of the type {kind} have {}.",
                allowed.join(", ")
            ),
        )),
        _ => Ok(()),
    }
}

fn of_outline(outline: &Outline) -> Checked {
    Checked {
        schema_version: outline.schema_version.clone(),
        description: outline.description.clone(),
        parameters: outline.parameters.iter().map(Into::into).collect(),
        platforms: Vec::new(),
    }
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidDocumentContent", message)
}

/// The errors of a text, without its warnings.
fn diagnosed(why: &Diagnostics) -> ApiError {
    let errors = why
        .items
        .iter()
        .filter(|item| item.severity == Severity::Error)
        .cloned()
        .collect();
    invalid(Diagnostics::new(why.origin.clone(), errors).to_string())
}

#[cfg(test)]
mod tests;
