//! Inventory as `PutInventory` takes it, and the limits that it keeps to. Pure: no I/O, no clock.

mod check;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use check::{Types, Violation, check};

/// One thing that was found: its attributes and their values.
pub type Entry = BTreeMap<String, String>;

/// Everything that was found of one type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Item {
    /// `AWS:Application`, `Custom:ApplicationConfig`, …
    pub type_name: String,
    /// Two numbers: `1.0`.
    pub schema_version: String,
    /// `2026-01-31T12:00:00Z`.
    #[serde(default)]
    pub capture_time: String,
    /// No entries say that there is nothing of the type.
    pub content: Vec<Entry>,
}
