//! What the code that the attributes make refers to: the bindings, and the steps between them and an author's
//! function. No part of the public interface.

#[allow(missing_docs, clippy::all, reason = "generated")]
mod action_bindings {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/action"],
        world: "capstan:action/action-plugin",
        pub_export_macro: true,
        export_macro_name: "export_action",
        default_bindings_module: "capstan_sdk::__private",
        generate_all,
    });
}

pub use action_bindings::*;

/// The export that tells a component's manifest.
#[allow(missing_docs, clippy::all, reason = "generated")]
pub mod description {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/action"],
        inline: "package capstan:sdk; world description { export capstan:action/describe@0.1.0; }",
        world: "capstan:sdk/description",
        pub_export_macro: true,
        export_macro_name: "export_description",
        default_bindings_module: "capstan_sdk::__private::description",
        with: {
            "capstan:host/types@0.1.0": crate::__private::capstan::host::types,
            "capstan:action/types@0.1.0": crate::__private::capstan::action::types,
        },
    });
}

/// The export of a collector.
#[allow(missing_docs, clippy::all, reason = "generated")]
pub mod collection {
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/action", "../../wit/inventory"],
        world: "capstan:inventory/inventory-collector",
        pub_export_macro: true,
        export_macro_name: "export_collector",
        default_bindings_module: "capstan_sdk::__private::collection",
        with: {
            "capstan:host/types@0.1.0": crate::__private::capstan::host::types,
            "capstan:host/step@0.1.0": crate::__private::capstan::host::step,
            "capstan:host/process@0.1.0": crate::__private::capstan::host::process,
            "capstan:host/files@0.1.0": crate::__private::capstan::host::files,
            "capstan:host/http@0.1.0": crate::__private::capstan::host::http,
            "capstan:host/parameters@0.1.0": crate::__private::capstan::host::parameters,
            "capstan:host/secrets@0.1.0": crate::__private::capstan::host::secrets,
            "capstan:action/types@0.1.0": crate::__private::capstan::action::types,
        },
        generate_all,
    });
}

pub use capstan::action::types::{Failure as WitFailure, Outcome as WitOutcome};
pub use collection::capstan::inventory::types::Item as WitItem;
pub use collection::exports::capstan::inventory::collector::Guest as CollectorGuest;
pub use description::exports::capstan::action::describe::Guest as DescribeGuest;
pub use exports::capstan::action::action::Guest as ActionGuest;

pub use crate::inputs::NoInputs;
#[cfg(target_family = "wasm")]
pub use crate::libc::write;
#[cfg(feature = "schema")]
pub use crate::manifest::{manifest, schema_of};

use capstan::action::types as wit;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::inventory::Item;
use crate::{Context, Event, Failure, FailureKind, IntoOutcome, Outcome, inputs};

/// What an action that does not wait answers when it is resumed.
pub fn never_waits() -> Result<WitOutcome, WitFailure> {
    answer(Err(Failure::failed(
        "this action does not wait, so there is nothing to resume",
    )))
}

/// Calls the author's function.
pub fn start<I: DeserializeOwned, R: IntoOutcome, E: Into<Failure>>(
    context: &Context,
    inputs: &str,
    run: impl FnOnce(&Context, I) -> Result<R, E>,
) -> Result<WitOutcome, WitFailure> {
    answer(
        typed(inputs).and_then(|inputs| run(context, inputs).map_err(Into::into)?.into_outcome()),
    )
}

/// Calls the author's function for the end of a wait.
pub fn resume<S: DeserializeOwned, R: IntoOutcome, E: Into<Failure>>(
    context: &Context,
    state: &[u8],
    event: Event,
    run: impl FnOnce(&Context, S, Event) -> Result<R, E>,
) -> Result<WitOutcome, WitFailure> {
    let state = serde_json::from_slice(state).map_err(|error| {
        Failure::failed(format!(
            "the state of the suspended step is damaged: {error}"
        ))
    });
    answer(state.and_then(|state| {
        run(context, state, event)
            .map_err(Into::into)?
            .into_outcome()
    }))
}

/// Calls the author's function of a collector.
pub fn collect<I: DeserializeOwned, E: Into<Failure>>(
    context: &Context,
    settings: &str,
    run: impl FnOnce(&Context, I) -> Result<Vec<Item>, E>,
) -> Result<Vec<WitItem>, WitFailure> {
    match typed(settings).and_then(|settings| run(context, settings).map_err(Into::into)) {
        Ok(items) => Ok(items.into_iter().map(Item::into_wit).collect()),
        Err(failure) => Err(refusal(failure)),
    }
}

fn typed<I: DeserializeOwned>(inputs: &str) -> Result<I, Failure> {
    let inputs: Value = serde_json::from_str(inputs)
        .map_err(|error| Failure::invalid(format!("the inputs are not JSON: {error}")))?;
    inputs::typed(&inputs)
}

fn answer(result: Result<Outcome, Failure>) -> Result<WitOutcome, WitFailure> {
    match result {
        Ok(Outcome::Done {
            status,
            exit_code,
            outputs,
        }) => Ok(wit::Outcome::Done(wit::Result {
            status,
            exit_code,
            outputs: outputs.map(|value| value.to_string()),
        })),
        Ok(Outcome::Suspended {
            state,
            wake,
            reason,
        }) => Ok(wit::Outcome::Suspended(wit::Suspension {
            state,
            wake,
            reason,
        })),
        Err(failure) => Err(refusal(failure)),
    }
}

fn refusal(failure: Failure) -> WitFailure {
    wit::Failure {
        kind: match failure.kind {
            FailureKind::InvalidInput => wit::FailureKind::InvalidInput,
            FailureKind::Failed => wit::FailureKind::Failed,
            FailureKind::TimedOut => wit::FailureKind::TimedOut,
            FailureKind::Denied => wit::FailureKind::Denied,
            FailureKind::Cancelled => wit::FailureKind::Cancelled,
        },
        message: failure.message,
        detail: failure.detail.map(|value| value.to_string()),
    }
}
