//! JSON as the part of YAML that it nearly is.

use crate::diagnostics::{Diagnostic, Position};

/// Whether brackets are nested no deeper than that: the parser of YAML would take long to find out.
pub(crate) fn check_depth(source: &str, most: usize) -> Result<(), Diagnostic> {
    let (mut depth, mut line, mut column) = (0_usize, 1, 0);
    let (mut quoted, mut escaped) = (false, false);
    for c in source.chars() {
        column += 1;
        match c {
            '\n' => (line, column) = (line + 1, 0),
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '{' | '[' if !quoted => {
                depth += 1;
                if depth > most {
                    return Err(Diagnostic::error(
                        "too-deep",
                        Position { line, column },
                        format!("more than {most} levels of nesting"),
                    ));
                }
            }
            '}' | ']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// The same text as YAML reads it, everything at its place. A tab between the tokens is white space, for YAML it is
/// not always; within strings there is none. A character that JSON writes as two escapes is one for YAML, and as
/// short as that is, so far is what comes after the string moved away from it.
pub(crate) fn as_yaml(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    let mut quoted = false;
    let mut room = 0;
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        match c {
            '\t' => out.push(' '),
            '"' => {
                quoted = !quoted;
                out.push(c);
                if !quoted {
                    out.extend(std::iter::repeat_n(' ', std::mem::take(&mut room)));
                }
            }
            '\\' if quoted => {
                if let Some(pair) = pair(rest) {
                    let text = format!("\\U{:08X}", u32::from(pair));
                    length = 12;
                    room += length - text.len();
                    out.push_str(&text);
                } else {
                    // The escaped character is no quote that ends the string.
                    length += rest[1..].chars().next().map_or(0, char::len_utf8);
                    out.push_str(&rest[..length]);
                }
            }
            c => out.push(c),
        }
        rest = &rest[length..];
    }
    out
}

/// The character of a pair of escapes at the beginning of the text.
fn pair(text: &str) -> Option<char> {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let pair = [unit(0)?, unit(6)?];
    char::decode_utf16(pair)
        .next()?
        .ok()
        .filter(|c| c.len_utf16() == 2)
}
