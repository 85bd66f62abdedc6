//! The contract, generated from `wit/`.

#![allow(missing_docs, clippy::all, unreachable_pub, reason = "generated")]

wasmtime::component::bindgen!({
    path: ["../../wit/host", "../../wit/action"],
    world: "capstan:action/action-plugin",
    imports: { default: async | trappable },
    exports: { default: async },
    with: {
        "capstan:host/process.child": crate::capability::process::Child,
        "capstan:host/files.writer": crate::capability::files::Writer,
        "capstan:host/http.response": crate::capability::http::Response,
    },
});

/// The export of a collector. What it imports is the same as for an action, and is linked once.
pub mod inventory {
    wasmtime::component::bindgen!({
        path: ["../../wit/host", "../../wit/action", "../../wit/inventory"],
        world: "capstan:inventory/inventory-collector",
        imports: { default: async | trappable },
        exports: { default: async },
        with: {
            "capstan:host": crate::bindings::capstan::host,
            "capstan:action": crate::bindings::capstan::action,
        },
    });
}
