//! The regular expressions of the models, which are in Java's dialect.

use std::borrow::Cow;
use std::sync::OnceLock;

use fancy_regex::{Regex, RegexBuilder};

/// Steps of backtracking after which a value counts as one that does not match.
const BACKTRACK_LIMIT: usize = 1_000_000;
/// Repeats beyond this are counted while matching, and not unfolded when the pattern is compiled.
const MAX_UNFOLDED: u32 = 255;

/// A pattern, compiled when it is first needed.
#[derive(Debug)]
pub(super) struct Pattern {
    java: Cow<'static, str>,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    pub(super) fn new(java: Cow<'static, str>) -> Self {
        Self {
            java,
            compiled: OnceLock::new(),
        }
    }

    /// As the model has it.
    pub(super) fn java(&self) -> &str {
        &self.java
    }

    /// Whether the whole text matches, with or without anchors in the pattern.
    pub(super) fn matches(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| {
            compile(&self.java)
                .inspect_err(|error| tracing::error!(pattern = %self.java, %error, "a pattern is not understood"))
                .ok()
        });
        // A pattern that is not understood, which a test would find, refuses nothing.
        compiled
            .as_ref()
            .is_none_or(|regex| regex.is_match(text).unwrap_or(false))
    }
}

pub(super) fn compile(java: &str) -> Result<Regex, Box<fancy_regex::Error>> {
    RegexBuilder::new(&translate(java))
        .backtrack_limit(BACKTRACK_LIMIT)
        .delegate_size_limit(64 << 20)
        .build()
        .map_err(Box::new)
}

/// Writes out what the engine reads otherwise: Java's classes are those of ASCII, its `.` leaves out all ends of
/// lines, and a hyphen after a class within brackets is a hyphen.
fn translate(java: &str) -> String {
    let mut out = String::from(r"\A(?:");
    let mut chars = java.chars().peekable();
    let mut brackets = 0_u32;
    // Where what was last written begins, if it stands for one character.
    let mut atom = None;
    while let Some(c) = chars.next() {
        let at = out.len();
        match c {
            '\\' => {
                let escaped = chars.next().unwrap_or('\\');
                match class(escaped) {
                    Some(inside) => {
                        match (escaped.is_ascii_uppercase(), brackets) {
                            (true, _) => out.extend(["[^", inside, "]"]),
                            (false, 0) => out.extend(["[", inside, "]"]),
                            (false, _) => out.push_str(inside),
                        }
                        if brackets > 0 && chars.next_if_eq(&'-').is_some() {
                            out.push_str("\\-");
                        }
                    }
                    None => out.extend(['\\', escaped]),
                }
                if matches!(escaped, 'p' | 'P') {
                    out.extend(std::iter::from_fn(|| chars.next_if(|c| *c != '}')));
                }
                if brackets == 0 {
                    // A `}` is still to come after a property.
                    atom = (!escaped.is_ascii_digit() && !matches!(escaped, 'b' | 'B' | 'p' | 'P'))
                        .then_some(at);
                }
                continue;
            }
            '[' => {
                if brackets == 0 {
                    atom = Some(at);
                }
                brackets += 1;
            }
            ']' => brackets = brackets.saturating_sub(1),
            _ if brackets > 0 => {}
            '.' => {
                out.push_str(r"[^\n\r\x{85}\x{2028}\x{2029}]");
                atom = Some(at);
                continue;
            }
            '{' => {
                let inner: String = chars.clone().take_while(|c| *c != '}').collect();
                let many = inner
                    .split(',')
                    .filter_map(|n| n.parse::<u32>().ok())
                    .any(|n| n > MAX_UNFOLDED);
                if let Some(begin) = atom.take()
                    && many
                {
                    // What looks ahead is never unfolded.
                    out.insert_str(begin, "(?:(?=)");
                    out.push(')');
                }
            }
            '(' | ')' | '|' | '^' | '$' | '*' | '+' | '?' | '}' => atom = None,
            _ => atom = Some(at),
        }
        out.push(c);
    }
    out.push_str(r")\z");
    out
}

/// A class that has a letter, as what stands between brackets.
fn class(letter: char) -> Option<&'static str> {
    Some(match letter {
        'w' | 'W' => "0-9A-Za-z_",
        'd' | 'D' => "0-9",
        's' | 'S' => r"\t-\r\x20",
        _ => return None,
    })
}
