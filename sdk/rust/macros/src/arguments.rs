//! What stands in the parentheses of an attribute: texts, words, and `name = value`.

use proc_macro2::Span;
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Error, Ident, LitInt, LitStr, Path, Result, Token, bracketed};

use crate::text::listed;

/// The value of a `name = value`.
pub(crate) enum Value {
    Text(LitStr),
    List(Vec<LitStr>, Span),
    Number(LitInt),
    Path(Path),
}

impl Value {
    fn span(&self) -> Span {
        match self {
            Self::Text(text) => text.span(),
            Self::List(_, span) => *span,
            Self::Number(number) => number.span(),
            Self::Path(path) => path.span(),
        }
    }
}

enum Argument {
    Text(LitStr),
    Word(Ident),
    Named(Ident, Value),
}

/// The arguments of one attribute.
pub(crate) struct Arguments {
    texts: Vec<LitStr>,
    words: Vec<Ident>,
    named: Vec<(Ident, Value)>,
}

impl Parse for Value {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.peek(LitStr) {
            Ok(Self::Text(input.parse()?))
        } else if input.peek(LitInt) {
            Ok(Self::Number(input.parse()?))
        } else if input.peek(syn::token::Bracket) {
            let content;
            let bracket = bracketed!(content in input);
            let list: Punctuated<LitStr, Token![,]> =
                content.parse_terminated(|input| input.parse(), Token![,])?;
            Ok(Self::List(list.into_iter().collect(), bracket.span.join()))
        } else if input.peek(Ident::peek_any) || input.peek(Token![::]) {
            Ok(Self::Path(input.parse()?))
        } else {
            Err(input.error("write a text in quotes, or several in brackets: [\"…\", \"…\"]"))
        }
    }
}

impl Parse for Argument {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.peek(LitStr) {
            return Ok(Self::Text(input.parse()?));
        }
        if !input.peek(Ident::peek_any) {
            return Err(input.error("write a text in quotes, or NAME = VALUE"));
        }
        let name = input.call(Ident::parse_any)?;
        if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            Ok(Self::Named(name, input.parse()?))
        } else {
            Ok(Self::Word(name))
        }
    }
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut arguments = Self {
            texts: Vec::new(),
            words: Vec::new(),
            named: Vec::new(),
        };
        for argument in input.parse_terminated(Argument::parse, Token![,])? {
            match argument {
                Argument::Text(text) => arguments.texts.push(text),
                Argument::Word(word) => arguments.words.push(word),
                Argument::Named(name, value) => {
                    if arguments.named.iter().any(|(other, _)| *other == name) {
                        return Err(Error::new(name.span(), format!("`{name}` is there twice")));
                    }
                    arguments.named.push((name, value));
                }
            }
        }
        Ok(arguments)
    }
}

impl Arguments {
    /// All texts that stand by themselves.
    pub(crate) fn texts(&mut self) -> Vec<LitStr> {
        std::mem::take(&mut self.texts)
    }

    /// The one text that stands by itself.
    pub(crate) fn text(&mut self) -> Option<LitStr> {
        (!self.texts.is_empty()).then(|| self.texts.remove(0))
    }

    /// Whether a word stands by itself.
    pub(crate) fn word(&mut self, word: &str) -> bool {
        let before = self.words.len();
        self.words.retain(|other| other != word);
        self.words.len() < before
    }

    /// All words that stand by themselves.
    pub(crate) fn words(&mut self) -> Vec<Ident> {
        std::mem::take(&mut self.words)
    }

    /// All `name = value`.
    pub(crate) fn all_named(&mut self) -> Vec<(Ident, Value)> {
        std::mem::take(&mut self.named)
    }

    fn named(&mut self, name: &str) -> Option<(Ident, Value)> {
        let index = self.named.iter().position(|(other, _)| other == name)?;
        Some(self.named.remove(index))
    }

    /// `name = "text"`.
    pub(crate) fn named_text(&mut self, name: &str) -> Result<Option<LitStr>> {
        match self.named(name) {
            None => Ok(None),
            Some((_, Value::Text(text))) => Ok(Some(text)),
            Some((_, other)) => Err(Error::new(
                other.span(),
                format!("write one text in quotes: {name} = \"…\""),
            )),
        }
    }

    /// `name = ["text", "text"]`; one text is a list of one.
    pub(crate) fn named_list(&mut self, name: &str) -> Result<Option<Vec<LitStr>>> {
        match self.named(name) {
            None => Ok(None),
            Some((_, Value::Text(text))) => Ok(Some(vec![text])),
            Some((_, Value::List(list, _))) => Ok(Some(list)),
            Some((_, other)) => Err(Error::new(
                other.span(),
                format!("write texts in brackets: {name} = [\"…\", \"…\"]"),
            )),
        }
    }

    /// `name = path::of::a::function`.
    pub(crate) fn named_path(&mut self, name: &str) -> Result<Option<Path>> {
        match self.named(name) {
            None => Ok(None),
            Some((_, Value::Path(path))) => Ok(Some(path)),
            Some((_, other)) => Err(Error::new(
                other.span(),
                format!("write the name of a function, without quotes: {name} = function"),
            )),
        }
    }

    /// Complains about what is not known, before anything is missed.
    pub(crate) fn check(&self, attribute: &str, known: &[&str], texts: usize) -> Result<()> {
        let mut error: Option<Error> = None;
        let mut complain = |span, message: String| {
            let new = Error::new(span, message);
            match &mut error {
                Some(error) => error.combine(new),
                None => error = Some(new),
            }
        };
        if let Some(text) = self.texts.get(texts) {
            complain(
                text.span(),
                format!("one text too many in #[{attribute}]; write one attribute for each"),
            );
        }
        let names = self.named.iter().map(|(name, _)| name);
        for name in self.words.iter().chain(names) {
            if !known.iter().any(|word| name == word) {
                let there = listed(known);
                complain(
                    name.span(),
                    format!("there is no `{name}` in #[{attribute}]; there are {there}"),
                );
            }
        }
        error.map_or(Ok(()), Err)
    }
}
