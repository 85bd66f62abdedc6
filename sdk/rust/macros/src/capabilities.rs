//! The attributes below `#[action]` and `#[collector]`: what the component asks for.

use proc_macro2::Span;
use syn::{Attribute, Error, LitStr, Meta, Result};

use crate::arguments::{Arguments, Value};
use crate::text::{json, json_list, json_object, listed};

/// The attributes that there are.
pub(crate) const ATTRIBUTES: &[&str] = &[
    "files",
    "program",
    "host",
    "secret",
    "parameter",
    "document",
    "signing",
    "children",
    "platforms",
    "limits",
];

const ACCESS: &[&str] = &[
    "read-only",
    "read-write",
    "read",
    "list",
    "execute",
    "write",
    "create",
    "remove",
    "replace",
    "append",
];
const HOLES: &[&str] = &["{word}", "{int}", "{path}", "{text}"];
const LAST_HOLES: &[&str] = &["{words...}", "{rest...}"];
const USES: &[&str] = &["header", "body", "environment", "stdin"];
const PLATFORMS: &[&str] = &["Linux", "MacOS", "Windows"];
const LIMITS: &[&str] = &[
    "fuel",
    "memory",
    "tableElements",
    "instances",
    "handles",
    "hostCallBytes",
    "wall",
    "output",
    "openFiles",
    "processes",
    "childCpu",
    "childMemory",
    "disk",
    "httpRequests",
    "httpBytes",
];
const BINDINGS: &[&str] = &[
    "${context.workDirectory}",
    "${context.downloadsDirectory}",
    "${context.dataDirectory}",
];

/// What was asked for so far, as parts of the manifest's JSON.
#[derive(Default)]
pub(crate) struct Requests {
    files: Vec<String>,
    programs: Vec<(String, String)>,
    hosts: Vec<String>,
    secrets: Vec<String>,
    parameters: Vec<String>,
    documents: Vec<String>,
    signing: Vec<String>,
    children: Option<String>,
    platforms: Option<String>,
    limits: Option<String>,
}

