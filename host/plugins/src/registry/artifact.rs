//! A plugin as an artifact: <https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>.

use std::collections::BTreeMap;

use capstan_runtime::{ComponentInfo, digest};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Access;
use super::client::Client;
use super::reference::{Reference, Version, is_digest};
use crate::error::PluginError;
use crate::folder::{Fetched, MAX_COMPONENT};
use crate::signature::Signature;
use crate::store::Source;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
const LAYER: &str = "application/wasm";
/// Holds the signature, as the text of its file. Annotations are a part of the manifest, so that copies of it between
/// registries have them, too.
const SIGNATURE: &str = "capstan.plugin.minisig";
const MAX_MANIFEST: u64 = 4 << 20;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    #[serde(default)]
    media_type: String,
    config: Descriptor,
    layers: Vec<Descriptor>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

/// What was pushed.
#[derive(Debug)]
pub struct Pushed {
    /// With its tag.
    pub reference: Reference,
    /// The digest of the manifest, `sha256:…`.
    pub manifest: String,
    /// The same place by this digest.
    pub pinned: String,
}

fn sha256(content: &[u8]) -> String {
    format!("sha256:{}", digest(content))
}

fn descriptor(media_type: &str, content: &[u8]) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest: sha256(content),
        size: content.len() as u64,
        annotations: BTreeMap::new(),
    }
}

/// Puts a plugin into a registry. Without a tag in the reference, its version is the tag.
///
/// # Errors
/// When the registry does not take it.
pub fn push(
    reference: &Reference,
    access: &Access,
    wasm: &[u8],
    info: &ComponentInfo,
    signature: Option<&Signature>,
    now: jiff::Timestamp,
) -> Result<Pushed, PluginError> {
    let invalid = |why: String| PluginError::Invalid(format!("{reference}: {why}"));
    // What a version may have and a tag may not.
    let reference = reference.or_tag(&info.manifest.version.replace('+', "_"));
    let Version::Tag(tag) = &reference.version else {
        return Err(invalid(
            "the digest is known once it is pushed; name a tag".into(),
        ));
    };
    let name = info.manifest.names().next().unwrap_or_default();
    let config = serde_json::to_vec(&json!({
        "created": now.to_string(),
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [sha256(wasm)],
        "component": { "exports": info.exports, "imports": info.imports, "target": null },
    }))
    .map_err(|error| invalid(error.to_string()))?;
    let mut layer = descriptor(LAYER, wasm);
    // Clients that fetch artifacts as files name them after this.
    let file = reference.repository.rsplit('/').next().unwrap_or_default();
    let title = "org.opencontainers.image.title".to_owned();
    layer
        .annotations
        .insert(title.clone(), format!("{file}.wasm"));
    let mut annotations = BTreeMap::from([
        (title, name.to_owned()),
        (
            "org.opencontainers.image.version".to_owned(),
            info.manifest.version.clone(),
        ),
        (
            "org.opencontainers.image.description".to_owned(),
            info.manifest.description.clone(),
        ),
        (
            "org.opencontainers.image.created".to_owned(),
            now.to_string(),
        ),
    ]);
    if let Some(signature) = signature {
        annotations.insert(SIGNATURE.to_owned(), signature.text().to_owned());
    }
    let manifest = serde_json::to_vec(&Manifest {
        schema_version: 2,
        media_type: MANIFEST.to_owned(),
        config: descriptor(CONFIG, &config),
        layers: vec![layer],
        annotations,
    })
    .map_err(|error| invalid(error.to_string()))?;
    let client = Client::new(&reference, access)?;
    client.put_blob(&sha256(wasm), wasm)?;
    client.put_blob(&sha256(&config), &config)?;
    client.put_manifest(tag, MANIFEST, &manifest)?;
    let digest = sha256(&manifest);
    Ok(Pushed {
        pinned: format!("oci://{}/{}@{digest}", reference.host, reference.repository),
        manifest: digest,
        reference,
    })
}

/// Fetches a plugin. Everything that is fetched by a digest has it, or is refused.
///
/// # Errors
/// When the registry does not have it, or has something else in its place.
pub fn pull(reference: &Reference, access: &Access) -> Result<Fetched, PluginError> {
    let refused = |why: String| PluginError::Refused(format!("{reference}: {why}"));
    let tampered = |what: &str, found: &str, named: &str| {
        refused(format!(
            "{what} that the registry sends has the digest {found} in the place of {named}: it is damaged or was tampered with"
        ))
    };
    let client = Client::new(reference, access)?;
    let name = match &reference.version {
        Version::Unnamed => "latest",
        Version::Tag(tag) => tag,
        Version::Digest(digest) => digest,
    };
    let accept = format!("{MANIFEST}, {INDEX}");
    let (text, told) = client.manifest(name, &accept, MAX_MANIFEST)?;
    let found = sha256(&text);
    let named = match &reference.version {
        Version::Digest(digest) => Some(digest),
        _ => told.as_ref(),
    };
    if let Some(named) = named.filter(|named| **named != found) {
        return Err(tampered("the manifest", &found, named));
    }
    let no_plugin = |why: &str| {
        PluginError::Invalid(format!(
            "{reference}: this is no WebAssembly component: {why}"
        ))
    };
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| {
        no_plugin(&format!(
            "its manifest is not that of an artifact ({error})"
        ))
    })?;
    let layer = match manifest.layers.as_slice() {
        [layer] if layer.media_type == LAYER => layer,
        [layer] => {
            return Err(no_plugin(&format!(
                "its layer is of the type {}",
                layer.media_type
            )));
        }
        layers => return Err(no_plugin(&format!("it has {} layers", layers.len()))),
    };
    if !is_digest(&layer.digest) {
        return Err(no_plugin("the digest of its layer is none of SHA-256"));
    }
    if layer.size > MAX_COMPONENT {
        return Err(refused(format!(
            "it has {} bytes; a plugin may have {} MiB",
            layer.size,
            MAX_COMPONENT >> 20
        )));
    }
    let wasm = client.blob(&layer.digest, layer.size)?;
    let digest = sha256(&wasm);
    if digest != layer.digest {
        return Err(tampered("the component", &digest, &layer.digest));
    }
    let signature = manifest
        .annotations
        .get(SIGNATURE)
        .map(|text| Signature::parse(text))
        .transpose()
        .map_err(|error| refused(error.to_string()))?;
    Ok(Fetched {
        wasm,
        signature,
        source: Source::Registry {
            reference: reference.to_string(),
            manifest: found,
        },
    })
}
