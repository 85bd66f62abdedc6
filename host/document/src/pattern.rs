//! Patterns in Java's dialect.

use fancy_regex::{Regex, RegexBuilder};

/// A compiled pattern.
#[derive(Debug)]
pub(crate) struct Pattern(Regex);

/// Steps of backtracking after which a match is given up.
const BACKTRACK_LIMIT: usize = 1_000_000;

impl Pattern {
    /// Compiles a pattern, translating what Java writes otherwise.
    pub(crate) fn compile(java: &str) -> Result<Self, String> {
        RegexBuilder::new(&translate(java))
            .backtrack_limit(BACKTRACK_LIMIT)
            .delegate_size_limit(64 << 20)
            .build()
            .map(Self)
            .map_err(|error| error.to_string())
    }

    /// Whether the pattern is found in the text.
    pub(crate) fn is_match(&self, text: &str) -> Result<bool, String> {
        self.0
            .is_match(text)
            .map_err(|_| "the pattern takes too long on this value".to_owned())
    }
}

/// From Java's dialect to that of the engine: quoted parts, a hyphen after a class within brackets, an unescaped
/// `[` and `&&` within brackets, POSIX classes by their Java names.
fn translate(java: &str) -> String {
    let chars: Vec<char> = java.chars().collect();
    let mut out = String::with_capacity(java.len() + 8);
    let mut depth = 0_usize;
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        let next = chars.get(at + 1).copied();
        match (c, next) {
            ('\\', Some('Q')) => {
                at += 2;
                while at < chars.len() && !(chars[at] == '\\' && chars.get(at + 1) == Some(&'E')) {
                    if !chars[at].is_alphanumeric() && chars[at].is_ascii() {
                        out.push('\\');
                    }
                    out.push(chars[at]);
                    at += 1;
                }
                at += 2;
                continue;
            }
            ('\\', Some('Z')) => {
                out.push_str("\\n?\\z");
                at += 2;
                continue;
            }
            ('\\', Some(class @ ('p' | 'P'))) if chars.get(at + 2) == Some(&'{') => {
                let name: String = chars[at + 3..].iter().take_while(|c| **c != '}').collect();
                let posix = match name.as_str() {
                    "Alpha" => "a-zA-Z",
                    "Digit" => "0-9",
                    "Alnum" => "a-zA-Z0-9",
                    "Upper" => "A-Z",
                    "Lower" => "a-z",
                    "Punct" => "!-/:-@\\[-`{-~",
                    "Space" => "\\s",
                    "XDigit" => "0-9a-fA-F",
                    "ASCII" => "\\x00-\\x7F",
                    "Print" => "\\x20-\\x7E",
                    "Graph" => "!-~",
                    "Blank" => " \\t",
                    "Cntrl" => "\\x00-\\x1F\\x7F",
                    _ => "",
                };
                if !posix.is_empty() {
                    match (depth, class) {
                        (0, 'p') => out.push_str(&format!("[{posix}]")),
                        (0, _) => out.push_str(&format!("[^{posix}]")),
                        (_, 'p') => out.push_str(posix),
                        _ => out.push_str(&format!("[^{posix}]")),
                    }
                    at += name.chars().count() + 4;
                    continue;
                }
                out.push_str(&format!("\\{class}"));
                at += 2;
                continue;
            }
            ('\\', Some(escaped)) => {
                // Java lets any character but letters be escaped.
                if escaped.is_alphanumeric()
                    || !escaped.is_ascii()
                    || "\\.+*?()|[]{}^$#&-~/".contains(escaped)
                {
                    if escaped != '/' {
                        out.push('\\');
                    }
                    out.push(escaped);
                } else {
                    if depth == 0 && !"'\"`<>=!:;,@%_ ".contains(escaped) {
                        out.push('\\');
                    }
                    out.push(escaped);
                }
                at += 2;
                // A class cannot begin a range, so the hyphen after it is one.
                if depth > 0
                    && "wdsWDS".contains(escaped)
                    && chars.get(at) == Some(&'-')
                    && chars.get(at + 1) != Some(&']')
                {
                    out.push_str("\\-");
                    at += 1;
                }
                continue;
            }
            ('[', _) => {
                out.push('[');
                depth += 1;
                at += 1;
                if chars.get(at) == Some(&'^') {
                    out.push('^');
                    at += 1;
                }
                continue;
            }
            (']', _) if depth > 0 => depth -= 1,
            ('-' | '~', Some(same)) if depth > 0 && same == c => out.push('\\'),
            _ => {}
        }
        out.push(c);
        at += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::Pattern;

    #[test]
    fn javas_dialect_is_understood() {
        for (pattern, text, expected) in [
            (r"^[\w-\/.]+$", "a-b/c.d", true),
            (r"^(?!bad)\w+$", "good", true),
            (r"^(?!bad)\w+$", "bad", false),
            (r"^\p{Alpha}+$", "abc", true),
            (r"^[\p{Alnum}_]+$", "a1_", true),
            (r"^\Qa.b\E$", "a.b", true),
            (r"^\Qa.b\E$", "axb", false),
            (r"^a++b$", "aab", true),
            (r"^[a-z&&[^aeiou]]+$", "xyz", true),
            (r"^[a-z&&[^aeiou]]+$", "a", false),
            (
                r"^arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$",
                "arn:aws:iam::123456789012:role/x",
                true,
            ),
            (r"^$|^[\w-]{1,}$", "", true),
            (r"\d", "a1b", true),
            (r"^(\=|\:)$", ":", true),
            (r"^[^--]$", "x", true),
        ] {
            assert_eq!(
                Pattern::compile(pattern).unwrap().is_match(text).unwrap(),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn a_pattern_that_explodes_is_given_up() {
        let pattern = Pattern::compile(r"^(a+)+\1$").unwrap();
        assert_ne!(pattern.is_match(&format!("{}b", "a".repeat(64))), Ok(true));
    }
}