impl Requests {
    /// Takes an attribute, if it is one of these.
    pub(crate) fn take(&mut self, attribute: &Attribute) -> Result<bool> {
        let Some(name) = attribute.path().get_ident().map(ToString::to_string) else {
            return Ok(false);
        };
        if !ATTRIBUTES.contains(&name.as_str()) {
            return Ok(false);
        }
        let Meta::List(list) = &attribute.meta else {
            return Err(Error::new_spanned(attribute, example(&name)));
        };
        let mut arguments: Arguments = list.parse_args()?;
        let (known, most): (&[&str], usize) = match name.as_str() {
            "files" => (&["access", "reason", "optional"], 1),
            "program" => (&["paths", "arguments", "reason", "optional"], 1),
            "host" => (&["methods", "reason", "optional"], 1),
            "secret" => (&["uses", "hosts", "reason", "optional"], 1),
            "parameter" | "document" | "signing" => (&["reason", "optional"], 1),
            "children" => (&["any", "same"], 0),
            "platforms" => (PLATFORMS, PLATFORMS.len()),
            _ => (LIMITS, 0),
        };
        arguments.check(&name, known, most)?;
        let span = attribute
            .path()
            .get_ident()
            .map_or(Span::call_site(), |name| name.span());
        match name.as_str() {
            "files" => {
                let path = first(&mut arguments, &name, span)?;
                check_path(&path)?;
                let access = words(&mut arguments, "access", ACCESS, &name, span)?;
                let rest = rest(&mut arguments, &name, span)?;
                self.files.push(object(
                    &[("path", json(&path.value())), ("access", access)],
                    rest,
                ));
            }
            "program" => self.program(arguments, span)?,
            "host" => {
                let url = first(&mut arguments, &name, span)?;
                check_url(&url)?;
                let methods = arguments.named_list("methods")?.unwrap_or_default();
                for method in &methods {
                    if method.value() != method.value().to_ascii_uppercase() {
                        return Err(Error::new(
                            method.span(),
                            format!(
                                "methods are written in capitals: \"{}\"",
                                method.value().to_ascii_uppercase()
                            ),
                        ));
                    }
                }
                let rest = rest(&mut arguments, &name, span)?;
                self.hosts.push(object(
                    &[("url", json(&url.value())), ("methods", texts(&methods))],
                    rest,
                ));
            }
            "secret" => {
                let secret = first(&mut arguments, &name, span)?;
                check_bindings(&secret)?;
                let uses = arguments.named_list("uses")?;
                if let Some(uses) = &uses {
                    check_words(uses, USES, "use of a secret")?;
                }
                let hosts = arguments.named_list("hosts")?.unwrap_or_default();
                for host in &hosts {
                    check_url(host)?;
                }
                let rest = rest(&mut arguments, &name, span)?;
                let mut parts = vec![("name", json(&secret.value())), ("hosts", texts(&hosts))];
                if let Some(uses) = uses {
                    parts.push(("uses", texts(&uses)));
                }
                self.secrets.push(object(&parts, rest));
            }
            "parameter" | "document" | "signing" => {
                let what = first(&mut arguments, &name, span)?;
                check_bindings(&what)?;
                let rest = rest(&mut arguments, &name, span)?;
                let requests = match name.as_str() {
                    "parameter" => &mut self.parameters,
                    "document" => &mut self.documents,
                    _ => &mut self.signing,
                };
                requests.push(object(&[("name", json(&what.value()))], rest));
            }
            "children" => {
                let word = arguments.words();
                match word.as_slice() {
                    [word] if word == "any" || word == "same" => {
                        once(&mut self.children, json(&word.to_string()), &name, span)?;
                    }
                    _ => return Err(Error::new(span, example(&name))),
                }
            }
            "platforms" => {
                let platforms = arguments.texts();
                check_words(&platforms, PLATFORMS, "platform")?;
                if platforms.is_empty() {
                    return Err(Error::new(span, example(&name)));
                }
                once(&mut self.platforms, texts(&platforms), &name, span)?;
            }
            _ => {
                let limits = limits(arguments.all_named())?;
                once(&mut self.limits, limits, &name, span)?;
            }
        }
        Ok(true)
    }

    fn program(&mut self, mut arguments: Arguments, span: Span) -> Result<()> {
        let name = first(&mut arguments, "program", span)?;
        if self
            .programs
            .iter()
            .any(|(other, _)| *other == name.value())
        {
            return Err(Error::new(
                name.span(),
                format!(
                    "there is a program `{}` already; its name tells one from the other",
                    name.value()
                ),
            ));
        }
        let paths = arguments.named_list("paths")?.unwrap_or_default();
        if paths.is_empty() {
            return Err(Error::new(
                span,
                "say where the program is: paths = [\"/usr/bin/…\"]; the first that exists is taken",
            ));
        }
        for path in &paths {
            if !path.value().starts_with('/') {
                return Err(Error::new(
                    path.span(),
                    "a program's path is absolute: \"/usr/bin/…\"",
                ));
            }
        }
        let Some(shape) = arguments.named_list("arguments")? else {
            return Err(Error::new(
                span,
                "say which arguments it takes: arguments = [\"-9\", \"--\", \"{path}\"]; \"{rest...}\" as the last one stands for any",
            ));
        };
        for (index, hole) in shape.iter().enumerate() {
            check_hole(hole, index + 1 == shape.len())?;
        }
        let rest = rest(&mut arguments, "program", span)?;
        let request = object(
            &[("paths", texts(&paths)), ("arguments", texts(&shape))],
            rest,
        );
        self.programs.push((name.value(), request));
        Ok(())
    }

    /// Whether files are asked for.
    pub(crate) fn files(&self) -> bool {
        !self.files.is_empty()
    }

