//! What was really put in force.

use std::collections::BTreeMap;

use capstan_policy::Layer;
use serde::{Deserialize, Serialize};

/// How far a layer is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Enforcement {
    /// All that the layer is for.
    Full,
    /// A part; the text says what is missing.
    Partial(String),
    /// Nothing; the text says why.
    Missing(String),
}

/// Layers with how far they are in force. A layer that is not listed was not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Enforced(pub BTreeMap<Layer, Enforcement>);

impl Enforced {
    /// Whether a layer is at least partly in force.
    #[must_use]
    pub fn has(&self, layer: Layer) -> bool {
        matches!(
            self.0.get(&layer),
            Some(Enforcement::Full | Enforcement::Partial(_))
        )
    }

    pub(crate) fn set(&mut self, layer: Layer, enforcement: Enforcement) {
        self.0.insert(layer, enforcement);
    }

    /// The reason why a layer is missing.
    #[must_use]
    pub fn why_missing(&self, layer: Layer) -> Option<&str> {
        match self.0.get(&layer) {
            Some(Enforcement::Missing(why)) => Some(why),
            Some(_) => None,
            None => Some("it was not set up"),
        }
    }
}
