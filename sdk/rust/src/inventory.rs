//! What a collector returns: inventory, as SSM keeps it.

use serde::Serialize;

use crate::__private::WitItem;
use crate::{Failure, Value};

/// Everything that was found of one type. It takes the place of what was known of that type before.
///
/// An entry is anything that serde writes as a mapping: its fields become attributes. Inventory holds text alone, so
/// numbers and truth values are written out; an absent value (`None`) is left out.
///
/// ```
/// use capstan_sdk::inventory::Item;
/// use serde::Serialize;
///
/// #[derive(Serialize)]
/// #[serde(rename_all = "PascalCase")]
/// struct Configuration {
///     name: String,
///     version: String,
///     size: u64,
/// }
///
/// let found = Configuration { name: "shop".into(), version: "1.2".into(), size: 512 };
/// let item = Item::new("Custom:ApplicationConfig", "1.0").with(&found)?;
/// assert!(item.entries()[0].contains(&("Size".to_owned(), "512".to_owned())));
/// # Ok::<(), capstan_sdk::Failure>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    type_name: String,
    schema_version: String,
    entries: Vec<Entry>,
}

/// One thing that was found: its attributes and their values.
pub type Entry = Vec<(String, String)>;

impl Item {
    /// Nothing of a type yet. The name is `Custom:` and a word; the version is two numbers, `1.0`, and goes up when
    /// the attributes change.
    #[must_use]
    pub fn new(type_name: impl Into<String>, schema_version: impl Into<String>) -> Self {
        Self {
            type_name: type_name.into(),
            schema_version: schema_version.into(),
            entries: Vec::new(),
        }
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// When it is no mapping of names to text, numbers or truth values.
    pub fn push(&mut self, entry: &impl Serialize) -> Result<(), Failure> {
        let entry = attributes(entry)
            .map_err(|why| Failure::failed(format!("an entry of {} {why}", self.type_name)))?;
        self.entries.push(entry);
        Ok(())
    }

    /// The same, for an item that is put together in one expression.
    ///
    /// # Errors
    /// As for `push`.
    pub fn with(mut self, entry: &impl Serialize) -> Result<Self, Failure> {
        self.push(entry)?;
        Ok(self)
    }

    /// Adds entries.
    ///
    /// # Errors
    /// As for `push`.
    pub fn with_all<'a, E: Serialize + 'a>(
        mut self,
        entries: impl IntoIterator<Item = &'a E>,
    ) -> Result<Self, Failure> {
        for entry in entries {
            self.push(entry)?;
        }
        Ok(self)
    }

    /// What was added.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn into_wit(self) -> WitItem {
        WitItem {
            type_name: self.type_name,
            schema_version: self.schema_version,
            content: self.entries,
        }
    }
}

fn attributes(entry: &impl Serialize) -> Result<Entry, String> {
    let entry =
        serde_json::to_value(entry).map_err(|error| format!("cannot be written: {error}"))?;
    let Value::Object(entry) = entry else {
        return Err("is no mapping of attributes to values".to_owned());
    };
    entry
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| match value {
            Value::String(text) => Ok((name, text)),
            Value::Array(_) | Value::Object(_) => Err(format!(
                "holds a list or mapping in {name}; inventory holds text"
            )),
            other => Ok((name, other.to_string())),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::Item;
    use crate::json;

    #[test]
    fn values_are_written_out_and_absent_ones_left_out() {
        let item = Item::new("Custom:A", "1.0")
            .with(&json!({ "A": 1, "B": true, "C": null, "D": "x" }))
            .unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            item.entries(),
            [vec![pair("A", "1"), pair("B", "true"), pair("D", "x")]]
        );
        let error = item.clone().with(&json!({ "A": [1] })).unwrap_err();
        assert!(error.message.contains("Custom:A") && error.message.contains("in A"));
        assert!(item.with(&json!("x")).is_err());
    }
}