    /// Whether there is anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.capabilities() == "{}" && self.platforms.is_none() && self.limits.is_none()
    }

    fn capabilities(&self) -> String {
        let list = |requests: &[String]| {
            (!requests.is_empty()).then(|| format!("[{}]", requests.join(",")))
        };
        let programs: Vec<(&str, Option<String>)> = self
            .programs
            .iter()
            .map(|(name, request)| (name.as_str(), Some(request.clone())))
            .collect();
        json_object(&[
            ("files", list(&self.files)),
            (
                "programs",
                (!programs.is_empty()).then(|| json_object(&programs)),
            ),
            ("hosts", list(&self.hosts)),
            ("parameters", list(&self.parameters)),
            ("secrets", list(&self.secrets)),
            ("documents", list(&self.documents)),
            ("signing", list(&self.signing)),
            ("children", self.children.clone()),
        ])
    }

    /// The inside of the manifest's JSON object, without version and schema.
    pub(crate) fn manifest(&self, kind: &str, names: &[LitStr], description: &str) -> String {
        let object = json_object(&[
            (kind, Some(texts(names))),
            ("description", Some(json(description))),
            ("platforms", self.platforms.clone()),
            ("capabilities", Some(self.capabilities())),
            ("limits", self.limits.clone()),
        ]);
        object[1..object.len() - 1].to_owned()
    }
}

/// What an attribute looks like.
fn example(attribute: &str) -> String {
    let example = match attribute {
        "files" => "files(\"${inputs.folder}\", access = [\"read-only\"], reason = \"…\")",
        "program" => {
            "program(\"gzip\", paths = [\"/usr/bin/gzip\"], arguments = [\"--\", \"{path}\"], reason = \"…\")"
        }
        "host" => "host(\"https://example.com\", methods = [\"GET\"], reason = \"…\")",
        "secret" => "secret(\"/acme/token\", uses = [\"header\"], reason = \"…\")",
        "parameter" => "parameter(\"/acme/level\", reason = \"…\")",
        "document" => "document(\"Acme-Cleanup\", reason = \"…\")",
        "signing" => "signing(\"s3\", reason = \"…\")",
        "children" => "children(any)",
        "platforms" => "platforms(\"Linux\", \"MacOS\")",
        _ => "limits(fuel = 50_000_000, memory = \"64MiB\")",
    };
    format!("write #[{example}]")
}

fn first(arguments: &mut Arguments, attribute: &str, span: Span) -> Result<LitStr> {
    arguments
        .text()
        .ok_or_else(|| Error::new(span, example(attribute)))
}

/// Reason and `optional`, which all have.
fn rest(arguments: &mut Arguments, attribute: &str, span: Span) -> Result<(LitStr, bool)> {
    let reason = arguments
        .named_text("reason")?
        .ok_or_else(|| {
            Error::new(
                span,
                format!("#[{attribute}] has no reason; write reason = \"…\", a few words that an operator reads before granting it"),
            )
        })?;
    if reason.value().trim().is_empty() {
        return Err(Error::new(reason.span(), "write what it is needed for"));
    }
    Ok((reason, arguments.word("optional")))
}

fn object(parts: &[(&str, String)], (reason, optional): (LitStr, bool)) -> String {
    let mut all: Vec<(&str, Option<String>)> = parts
        .iter()
        .map(|(name, value)| (*name, Some(value.clone())))
        .collect();
    all.push(("reason", Some(json(&reason.value()))));
    all.push(("optional", optional.then(|| "true".to_owned())));
    json_object(&all)
}

fn texts(texts: &[LitStr]) -> String {
    json_list(texts.iter().map(LitStr::value))
}

fn once(place: &mut Option<String>, value: String, attribute: &str, span: Span) -> Result<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::new(span, format!("#[{attribute}] is there twice"))),
    }
}

