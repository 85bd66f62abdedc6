//! Documents that were parsed already: one that is sent again and again is parsed once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use capstan_document::Document;

use super::Found;
use crate::error::ApiError;

/// Documents that are kept, each of at most 64 KB. When there are more, all are forgotten, which costs one parse each.
const KEPT: usize = 256;

/// Parsed documents, by name (which their messages tell) and the hash of their text.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    kept: Mutex<HashMap<(String, String), Arc<Document>>>,
}

impl Parsed {
    /// A command document. One that cannot be parsed is `InvalidDocument`.
    pub(crate) fn of(&self, found: &Found) -> Result<Arc<Document>, ApiError> {
        let key = (found.name.clone(), found.sha256.clone());
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(document) = kept().get(&key) {
            return Ok(Arc::clone(document));
        }
        // Not under the lock: others need not wait.
        let document = Document::parse(&found.content, &found.name).map_err(|error| {
            ApiError::new(
                "InvalidDocument",
                format!("The document cannot be run: {error}"),
            )
        })?;
        let document = Arc::new(document);
        let mut kept = kept();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(key, Arc::clone(&document));
        Ok(document)
    }
}
