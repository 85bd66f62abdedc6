//! What a component file says of itself, read before anything of it is compiled.

use std::collections::BTreeSet;

use capstan_policy::{MANIFEST_SECTION, Manifest};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use wasmparser::{Encoding, Parser, Payload};

use crate::error::RuntimeError;

/// A manifest has no more than this many bytes.
pub(crate) const MAX_MANIFEST: usize = 64 << 10;

/// The interface of a component that makes its manifest itself.
pub(crate) const DESCRIBE: &str = "capstan:action/describe@0.1.0";

/// A component, looked at from outside.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentInfo {
    /// SHA-256 of the file, lower-case hexadecimal.
    pub digest: String,
    /// In bytes.
    pub size: usize,
    /// What it says of itself.
    pub manifest: Manifest,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// What it exports.
    pub exports: Vec<String>,
    /// Interfaces that it imports although its manifest requests nothing of the kind.
    pub unrequested: Vec<String>,
}

/// SHA-256, lower-case hexadecimal.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Reads a component's manifest and imports.
///
/// # Errors
/// When the file is no component, or its manifest is missing, doubled, too large or malformed.
pub fn inspect(wasm: &[u8]) -> Result<ComponentInfo, RuntimeError> {
    let mut manifests: Vec<&[u8]> = Vec::new();
    let mut imports = BTreeSet::new();
    let mut exports = BTreeSet::new();
    let mut is_component = false;
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(|error| {
            RuntimeError::Component(format!("the file is no WebAssembly component: {error}"))
        })?;
        match payload {
            Payload::Version { encoding, .. } => {
                if depth == 0 {
                    is_component = encoding == Encoding::Component;
                }
                depth += 1;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            // The linker puts the section into the module inside of the component.
            Payload::CustomSection(section) if section.name() == MANIFEST_SECTION => {
                manifests.push(section.data())
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section.into_iter().flatten() {
                    exports.insert(export.name.name.to_owned());
                }
            }
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section.into_iter().flatten() {
                    imports.insert(import.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    if !is_component {
        return Err(RuntimeError::Component(
            "the file is a core module, not a component; build it for the target wasm32-wasip2"
                .into(),
        ));
    }
    let manifest = match manifests.as_slice() {
        [one] if one.len() <= MAX_MANIFEST => {
            serde_json::from_slice::<Manifest>(one).map_err(|error| {
                RuntimeError::Manifest(format!(
                    "its custom section `{MANIFEST_SECTION}` is malformed: {error}"
                ))
            })?
        }
        [one] => {
            return Err(RuntimeError::Manifest(format!(
                "it has {} bytes, more than {MAX_MANIFEST}",
                one.len()
            )));
        }
        [] if exports.contains(DESCRIBE) => {
            return Err(RuntimeError::Manifest(
                "it is not in the file yet; `capstan plugin build` asks the component for it and writes it there".into(),
            ));
        }
        [] => {
            return Err(RuntimeError::Manifest(format!(
                "there is no custom section `{MANIFEST_SECTION}`"
            )));
        }
        _ => {
            return Err(RuntimeError::Manifest(format!(
                "there are several custom sections `{MANIFEST_SECTION}`"
            )));
        }
    };
    if manifest.names().next().is_none() {
        return Err(RuntimeError::Manifest(
            "it names neither an action nor a collector".into(),
        ));
    }
    let imports: Vec<String> = imports.into_iter().collect();
    let unrequested = imports
        .iter()
        .filter(|import| !requested(import, &manifest))
        .cloned()
        .collect();
    Ok(ComponentInfo {
        digest: digest(wasm),
        size: wasm.len(),
        manifest,
        imports,
        exports: exports.into_iter().collect(),
        unrequested,
    })
}

/// Whether a manifest asks for something that an import is for. Interfaces that give nothing away are for all.
fn requested(import: &str, manifest: &Manifest) -> bool {
    let capabilities = &manifest.capabilities;
    match import.split('@').next().unwrap_or(import) {
        "capstan:host/process" => !capabilities.programs.is_empty(),
        // A request that the host signs goes to a host that the policy alone may name.
        "capstan:host/http" => !capabilities.hosts.is_empty() || !capabilities.signing.is_empty(),
        "capstan:host/files" | "wasi:filesystem/types" | "wasi:filesystem/preopens" => {
            !capabilities.files.is_empty()
        }
        "capstan:host/secrets" => !capabilities.secrets.is_empty(),
        "wasi:http/types" | "wasi:http/outgoing-handler" => !capabilities.hosts.is_empty(),
        "capstan:host/parameters" => !capabilities.parameters.is_empty(),
        "capstan:host/control" => !capabilities.documents.is_empty(),
        name => {
            name.starts_with("capstan:host/")
                || name.starts_with("capstan:action/")
                || name.starts_with("capstan:inventory/")
                || ["wasi:io/", "wasi:cli/", "wasi:clocks/", "wasi:random/"]
                    .iter()
                    .any(|prefix| name.starts_with(prefix))
        }
    }
}

/// Compiles a component to native code. To be called in a process that is confined for it: what the compiler
/// sees has been checked by nobody.
///
/// # Errors
/// When the component is not valid.
pub fn compile(wasm: &[u8]) -> Result<Vec<u8>, RuntimeError> {
    crate::engine::for_compiling()?
        .precompile_component(wasm)
        .map_err(|error| {
            RuntimeError::Component(format!("the component does not compile: {error:#}"))
        })
}
