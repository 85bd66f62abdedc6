//! Manifests that components make themselves, while they are built.

use capstan_policy::{MANIFEST_SECTION, Manifest};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, ResourceTable, ResourceType};
use wasmtime::{Store, StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::component::{DESCRIBE, MAX_MANIFEST};
use crate::error::RuntimeError;

/// More than any honest manifest takes.
const FUEL: u64 = 2_000_000_000;
const MEMORY: usize = 256 << 20;

struct Nothing {
    wasi: WasiCtx,
    table: ResourceTable,
    limits: StoreLimits,
}

impl WasiView for Nothing {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// Asks a component for its manifest, with nothing granted: what it calls of the host ends it. Returns the manifest as
/// JSON text, for [`with_manifest`].
///
/// The component is compiled in this very process, so that this is for whoever builds it, and not for a node that was
/// given it.
///
/// # Errors
/// When it is no component, does not describe itself, breaks off, or describes something that is no manifest.
pub async fn describe(wasm: &[u8]) -> Result<String, RuntimeError> {
    let engine = crate::engine::for_compiling()?;
    let component = Component::new(&engine, wasm).map_err(|error| {
        RuntimeError::Component(format!("the component does not compile: {error:#}"))
    })?;
    let mut linker: Linker<Nothing> = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(RuntimeError::engine)?;
    refuse_others(&mut linker, &component).map_err(RuntimeError::engine)?;
    let mut store = Store::new(
        &engine,
        Nothing {
            wasi: WasiCtxBuilder::new().build(),
            table: ResourceTable::new(),
            limits: StoreLimitsBuilder::new().memory_size(MEMORY).build(),
        },
    );
    store.limiter(|state| &mut state.limits);
    let broke_off = |error: wasmtime::Error| {
        RuntimeError::Manifest(format!(
            "the component broke off while it made it: {}",
            error.root_cause()
        ))
    };
    store.set_fuel(FUEL).map_err(RuntimeError::engine)?;
    let instance = linker
        .instantiate_async(&mut store, &component)
        .await
        .map_err(broke_off)?;
    let function = instance
        .get_export_index(&mut store, None, DESCRIBE)
        .and_then(|interface| instance.get_export_index(&mut store, Some(&interface), "manifest"))
        .and_then(|index| instance.get_func(&mut store, index))
        .ok_or_else(|| {
            RuntimeError::Manifest(format!("the component does not export {DESCRIBE}"))
        })?;
    let (text,) = function
        .typed::<(), (String,)>(&store)
        .map_err(broke_off)?
        .call_async(&mut store, ())
        .await
        .map_err(broke_off)?;
    check(&text)?;
    Ok(text)
}

/// What is there already, in whatever version.
const LINKED: &[&str] = &[
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// Gives a component everything else that it imports, as functions that end it.
fn refuse_others(linker: &mut Linker<Nothing>, component: &Component) -> wasmtime::Result<()> {
    let engine = linker.engine().clone();
    for (name, item) in component.component_type().imports(&engine) {
        let ComponentItem::ComponentInstance(interface) = item.ty else {
            continue;
        };
        if LINKED.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let mut linked = linker.instance(name)?;
        for (function, item) in interface.exports(&engine) {
            match item.ty {
                ComponentItem::ComponentFunc(_) => {
                    let called = format!("it calls {name}#{function}, and nothing is granted yet");
                    linked.func_new(function, move |_, _, _, _| {
                        Err(wasmtime::Error::msg(called.clone()))
                    })?;
                }
                ComponentItem::Resource(_) => {
                    linked.resource(function, ResourceType::host::<()>(), |_, _| Ok(()))?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn check(text: &str) -> Result<(), RuntimeError> {
    if text.len() > MAX_MANIFEST {
        return Err(RuntimeError::Manifest(format!(
            "it has {} bytes, more than {MAX_MANIFEST}",
            text.len()
        )));
    }
    match serde_json::from_str::<Manifest>(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(RuntimeError::Manifest(format!(
            "what the component describes is malformed: {error}"
        ))),
    }
}

/// Writes a manifest into a component that has none.
///
/// # Errors
/// When it is no manifest, or the component has one already.
pub fn with_manifest(wasm: &[u8], manifest: &str) -> Result<Vec<u8>, RuntimeError> {
    check(manifest)?;
    let mut content = Vec::new();
    length(&mut content, MANIFEST_SECTION.len());
    content.extend_from_slice(MANIFEST_SECTION.as_bytes());
    content.extend_from_slice(manifest.as_bytes());
    let mut written = wasm.to_vec();
    // A custom section.
    written.push(0);
    length(&mut written, content.len());
    written.extend(content);
    // A second manifest is refused here as it is on a node.
    crate::component::inspect(&written)?;
    Ok(written)
}

/// LEB128.
fn length(bytes: &mut Vec<u8>, mut number: usize) {
    loop {
        let part = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(part);
            return;
        }
        bytes.push(part | 0x80);
    }
}
