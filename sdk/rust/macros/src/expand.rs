//! From an attribute and a function to a component.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Error, ItemFn, LitStr, Path, Result};

use crate::arguments::Arguments;
use crate::capabilities::{ATTRIBUTES, Requests};
use crate::function::{Signature, description, signature};

pub(crate) fn action(arguments: TokenStream, function: TokenStream) -> TokenStream {
    let parsed = parse(arguments, function.clone(), "action");
    or_error(parsed.map(|parsed| parsed.action()), function)
}

pub(crate) fn collector(arguments: TokenStream, function: TokenStream) -> TokenStream {
    let parsed = parse(arguments, function.clone(), "collector");
    or_error(parsed.map(|parsed| parsed.collector()), function)
}

/// With an error, the function stays as it is but for the attributes that nobody else knows, so that the compiler does
/// not complain of more than what is wrong.
fn or_error(result: Result<TokenStream>, function: TokenStream) -> TokenStream {
    result.unwrap_or_else(|error| {
        let error = error.to_compile_error();
        let function = match syn::parse2::<ItemFn>(function) {
            Ok(mut function) => {
                function.attrs.retain(|attribute| {
                    !ATTRIBUTES
                        .iter()
                        .any(|name| attribute.path().is_ident(name))
                });
                quote!(#[allow(dead_code)] #function)
            }
            Err(_) => TokenStream::new(),
        };
        quote!(#error #function)
    })
}

/// Everything that was said.
struct Parsed {
    function: ItemFn,
    signature: Signature,
    resume: Option<Path>,
    source: Source,
    /// Whether the C library's way to files is left as it is.
    files: bool,
}

/// Where the manifest is from.
enum Source {
    /// A file.
    File(LitStr),
    /// The component's own code: the inside of its JSON object, and the version if it is not the crate's.
    Code(String, Option<LitStr>),
}

fn parse(arguments: TokenStream, function: TokenStream, what: &str) -> Result<Parsed> {
    let mut arguments: Arguments = syn::parse2(arguments)?;
    let mut function: ItemFn = syn::parse2(function).map_err(|error| {
        Error::new(
            error.span(),
            format!("#[{what}] stands above a function: {error}"),
        )
    })?;
    let known: &[&str] = match what {
        "action" => &["version", "description", "resume", "manifest"],
        _ => &["version", "description", "manifest"],
    };
    arguments.check(what, known, usize::MAX)?;
    let names = arguments.texts();
    let manifest = arguments.named_text("manifest")?;
    let version = arguments.named_text("version")?;
    let said = arguments.named_text("description")?;
    let resume = match what {
        "action" => arguments.named_path("resume")?,
        _ => None,
    };

    let mut requests = Requests::default();
    let mut problems: Option<Error> = None;
    let mut first = None;
    function
        .attrs
        .retain(|attribute| match requests.take(attribute) {
            Ok(taken) => {
                if taken && first.is_none() {
                    first = Some(attribute.path().span());
                }
                !taken
            }
            Err(error) => {
                match &mut problems {
                    Some(problems) => problems.combine(error),
                    None => problems = Some(error),
                }
                false
            }
        });
    if let Some(problems) = problems {
        return Err(problems);
    }
    let signature = signature(&function, what)?;
    let source = match manifest {
        Some(file) => {
            let span = [
                names.first().map(LitStr::span),
                version.as_ref().map(LitStr::span),
                said.as_ref().map(LitStr::span),
                first.filter(|_| !requests.is_empty()),
            ];
            if let Some(span) = span.into_iter().flatten().next() {
                return Err(Error::new(
                    span,
                    format!("the file {} says this; leave it out here", file.value()),
                ));
            }
            Source::File(file)
        }
        None => {
            check_names(&names, what)?;
            let text = match said {
                Some(text) => text.value(),
                None => description(&function).ok_or_else(|| {
                    Error::new(
                        function.sig.ident.span(),
                        format!("the {what} has no description; write a comment above it: /// Rotates the logs of a folder."),
                    )
                })?,
            };
            let kind = match what {
                "action" => "actions",
                _ => "collectors",
            };
            Source::Code(requests.manifest(kind, &names, &text), version)
        }
    };
    Ok(Parsed {
        function,
        signature,
        resume,
        files: requests.files(),
        source,
    })
}

fn check_names(names: &[LitStr], what: &str) -> Result<()> {
    if names.is_empty() {
        return Err(Error::new(
            Span::call_site(),
            format!("say how documents name it: #[{what}(\"acme:rotateLogs\")]"),
        ));
    }
    for (index, name) in names.iter().enumerate() {
        let text = name.value();
        let good = |part: &str| {
            !part.is_empty()
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        if !text
            .split_once(':')
            .is_some_and(|(maker, word)| good(maker) && good(word))
        {
            return Err(Error::new(
                name.span(),
                "a name has two parts, whose it is and what it does: \"acme:rotateLogs\"",
            ));
        }
        if names[..index].iter().any(|other| other.value() == text) {
            return Err(Error::new(name.span(), "this name is there twice"));
        }
    }
    Ok(())
}

impl Parsed {
    /// The type of the inputs, and a closure that calls the function with what it takes.
    fn call(&self) -> (TokenStream, TokenStream) {
        let name = &self.function.sig.ident;
        let (kind, inputs) = match &self.signature.inputs {
            Some(kind) => (quote!(#kind), Some(quote!(inputs))),
            None => (quote!(::capstan_sdk::__private::NoInputs), None),
        };
        let context = self.signature.context.then(|| quote!(context));
        let arguments = context.into_iter().chain(inputs);
        let called = quote_spanned!(self.function.sig.output.span()=> #name(#(#arguments),*));
        let closure = quote!(
            |#[allow(unused_variables)] context: &::capstan_sdk::Context, #[allow(unused_variables)] inputs: #kind| #called
        );
        (kind, closure)
    }

    /// The manifest, in a section of the component or as an export.
    fn manifest(&self, inputs: &TokenStream) -> TokenStream {
        match &self.source {
            Source::File(path) => quote! {
                /// Where the host finds it.
                #[cfg_attr(target_arch = "wasm32", unsafe(link_section = "capstan:manifest@1"))]
                #[used]
                static MANIFEST: [u8; ::core::include_bytes!(#path).len()] = *::core::include_bytes!(#path);
            },
            Source::Code(rest, version) => {
                let version = match version {
                    Some(version) => quote!(#version),
                    None => quote!(::core::env!("CARGO_PKG_VERSION")),
                };
                quote!(::capstan_sdk::__describe!(#rest, #version, #inputs);)
            }
        }
    }

    /// What keeps the file system out of a component that does not ask for it.
    fn output(&self) -> TokenStream {
        if self.files {
            return TokenStream::new();
        }
        quote! {
            #[cfg(target_family = "wasm")]
            #[unsafe(no_mangle)]
            #[allow(unsafe_code)]
            unsafe extern "C" fn write(
                descriptor: ::core::ffi::c_int,
                data: *const ::core::ffi::c_void,
                length: usize,
            ) -> isize {
                // SAFETY: whoever calls it keeps to the contract of the C library's function.
                unsafe { ::capstan_sdk::__private::write(descriptor, data, length) }
            }
        }
    }

    fn action(&self) -> TokenStream {
        let function = &self.function;
        let (inputs, call) = self.call();
        let (manifest, output) = (self.manifest(&inputs), self.output());
        let resume = match &self.resume {
            Some(path) => {
                quote_spanned!(path.span()=> ::capstan_sdk::__private::resume(&context, &state, event, #path))
            }
            None => quote! {{
                let _ = (context, state, event);
                ::capstan_sdk::__private::never_waits()
            }},
        };
        quote! {
            #function

            const _: () = {
                struct Component;

                impl ::capstan_sdk::__private::ActionGuest for Component {
                    fn start(
                        context: ::capstan_sdk::Context,
                        inputs: ::std::string::String,
                    ) -> ::core::result::Result<
                        ::capstan_sdk::__private::WitOutcome,
                        ::capstan_sdk::__private::WitFailure,
                    > {
                        ::capstan_sdk::__private::start(&context, &inputs, #call)
                    }

                    fn resume(
                        context: ::capstan_sdk::Context,
                        state: ::std::vec::Vec<u8>,
                        event: ::capstan_sdk::Event,
                    ) -> ::core::result::Result<
                        ::capstan_sdk::__private::WitOutcome,
                        ::capstan_sdk::__private::WitFailure,
                    > {
                        #resume
                    }
                }

                ::capstan_sdk::__private::export_action!(
                    Component with_types_in ::capstan_sdk::__private
                );
                #manifest
                #output
            };
        }
    }

    fn collector(&self) -> TokenStream {
        let function = &self.function;
        let (inputs, call) = self.call();
        let (manifest, output) = (self.manifest(&inputs), self.output());
        quote! {
            #function

            const _: () = {
                struct Component;

                impl ::capstan_sdk::__private::CollectorGuest for Component {
                    fn collect(
                        context: ::capstan_sdk::Context,
                        settings: ::std::string::String,
                    ) -> ::core::result::Result<
                        ::std::vec::Vec<::capstan_sdk::__private::WitItem>,
                        ::capstan_sdk::__private::WitFailure,
                    > {
                        ::capstan_sdk::__private::collect(&context, &settings, #call)
                    }
                }

                ::capstan_sdk::__private::collection::export_collector!(
                    Component with_types_in ::capstan_sdk::__private::collection
                );
                #manifest
                #output
            };
        }
    }
}

/// For the tests: what an attribute would say of the component.
#[cfg(test)]
pub(crate) fn manifest_of(arguments: &str, function: &str) -> Result<String> {
    let parsed = parse(arguments.parse()?, function.parse()?, "action")?;
    match parsed.source {
        Source::Code(rest, _) => Ok(format!("{{{rest}}}")),
        Source::File(file) => Ok(file.value()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::{Value, json};

    use super::manifest_of;

    const FUNCTION: &str = "fn act(inputs: Inputs) -> Result<(), Failure> { Ok(()) }";

    #[test]
    fn what_is_asked_for_becomes_the_manifest() {
        let function = r##"
            /// Rotates the logs
            /// of a "folder".
            ///
            /// More for those who read the source.
            #[allow(unused)]
            #[files("${inputs.folder}", access = ["read", "list"], reason = "reads", optional)]
            #[files("/etc/a", access = "read-only", reason = "reads")]
            #[program("gzip", paths = ["/usr/bin/gzip"], arguments = ["-9", "{path}", "{rest...}"], reason = "packs")]
            #[host("https://example.com/*", methods = ["GET"], reason = "asks")]
            #[secret("/acme/*", uses = ["header"], hosts = ["https://example.com"], reason = "signs")]
            #[parameter("/acme/level", reason = "reads")]
            #[document("Acme-*", reason = "runs", optional)]
            #[signing("s3", reason = "fetches")]
            #[children(any)]
            #[platforms("Linux")]
            #[limits(fuel = 50_000_000, memory = "64MiB")]
            fn rotate(context: &Context, inputs: Rotate) -> Result<(), Failure> { Ok(()) }"##;
        let text = manifest_of(
            "\"acme:rotate\", \"acme:turn\", version = \"2.0\"",
            function,
        );
        let manifest: Value = serde_json::from_str(&text.unwrap()).unwrap();
        assert_eq!(
            manifest,
            json!({
                "actions": ["acme:rotate", "acme:turn"],
                "description": "Rotates the logs of a \"folder\".",
                "platforms": ["Linux"],
                "capabilities": {
                    "files": [
                        { "path": "${inputs.folder}", "access": ["read", "list"], "reason": "reads", "optional": true },
                        { "path": "/etc/a", "access": ["read-only"], "reason": "reads" },
                    ],
                    "programs": { "gzip": { "paths": ["/usr/bin/gzip"], "arguments": ["-9", "{path}", "{rest...}"], "reason": "packs" } },
                    "hosts": [{ "url": "https://example.com/*", "methods": ["GET"], "reason": "asks" }],
                    "secrets": [{ "name": "/acme/*", "hosts": ["https://example.com"], "uses": ["header"], "reason": "signs" }],
                    "parameters": [{ "name": "/acme/level", "reason": "reads" }],
                    "documents": [{ "name": "Acme-*", "reason": "runs", "optional": true }],
                    "signing": [{ "name": "s3", "reason": "fetches" }],
                    "children": "any",
                },
                "limits": { "fuel": 50000000, "memory": "64MiB" },
            })
        );
    }

    #[test]
    fn a_manifest_from_a_file_says_everything() {
        let path = manifest_of("manifest = \"../manifest.json\"", FUNCTION).unwrap();
        assert_eq!(path, "../manifest.json");
        let error = manifest_of("\"a:b\", manifest = \"m.json\"", FUNCTION).unwrap_err();
        assert!(error.to_string().contains("m.json says this"), "{error}");
    }

    /// The text at the place of an error, and its message.
    fn refused(arguments: &str, function: &str) -> (String, String) {
        let error = manifest_of(arguments, function).unwrap_err();
        let at = error.span().source_text().unwrap_or_default();
        (at, error.to_string())
    }

    #[test]
    fn errors_of_attributes_point_at_the_word_and_say_what_to_write() {
        for (attribute, at, message) in [
            (
                r#"#[files("/a", access = ["reed"], reason = "r")]"#,
                "\"reed\"",
                "there is no access `reed`; there are read-only",
            ),
            (
                r#"#[files("/a", acess = ["read"], reason = "r")]"#,
                "acess",
                "there is no `acess` in #[files]; there are access, reason and optional",
            ),
            (
                r#"#[files("/a", reason = "r")]"#,
                "files",
                "does not say which access; write access = [\"read-only\"]",
            ),
            (
                r#"#[files("/a", access = ["read"])]"#,
                "files",
                "#[files] has no reason; write reason = ",
            ),
            (
                r#"#[files("a", access = ["read"], reason = "r")]"#,
                "\"a\"",
                "a path is absolute, or begins with a binding",
            ),
            (
                r#"#[files("${input.a}", access = ["read"], reason = "r")]"#,
                "\"${input.a}\"",
                "there is no ${input.a}; there are ${inputs.KEY}",
            ),
            (
                r#"#[files("/a", access = ["read"], reason = "r", often)]"#,
                "often",
                "there is no `often` in #[files]; there are access, reason and optional",
            ),
            (
                r#"#[files("/a", access = ["read"], reason = 7)]"#,
                "7",
                "write one text in quotes: reason = ",
            ),
            (r#"#[files]"#, "#[files]", "write #[files("),
            (
                r#"#[program("a", paths = ["a"], arguments = [], reason = "r")]"#,
                "\"a\"",
                "a program's path is absolute",
            ),
            (
                r#"#[program("a", paths = ["/a"], reason = "r")]"#,
                "program",
                "say which arguments it takes",
            ),
            (
                r#"#[program("a", paths = ["/a"], arguments = ["{file}"], reason = "r")]"#,
                "\"{file}\"",
                "there is no hole {file}; there are {word}",
            ),
            (
                r#"#[program("a", paths = ["/a"], arguments = ["{rest...}", "x"], reason = "r")]"#,
                "\"{rest...}\"",
                "is the last one",
            ),
            (
                r#"#[host("example.com", reason = "r")]"#,
                "\"example.com\"",
                "a host is \"https://example.com\"",
            ),
            (
                r#"#[host("*", methods = ["get"], reason = "r")]"#,
                "\"get\"",
                "in capitals: \"GET\"",
            ),
            (
                r#"#[secret("/a", uses = ["argument"], reason = "r")]"#,
                "\"argument\"",
                "there are header, body, environment and stdin",
            ),
            (
                r#"#[children(all)]"#,
                "all",
                "there is no `all` in #[children]; there are any and same",
            ),
            (
                r#"#[platforms("linux")]"#,
                "\"linux\"",
                "there are Linux, MacOS and Windows",
            ),
            (
                r#"#[limits(time = "3s")]"#,
                "time",
                "there is no `time` in #[limits]; there are fuel",
            ),
        ] {
            let found = refused(
                "\"a:b\", description = \"d\"",
                &format!("{attribute}\n{FUNCTION}"),
            );
            assert!(found.1.contains(message), "{attribute}: {}", found.1);
            assert_eq!(found.0, at, "{attribute}");
        }
    }

    #[test]
    fn errors_of_the_action_and_its_function_say_what_to_write() {
        for (arguments, function, message) in [
            ("", FUNCTION, "#[action(\"acme:rotateLogs\")]"),
            ("\"rotate\"", FUNCTION, "a name has two parts"),
            ("\"a:b\", \"a:b\"", FUNCTION, "this name is there twice"),
            ("\"a:b\"", FUNCTION, "write a comment above it"),
            ("\"a:b\", resume = \"go\"", FUNCTION, "without quotes"),
            (
                "\"a:b\", names = \"x\"",
                FUNCTION,
                "there are version, description, resume and manifest",
            ),
            ("\"a:b\"", "struct A;", "stands above a function"),
            (
                "\"a:b\"",
                "async fn a() -> Result<(), Failure> {}",
                "not `async`",
            ),
            ("\"a:b\"", "fn a() {}", "returns a Result"),
            (
                "\"a:b\"",
                "fn a<T>(t: T) -> Result<(), Failure> {}",
                "no generic parameters",
            ),
            (
                "\"a:b\"",
                "fn a(i: Inputs, c: &Context) -> Result<(), Failure> {}",
                "in this order",
            ),
            (
                "\"a:b\"",
                "fn a(c: &Context, i: &Inputs) -> Result<(), Failure> {}",
                "without `&`",
            ),
        ] {
            let found = refused(arguments, function).1;
            assert!(found.contains(message), "{arguments} {function}: {found}");
        }
    }
}
