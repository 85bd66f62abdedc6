//! The attributes of `capstan-sdk`, which re-exports them.

use proc_macro::TokenStream;

mod arguments;
mod capabilities;
mod expand;
mod function;
mod text;

/// Makes a function the action of the component.
///
/// ```ignore
/// /// Compresses the logs of a folder.
/// #[action("acme:rotateLogs")]
/// #[files("${inputs.folder}", access = ["read-write"], reason = "rotates the logs there")]
/// fn rotate(context: &Context, inputs: Rotate) -> Result<Rotated, Failure> { … }
/// ```
///
/// The first lines of the function's comment are the manifest's description. The function takes, in this order and
/// each only if it wants it, `&Context` and its inputs, a type with `Deserialize` and `JsonSchema`. It returns
/// `Result<T, Failure>`, where `T` is `()`, outputs with `Serialize`, a `Step` or an `Outcome`.
///
/// # In the parentheses
///
/// | | |
/// | --- | --- |
/// | `"acme:rotateLogs"` | the name in documents; several, if the component serves several. `context.action` tells which one |
/// | `version = "1.2.0"` | the version of the component; the crate's if it is left out |
/// | `description = "…"` | in the place of the comment |
/// | `resume = function` | for an action that waits: `fn(&Context, State, Event) -> Result<Step<State, T>, Failure>` |
/// | `manifest = "manifest.json"` | takes the manifest from a file, by its path from this source file, and nothing from the attributes; the component holds no code for it |
///
/// # Below it
///
/// What the action asks for, each with the reason that operators read before they grant it. `optional` says that the
/// action does without it. Texts may hold `${inputs.KEY}`, and paths `${context.workDirectory}`,
/// `${context.downloadsDirectory}` and `${context.dataDirectory}`.
///
/// | | |
/// | --- | --- |
/// | `#[files("/path", access = ["read-only"], reason = "…", optional)]` | a file or folder; the words are `read-only`, `read-write`, `read`, `list`, `execute`, `write`, `create`, `remove`, `replace`, `append` |
/// | `#[program("gzip", paths = ["/usr/bin/gzip"], arguments = ["-9", "--", "{path}"], reason = "…")]` | a program, the first of the paths that exists. The arguments are fixed words and holes: `{word}`, `{int}`, `{path}`, `{text}`, and last `{words...}` or `{rest...}` |
/// | `#[host("https://example.com", methods = ["GET"], reason = "…")]` | a host; `*` is whatever the policy grants |
/// | `#[secret("/acme/*", uses = ["header"], hosts = ["https://example.com"], reason = "…")]` | a secret or secure parameter, and where its value goes: `header`, `body`, `environment`, `stdin` |
/// | `#[parameter("/acme/*", reason = "…")]` | a parameter |
/// | `#[document("Acme-*", reason = "…")]` | a document to read or run |
/// | `#[signing("s3", reason = "…")]` | an AWS service to sign for |
/// | `#[children(any)]` | the programs may do all that the policy grants to the step, as a shell script needs |
/// | `#[platforms("Linux", "MacOS")]` | elsewhere the step is skipped |
/// | `#[limits(fuel = 50_000_000, memory = "64MiB")]` | what a normal run uses |
///
/// Without a `#[files]`, nothing can be written through `std::fs`, and the component does not import the file system
/// for it; `capstan_sdk::files` works in the step's own folders all the same.
#[proc_macro_attribute]
pub fn action(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand::action(arguments.into(), function.into()).into()
}

/// Makes a function the inventory collector of the component.
///
/// ```ignore
/// /// Collects the versions of the shop's configuration files.
/// #[collector("acme:shopConfig")]
/// #[files("/etc/shop", access = ["read-only"], reason = "looks for configuration files")]
/// fn collect(context: &Context, settings: Settings) -> Result<Vec<Item>, Failure> { … }
/// ```
///
/// Everything else is as for [`macro@action`], except that a collector does not wait.
#[proc_macro_attribute]
pub fn collector(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand::collector(arguments.into(), function.into()).into()
}
