//! `capstan validate`.

use std::path::PathBuf;

use anyhow::Result;
use capstan_document::{Diagnostics, Document};
use capstan_runner::ActionRegistry;

use crate::arguments::Output;
use crate::exit::Exit;
use crate::render;

pub(crate) fn validate(
    files: &[PathBuf],
    actions: &ActionRegistry,
    output: Output,
) -> Result<Exit> {
    let schemas = |name: &str| {
        let action = actions.find(name).ok()??;
        Some(action.manifest().ok()?.input_schema.clone())
    };
    let mut bad = false;
    let mut all: Vec<Diagnostics> = Vec::new();
    for file in files {
        let name = file.display().to_string();
        let (source, diagnostics) = match super::read(file) {
            Ok(source) => {
                let diagnostics = Document::validate(&source, &name, &schemas);
                (source, diagnostics)
            }
            // One more thing to tell, which keeps nobody from the others.
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
