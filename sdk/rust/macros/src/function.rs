//! The author's function: what it takes and returns.

use syn::{Error, Expr, ExprLit, FnArg, ItemFn, Lit, Meta, Result, ReturnType, Type};

/// What the function takes.
pub(crate) struct Signature {
    pub(crate) context: bool,
    pub(crate) inputs: Option<Type>,
}

/// Looks at the signature of the function. `what` is `action` or `collector`.
pub(crate) fn signature(function: &ItemFn, what: &str) -> Result<Signature> {
    let signature = &function.sig;
    let shape = match what {
        "action" => "fn name(context: &Context, inputs: Inputs) -> Result<Outputs, Failure>",
        _ => "fn name(context: &Context, settings: Settings) -> Result<Vec<Item>, Failure>",
    };
    if let Some(word) = &signature.asyncness {
        return Err(Error::new_spanned(
            word,
            format!(
                "the function is not `async`: calls of the host wait by themselves; write {shape}"
            ),
        ));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &signature.generics,
            format!(
                "the function has no generic parameters, since the host calls it; write {shape}"
            ),
        ));
    }
    if let ReturnType::Default = signature.output {
        return Err(Error::new(
            signature.ident.span(),
            format!("the function returns a Result; write {shape}"),
        ));
    }
    let mut found = Signature {
        context: false,
        inputs: None,
    };
    for argument in &signature.inputs {
        let FnArg::Typed(argument) = argument else {
            return Err(Error::new_spanned(
                argument,
                format!("the function stands by itself, without `self`; write {shape}"),
            ));
        };
        match &*argument.ty {
            Type::Reference(_) if !found.context && found.inputs.is_none() => found.context = true,
            Type::Reference(reference) if found.inputs.is_none() => {
                return Err(Error::new_spanned(
                    reference,
                    "the inputs are the function's own: write the type without `&`",
                ));
            }
            kind if found.inputs.is_none() => found.inputs = Some(kind.clone()),
            _ => {
                return Err(Error::new_spanned(
                    argument,
                    format!(
                        "the function takes the context and its inputs, in this order; write {shape}"
                    ),
                ));
            }
        }
    }
    Ok(found)
}

/// The first paragraph of the function's comment.
pub(crate) fn description(function: &ItemFn) -> Option<String> {
    let lines = function.attrs.iter().filter_map(|attribute| {
        let Meta::NameValue(pair) = &attribute.meta else {
            return None;
        };
        match &pair.value {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text),
                ..
            }) if pair.path.is_ident("doc") => Some(text.value()),
            _ => None,
        }
    });
    let text: Vec<String> = lines.collect();
    let text = text.join("\n");
    let words: Vec<&str> = text
        .lines()
        .map(str::trim)
        .skip_while(|line| line.is_empty())
        .take_while(|line| !line.is_empty())
        .collect();
    (!words.is_empty()).then(|| words.join(" "))
}
