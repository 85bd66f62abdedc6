//! Write actions for Capstan in Rust.
//!
//! An action is a type with the [`Action`] trait, exported with [`action!`] together with its manifest:
//!
//! ```ignore
//! use capstan_sdk::{Action, Context, Failure, Outcome, Value, step};
//!
//! struct Greet;
//!
//! impl Action for Greet {
//!     fn start(_: &Context, inputs: Value) -> Result<Outcome, Failure> {
//!         let name = capstan_sdk::input(&inputs, "name").and_then(Value::as_str).unwrap_or("world");
//!         step::print(&format!("hello {name}\n"));
//!         Ok(Outcome::success())
//!     }
//! }
//!
//! capstan_sdk::action!(Greet, "../manifest.json");
//! ```

#[doc(hidden)]
pub mod __private {
    #![allow(missing_docs, clippy::all, reason = "generated")]
    wit_bindgen::generate!({
        path: ["../../wit/host", "../../wit/action"],
        world: "capstan:action/action-plugin",
        pub_export_macro: true,
        export_macro_name: "export_component",
        default_bindings_module: "capstan_sdk::__private",
        generate_all,
    });
}

pub mod download;
pub mod files;
pub mod http;
pub mod process;
#[cfg(feature = "s3")]
pub mod s3;
pub mod step;

pub use __private::capstan::action::types::{Context, Event, Platform, Signal, Status, Wake};
pub use __private::capstan::host::types::{Denial, Error};
pub use __private::capstan::host::{control, parameters, secrets};
pub use serde_json::{self, Value, json};

use __private::capstan::action::types as wit;

/// How a call of an action ends well.
#[derive(Debug)]
pub enum Outcome {
    /// The step is finished.
    Done {
        /// How.
        status: Status,
        /// SSM's response code.
        exit_code: i32,
        /// A JSON object for later steps, if there is something to tell.
        outputs: Option<Value>,
    },
    /// The step waits; the instance goes away.
    Suspended {
        /// What `resume` is given.
        state: Vec<u8>,
        /// What for.
        wake: Wake,
        /// In a few words, for people.
        reason: String,
    },
}

impl Outcome {
    /// Finished, code 0.
    #[must_use]
    pub fn success() -> Self {
        Self::Done {
            status: Status::Success,
            exit_code: 0,
            outputs: None,
        }
    }

    /// Finished with this status and code.
    #[must_use]
    pub fn done(status: Status, exit_code: i32) -> Self {
        Self::Done {
            status,
            exit_code,
            outputs: None,
        }
    }
}

/// How a call of an action ends badly.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What kind.
    pub kind: FailureKind,
    /// One sentence: what went wrong and what to do.
    pub message: String,
}

/// The kinds of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The inputs do not make sense.
    InvalidInput,
    /// The work failed.
    Failed,
    /// It took too long.
    TimedOut,
    /// The grant does not hold what the step needs.
    Denied,
    /// The operator cancelled the step.
    Cancelled,
}

impl Failure {
    /// The inputs do not make sense.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::InvalidInput,
            message: message.into(),
        }
    }

    /// The work failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Failed,
            message: message.into(),
        }
    }
}

/// An error of a host call in words.
#[must_use]
pub fn describe(error: &Error) -> String {
    match error {
        Error::Denied(denial) => format!(
            "{} is not granted to this step ({}); a policy grants it with {}",
            denial.target, denial.capability, denial.hint
        ),
        Error::LimitExceeded(what) => format!("a limit is used up: {what}"),
        Error::NotFound(what) => format!("{what} does not exist"),
        Error::Invalid(why) | Error::Io(why) | Error::Other(why) => why.clone(),
        Error::TimedOut => "it took too long".to_owned(),
        Error::Cancelled => "the step was cancelled".to_owned(),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Denied(_) => FailureKind::Denied,
            Error::TimedOut => FailureKind::TimedOut,
            Error::Cancelled => FailureKind::Cancelled,
            Error::Invalid(_) => FailureKind::InvalidInput,
            _ => FailureKind::Failed,
        };
        Self {
            kind,
            message: describe(&error),
        }
    }
}