fn words(
    arguments: &mut Arguments,
    name: &str,
    known: &[&str],
    attribute: &str,
    span: Span,
) -> Result<String> {
    let list = arguments.named_list(name)?.unwrap_or_default();
    if list.is_empty() {
        return Err(Error::new(
            span,
            format!(
                "#[{attribute}] does not say which {name}; write {name} = [\"{}\"], of the words {}",
                known.first().copied().unwrap_or_default(),
                listed(known)
            ),
        ));
    }
    check_words(&list, known, name)?;
    Ok(texts(&list))
}

fn check_words(list: &[LitStr], known: &[&str], what: &str) -> Result<()> {
    match list
        .iter()
        .find(|word| !known.contains(&word.value().as_str()))
    {
        None => Ok(()),
        Some(word) => Err(Error::new(
            word.span(),
            format!(
                "there is no {what} `{}`; there are {}",
                word.value(),
                listed(known)
            ),
        )),
    }
}

fn check_path(path: &LitStr) -> Result<()> {
    let text = path.value();
    if !text.starts_with('/') && !text.starts_with("${") {
        return Err(Error::new(
            path.span(),
            "a path is absolute, or begins with a binding such as ${inputs.folder} or ${context.workDirectory}",
        ));
    }
    check_bindings(path)
}

fn check_url(url: &LitStr) -> Result<()> {
    let text = url.value();
    if text != "*"
        && !["https://", "http://", "${"]
            .iter()
            .any(|start| text.starts_with(start))
    {
        return Err(Error::new(
            url.span(),
            "a host is \"https://example.com\", a binding such as \"${inputs.url}\", or \"*\" for whatever the policy grants",
        ));
    }
    check_bindings(url)
}

/// Every `${…}` names an input or a folder of the step.
fn check_bindings(text: &LitStr) -> Result<()> {
    let value = text.value();
    for part in value.split("${").skip(1) {
        let Some((name, _)) = part.split_once('}') else {
            return Err(Error::new(
                text.span(),
                "a binding is closed by a brace: ${inputs.folder}",
            ));
        };
        let whole = format!("${{{name}}}");
        let is_input = name
            .strip_prefix("inputs.")
            .is_some_and(|key| !key.is_empty());
        if !is_input && !BINDINGS.contains(&whole.as_str()) {
            return Err(Error::new(
                text.span(),
                format!(
                    "there is no {whole}; there are ${{inputs.KEY}}, {}",
                    listed(BINDINGS)
                ),
            ));
        }
    }
    Ok(())
}

fn check_hole(argument: &LitStr, last: bool) -> Result<()> {
    let text = argument.value();
    let is_hole = text.len() > 2
        && text.starts_with('{')
        && text.ends_with('}')
        && text[1..text.len() - 1]
            .chars()
            .all(|c| c.is_ascii_lowercase() || c == '.');
    if !is_hole || HOLES.contains(&text.as_str()) {
        return Ok(());
    }
    if LAST_HOLES.contains(&text.as_str()) {
        return if last {
            Ok(())
        } else {
            Err(Error::new(
                argument.span(),
                format!("{text} stands for any number of arguments, and is the last one"),
            ))
        };
    }
    Err(Error::new(
        argument.span(),
        format!(
            "there is no hole {text}; there are {}, and as the last one {}",
            listed(HOLES),
            listed(LAST_HOLES)
        ),
    ))
}

fn limits(named: Vec<(syn::Ident, Value)>) -> Result<String> {
    let mut parts = Vec::new();
    for (name, value) in &named {
        let text = name.to_string();
        let value = match value {
            Value::Number(number) => number.base10_digits().to_owned(),
            Value::Text(text) => json(&text.value()),
            _ => {
                return Err(Error::new(
                    name.span(),
                    format!(
                        "write a number, a size or a time: {name} = 1000, {name} = \"64MiB\" or {name} = \"30s\""
                    ),
                ));
            }
        };
        parts.push((text, Some(value)));
    }
    let parts: Vec<(&str, Option<String>)> = parts
        .iter()
        .map(|(name, value): &(String, _)| (name.as_str(), value.clone()))
        .collect();
    Ok(json_object(&parts))
}
