//! Write actions and inventory collectors for Capstan in Rust. Nothing of WebAssembly has to be known: a function with
//! an attribute becomes a component.
//!
//! ```
//! use capstan_sdk::{Context, Failure, action, files, process::Command};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(rename_all = "camelCase")]
//! struct Rotate {
//!     /// The folder whose logs are rotated.
//!     folder: String,
//!     /// How many old logs are kept.
//!     #[serde(default = "seven")]
//!     keep_files: u32,
//! }
//!
//! fn seven() -> u32 {
//!     7
//! }
//!
//! #[derive(Serialize)]
//! struct Rotated {
//!     compressed: usize,
//! }
//!
//! /// Compresses the logs of a folder and removes the oldest.
//! #[action("acme:rotateLogs")]
//! #[files("${inputs.folder}", access = ["read-write"], reason = "rotates the logs there")]
//! #[program("gzip", paths = ["/usr/bin/gzip", "/bin/gzip"], arguments = ["-9", "--", "{path}"], reason = "compresses them")]
//! fn rotate(context: &Context, inputs: Rotate) -> Result<Rotated, Failure> {
//!     println!("step {} keeps {} logs", context.step, inputs.keep_files);
//!     let mut compressed = 0;
//!     for entry in files::list_directory(&inputs.folder)? {
//!         if entry.name.ends_with(".log") {
//!             let path = format!("{}/{}", inputs.folder, entry.name);
//!             Command::new("gzip").args(["-9", "--"]).arg(path).output()?.success()?;
//!             compressed += 1;
//!         }
//!     }
//!     Ok(Rotated { compressed })
//! }
//! ```
//!
//! - **Inputs** are a type of your own, see [`inputs`]; the JSON Schema of the manifest comes from it and its comments.
//! - **Outputs** are a type of your own too, or nothing, or an [`Outcome`] for full control.
//! - **Capabilities** stand beside the function, each with its reason; see [`action`]. What is not requested there
//!   and granted by the operator is refused with a value, [`Error::Denied`], never with a trap.
//! - **Waiting** costs nothing: return a [`Step`] with a state of your own, and go on in another function.
//! - **Collectors** return inventory: see [`collector`].
//! - **Tests** run the built component in the real host, against a world that they write down: the crate `capstan-sdk-test`.

#[cfg(target_family = "wasm")]
mod libc;

#[doc(hidden)]
pub mod __private;

pub mod control;
pub mod download;
mod failure;
pub mod files;
pub mod http;
pub mod inputs;
pub mod inventory;
#[cfg(feature = "schema")]
mod manifest;
mod outcome;
pub mod parameters;
pub mod process;
#[cfg(feature = "s3")]
pub mod s3;
pub mod secrets;
pub mod step;

pub use __private::capstan::action::types::{Context, Event, Platform, Signal, Status, Wake};
pub use __private::capstan::host::types::{Denial, Error};
pub use capstan_sdk_macros::{action, collector};
pub use failure::{Failure, FailureKind, describe};
pub use inputs::{input, input_text, text_input};
pub use inventory::Item;
pub use outcome::{IntoOutcome, Outcome, Step};
#[cfg(feature = "schema")]
pub use schemars;
pub use serde_json::{self, Value, json};

/// Exports what tells the manifest. Without the schema there is nothing to make it from.
#[cfg(feature = "schema")]
#[doc(hidden)]
#[macro_export]
macro_rules! __describe {
    ($rest:literal, $version:expr, $inputs:ty) => {
        struct Description;

        impl $crate::__private::DescribeGuest for Description {
            fn manifest() -> ::std::string::String {
                $crate::__private::manifest(
                    $rest,
                    $version,
                    &$crate::__private::schema_of::<$inputs>(),
                )
            }
        }

        $crate::__private::description::export_description!(
            Description with_types_in $crate::__private::description
        );
    };
}

/// The same without the feature.
#[cfg(not(feature = "schema"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __describe {
    ($($any:tt)*) => {
        ::core::compile_error!(
            "the manifest is made from the type of the inputs, which needs the feature `schema` of capstan-sdk; without it, write the manifest to a file and name it: #[action(manifest = \"manifest.json\")]"
        );
    };
}