/// An action.
pub trait Action {
    /// Begins a step. `inputs` is a JSON object, all references resolved.
    ///
    /// # Errors
    /// A [`Failure`] ends the step as failed, with its message.
    fn start(context: &Context, inputs: Value) -> Result<Outcome, Failure>;

    /// Goes on after [`Outcome::Suspended`]. An action that never waits needs none.
    ///
    /// # Errors
    /// As for `start`.
    fn resume(context: &Context, state: Vec<u8>, event: Event) -> Result<Outcome, Failure> {
        let _ = (context, state, event);
        Err(Failure::failed(
            "this action does not wait, so there is nothing to resume",
        ))
    }
}

/// A value of the inputs by key, without regard to case, as SSM's own agent reads them.
#[must_use]
pub fn input<'a>(inputs: &'a Value, key: &str) -> Option<&'a Value> {
    let found = inputs
        .as_object()?
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(key))
        .map(|(_, value)| value);
    found.filter(|value| !value.is_null())
}

/// The same as text; numbers and truth values are written out.
#[must_use]
pub fn input_text(inputs: &Value, key: &str) -> Option<String> {
    match input(inputs, key)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

/// The same for an input that has to be text: a list or a mapping is an error, and not passed over.
///
/// # Errors
/// [`FailureKind::InvalidInput`].
pub fn text_input(inputs: &Value, key: &str) -> Result<Option<String>, Failure> {
    match input(inputs, key) {
        Some(Value::Array(_)) => Err(Failure::invalid(format!("{key} is a text, and not a list"))),
        Some(Value::Object(_)) => Err(Failure::invalid(format!(
            "{key} is a text, and not a mapping"
        ))),
        _ => Ok(input_text(inputs, key)),
    }
}

/// What [`action!`] exports.
#[doc(hidden)]
pub fn __answer(result: Result<Outcome, Failure>) -> Result<wit::Outcome, wit::Failure> {
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
        Err(failure) => Err(wit::Failure {
            kind: match failure.kind {
                FailureKind::InvalidInput => wit::FailureKind::InvalidInput,
                FailureKind::Failed => wit::FailureKind::Failed,
                FailureKind::TimedOut => wit::FailureKind::TimedOut,
                FailureKind::Denied => wit::FailureKind::Denied,
                FailureKind::Cancelled => wit::FailureKind::Cancelled,
            },
            message: failure.message,
            detail: None,
        }),
    }
}

/// Exports a type as the component's action, with its manifest: a JSON file, by its path from this source file.
#[macro_export]
macro_rules! action {
    ($action:ty, $manifest:literal) => {
        const _: () = {
            struct Component;

            impl $crate::__private::exports::capstan::action::action::Guest for Component {
                fn start(
                    context: $crate::Context,
                    inputs: String,
                ) -> Result<
                    $crate::__private::capstan::action::types::Outcome,
                    $crate::__private::capstan::action::types::Failure,
                > {
                    let inputs = $crate::serde_json::from_str(&inputs).map_err(|error| {
                        $crate::Failure::invalid(format!("the inputs are not JSON: {error}"))
                    });
                    $crate::__answer(
                        inputs.and_then(|inputs| {
                            <$action as $crate::Action>::start(&context, inputs)
                        }),
                    )
                }

                fn resume(
                    context: $crate::Context,
                    state: Vec<u8>,
                    event: $crate::Event,
                ) -> Result<
                    $crate::__private::capstan::action::types::Outcome,
                    $crate::__private::capstan::action::types::Failure,
                > {
                    $crate::__answer(<$action as $crate::Action>::resume(&context, state, event))
                }
            }

    $crate::__private::export_component!(Component with_types_in $crate::__private);

            /// Where the host finds it.
            #[cfg_attr(target_arch = "wasm32", unsafe(link_section = "capstan:manifest@1"))]
            #[used]
            static MANIFEST: [u8; include_bytes!($manifest).len()] = *include_bytes!($manifest);
        };
    };
}
