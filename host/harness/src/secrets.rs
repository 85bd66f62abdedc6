//! The secrets of a world: handed out as on a node, and shown by name where they were put.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use capstan_runner::Secrets;

use crate::report::SecretUse;

/// What tests see in the place of a secret.
fn shown(name: &str) -> String {
    format!("{{{{secret:{name}}}}}")
}

/// The secrets of a world.
#[derive(Debug)]
pub(crate) struct SecretStore {
    values: BTreeMap<String, String>,
    /// Those that were handed out, for what the step says.
    pub(crate) known: Arc<Secrets>,
    uses: Mutex<Vec<SecretUse>>,
}

impl SecretStore {
    pub(crate) fn new(values: BTreeMap<String, String>) -> Self {
        Self {
            values,
            known: Arc::default(),
            uses: Mutex::default(),
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Hands a secret out.
    pub(crate) fn take(&self, name: &str, place: &impl std::fmt::Display) -> Option<String> {
        let value = self.values.get(name)?;
        self.known.learn(value);
        self.uses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(SecretUse {
                name: name.to_owned(),
                place: place.to_string(),
            });
        Some(value.clone())
    }

    pub(crate) fn uses(&self) -> Vec<SecretUse> {
        self.uses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What was put somewhere, with the names of the secrets that were handed out in the place of their values.
    pub(crate) fn by_name(&self, bytes: Vec<u8>) -> Vec<u8> {
        let uses = self.uses();
        let mut used: Vec<(&str, &str)> = self
            .values
            .iter()
            .filter(|(name, value)| !value.is_empty() && uses.iter().any(|one| one.name == **name))
            .map(|(name, value)| (value.as_str(), name.as_str()))
            .collect();
        // One that is a part of another must not tear it apart.
        used.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        let mut out = Vec::with_capacity(bytes.len());
        let mut rest = bytes.as_slice();
        while let Some(first) = rest.first() {
            match used
                .iter()
                .find(|(value, _)| rest.starts_with(value.as_bytes()))
            {
                Some((value, name)) => {
                    out.extend_from_slice(shown(name).as_bytes());
                    rest = &rest[value.len()..];
                }
                None => {
                    out.push(*first);
                    rest = &rest[1..];
                }
            }
        }
        out
    }

    /// The same for text.
    pub(crate) fn text_by_name(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.by_name(text.as_bytes().to_vec())).into_owned()
    }

    /// The same for the value of a header: a password of RFC 7617 is shown as it is before it is encoded.
    pub(crate) fn header_by_name(&self, value: &str) -> String {
        let decoded = value
            .strip_prefix("Basic ")
            .and_then(|text| STANDARD.decode(text).ok())
            .and_then(|bytes| String::from_utf8(bytes).ok());
        if let Some(plain) = decoded {
            let named = self.text_by_name(&plain);
            if named != plain {
                return format!("Basic {named}");
            }
        }
        self.text_by_name(value)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::{STANDARD, SecretStore};

    #[test]
    fn secrets_are_shown_by_name_once_they_were_handed_out() {
        let values = [("/a", "hunter2"), ("/b", "hunter2-and-more"), ("/c", "")];
        let store = SecretStore::new(
            values
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        );
        assert_eq!(store.text_by_name("key hunter2"), "key hunter2");
        for name in ["/a", "/b", "/c"] {
            assert!(store.take(name, &"header").is_some());
        }
        assert!(store.take("/d", &"header").is_none());
        assert_eq!(
            store.text_by_name("hunter2 hunter2-and-more!"),
            "{{secret:/a}} {{secret:/b}}!"
        );
        let basic = format!("Basic {}", STANDARD.encode("ada:hunter2"));
        assert_eq!(store.header_by_name(&basic), "Basic ada:{{secret:/a}}");
        let other = format!("Basic {}", STANDARD.encode("ada:other"));
        assert_eq!(store.header_by_name(&other), other);
        assert_eq!(store.uses().len(), 3);
    }
}
