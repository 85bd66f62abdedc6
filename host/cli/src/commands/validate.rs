//! `capstan validate`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use capstan_document::{Diagnostics, Document};

use crate::arguments::Output;
use crate::exit::Exit;
use crate::render;

pub(crate) fn validate(files: &[PathBuf], output: Output) -> Result<Exit> {
    let mut bad = false;
    let mut all: Vec<Diagnostics> = Vec::new();
    for file in files {
        let name = file.display().to_string();
        let source =
            std::fs::read_to_string(file).with_context(|| format!("the document {name}"))?;
        let diagnostics = match Document::parse(&source, &name) {
            Ok(document) => document.lint(),
            Err(problems) => problems,
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
