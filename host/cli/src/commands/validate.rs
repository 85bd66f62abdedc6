//! `capstan validate`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use capstan_document::{Diagnostic, Diagnostics, Document, Position, Severity};

use crate::arguments::Output;
use crate::exit::Exit;
use crate::render;

pub(crate) fn validate(files: &[PathBuf], components: &[PathBuf], output: Output) -> Result<Exit> {
    let actions = super::actions(components)?;
    let schemas = |name: &str| {
        let action = actions.find(name).ok()??;
        Some(action.manifest().ok()?.input_schema.clone())
    };
    let mut bad = false;
    let mut all: Vec<Diagnostics> = Vec::new();
    for file in files {
        let name = file.display().to_string();
        let (source, diagnostics) = match read(file) {
            Ok(source) => {
                let diagnostics = Document::validate(&source, &name, &schemas);
                (source, diagnostics)
            }
            Err(problem) => (String::new(), Diagnostics::new(&name, vec![problem])),
        };
        bad |= diagnostics.has_errors();
        if output == Output::Text {
            render::diagnostics(&diagnostics, &source);
            if diagnostics.items.is_empty() {
                outln!("{name}: well formed");
            }
        }
        all.push(diagnostics);
    }
    if output == Output::Json {
        outln!("{}", serde_json::to_string_pretty(&all)?);
    }
    Ok(if bad { Exit::Invalid } else { Exit::Success })
}

/// A file that cannot be read is one more thing to tell, and keeps nobody from the others.
fn read(file: &Path) -> Result<String, Diagnostic> {
    let problem = |message: String, position| Diagnostic {
        severity: Severity::Error,
        code: "unreadable",
        message,
        position,
        help: None,
    };
    let bytes = std::fs::read(file)
        .map_err(|error| problem(format!("it cannot be read: {error}"), None))?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..good]).into_owned();
        let line = before.rsplit('\n').next().unwrap_or_default();
        let position = Position {
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
        };
        problem(
            format!("byte {:#04x} is not UTF-8", error.as_bytes()[good]),
            Some(position),
        )
    })
}
