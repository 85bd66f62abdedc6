//! From Java's dialect of patterns to that of the engine.
//!
//! Everything that the two read differently is written out: classes are those of ASCII, letters without regard to
//! case are pairs of letters, and characters within brackets are written by number.

use crate::java_class::{SPACE, inside_of};

/// Deeper groups than any real pattern has; a guard for the stack.
const MAX_DEPTH: usize = 200;
/// Repeats of one character beyond this are counted by the engine while it matches, and not unfolded into as many
/// states when the pattern is compiled.
const MAX_UNFOLDED: u32 = 255;

const WORD: &str = "a-zA-Z0-9_";
const HORIZONTAL: &str =
    "\\t\\x20\\x{A0}\\x{1680}\\x{180E}\\x{2000}-\\x{200A}\\x{202F}\\x{205F}\\x{3000}";
const VERTICAL: &str = "\\n-\\r\\x{85}\\x{2028}\\x{2029}";
const TERMINATORS: &str = "\\n\\r\\x{85}\\x{2028}\\x{2029}";

/// The same pattern for the engine.
pub(crate) fn translate(java: &str) -> Result<String, String> {
    let chars = unquote(java);
    let groups = chars
        .windows(2)
        .filter(|pair| pair[0] == '(' && pair[1] != '?')
        .count() as u32
        + chars
            .windows(4)
            .filter(|four| four[..3] == ['(', '?', '<'] && !matches!(four[3], '=' | '!'))
            .count() as u32;
    let mut reader = Reader {
        chars,
        at: 0,
        flags: Flags::default(),
        groups,
    };
    let out = reader.alternatives(0)?;
    if reader.at < reader.chars.len() {
        return Err("there is a `)` without its `(`".into());
    }
    Ok(out)
}

/// `\Q…\E` written out with a backslash before each character that needs one.
fn unquote(java: &str) -> Vec<char> {
    let chars: Vec<char> = java.chars().collect();
    let mut out = Vec::with_capacity(chars.len());
    let mut at = 0;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('\\', Some('Q')) => {
                at += 2;
                while at < chars.len() && !(chars[at] == '\\' && chars.get(at + 1) == Some(&'E')) {
                    if chars[at].is_ascii() && !chars[at].is_ascii_alphanumeric() {
                        out.push('\\');
                    }
                    out.push(chars[at]);
                    at += 1;
                }
                at += 2;
            }
            ('\\', Some(escaped)) => {
                out.extend(['\\', *escaped]);
                at += 2;
            }
            (c, _) => {
                out.push(c);
                at += 1;
            }
        }
    }
    out
}

#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    ignore_case: bool,
    unicode_case: bool,
    unicode_classes: bool,
    multi_line: bool,
    dot_all: bool,
    unix_lines: bool,
    comments: bool,
}

struct Reader {
    chars: Vec<char>,
    at: usize,
    flags: Flags,
    /// Groups that can be referred back to.
    groups: u32,
}

/// A part of a pattern, and whether it stands for exactly one character.
struct Atom {
    text: String,
    single: bool,
}

fn single(text: String) -> Atom {
    Atom { text, single: true }
}

fn other(text: impl Into<String>) -> Atom {
    Atom {
        text: text.into(),
        single: false,
    }
}

fn code(c: char) -> String {
    format!("\\x{{{:X}}}", u32::from(c))
}

impl Reader {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek(0)?;
        self.at += 1;
        Some(c)
    }

    fn take(&mut self, text: &str) -> bool {
        let found = text
            .chars()
            .enumerate()
            .all(|(ahead, c)| self.peek(ahead) == Some(c));
        if found {
            self.at += text.chars().count();
        }
        found
    }

    /// White space and remarks, where the pattern says that they do not count.
    fn skip_comments(&mut self) {
        while self.flags.comments {
            match self.peek(0) {
                Some(c) if c.is_ascii_whitespace() => self.at += 1,
                Some('#') => {
                    while self.peek(0).is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    /// Up to the end of the group or of the pattern.
    fn alternatives(&mut self, depth: usize) -> Result<String, String> {
        if depth > MAX_DEPTH {
            return Err(format!("its groups are more than {MAX_DEPTH} deep"));
        }
        let outside = self.flags;
        let mut out = String::new();
        loop {
            self.skip_comments();
            match self.peek(0) {
                None | Some(')') => break,
                Some('|') => {
                    self.at += 1;
                    out.push('|');
                }
                Some(_) => {
                    let atom = self.atom(depth)?;
                    self.skip_comments();
                    self.quantified(&atom, &mut out)?;
                }
            }
        }
        self.flags = outside;
        Ok(out)
    }

    fn quantified(&mut self, atom: &Atom, out: &mut String) -> Result<(), String> {
        let Some((min, max)) = self.quantifier()? else {
            out.push_str(&atom.text);
            return Ok(());
        };
        let many = min > MAX_UNFOLDED || max.is_some_and(|max| max > MAX_UNFOLDED);
        let mut text = if many && atom.single {
            // What looks ahead is never unfolded.
            format!("(?:(?=){})", atom.text)
        } else if atom.single {
            atom.text.clone()
        } else {
            format!("(?:{})", atom.text)
        };
        match (min, max) {
            (0, None) => text.push('*'),
            (1, None) => text.push('+'),
            (0, Some(1)) => text.push('?'),
            (min, None) => text.push_str(&format!("{{{min},}}")),
            (min, Some(max)) => text.push_str(&format!("{{{min},{max}}}")),
        }
        if self.take("+") {
            out.push_str(&format!("(?>{text})"));
        } else {
            out.push_str(&text);
            if self.take("?") {
                out.push('?');
            }
        }
        Ok(())
    }

    fn quantifier(&mut self) -> Result<Option<(u32, Option<u32>)>, String> {
        let found = match self.peek(0) {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => return self.braces(),
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(found))
    }

    /// `{2}`, `{2,}` or `{2,3}`; anything else in braces is text.
    fn braces(&mut self) -> Result<Option<(u32, Option<u32>)>, String> {
        let inner: String = self.chars[self.at + 1..]
            .iter()
            .take_while(|c| **c != '}')
            .collect();
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let (min, max) = inner
            .split_once(',')
            .map_or((inner.as_str(), None), |(min, max)| (min, Some(max)));
        if !digits(min) || !max.is_none_or(|max| max.is_empty() || digits(max)) {
            return Ok(None);
        }
        let number = |text: &str| {
            text.parse::<u32>()
                .map_err(|_| format!("`{{{inner}}}` is too much"))
        };
        let min = number(min)?;
        let max = match max {
            None => Some(min),
            Some("") => None,
            Some(max) => Some(number(max)?),
        };
        if max.is_some_and(|max| max < min) {
            return Err(format!("`{{{inner}}}` is out of order"));
        }
        self.at += inner.chars().count() + 2;
        Ok(Some((min, max)))
    }

    fn atom(&mut self, depth: usize) -> Result<Atom, String> {
        match self.next() {
            Some('(') => self.group(depth),
            Some('[') => {
                let class = self.class(depth)?;
                Ok(single(
                    if self.flags.ignore_case && self.flags.unicode_case {
                        format!("(?i:{class})")
                    } else {
                        class
                    },
                ))
            }
            Some('.') => Ok(single(if self.flags.dot_all {
                "[\\x{0}-\\x{10FFFF}]".into()
            } else if self.flags.unix_lines {
                "[^\\n]".into()
            } else {
                format!("[^{TERMINATORS}]")
            })),
            Some('^') if self.flags.multi_line => Ok(other("(?m:^)")),
            Some('$') if self.flags.multi_line => Ok(other("(?m:$)")),
            Some(c @ ('^' | '$')) => Ok(other(c)),
            Some('\\') => self.escape(),
            Some(c @ ('*' | '+' | '?')) => Err(format!("there is nothing for `{c}` to repeat")),
            Some(c) => Ok(self.literal(c)),
            None => Err("it ends too early".into()),
        }
    }

    fn literal(&self, c: char) -> Atom {
        single(if self.flags.ignore_case && self.flags.unicode_case {
            format!("(?i:{})", code(c))
        } else if self.flags.ignore_case && c.is_ascii_alphabetic() {
            format!("[{}{}]", c.to_ascii_lowercase(), c.to_ascii_uppercase())
        } else if c.is_ascii_alphanumeric() || !c.is_ascii() {
            c.into()
        } else {
            code(c)
        })
    }

    fn group(&mut self, depth: usize) -> Result<Atom, String> {
        let outside = self.flags;
        let mut begin = "(".to_owned();
        if self.take("?") {
            let known = ["<=", "<!", ":", "=", "!", ">"]
                .into_iter()
                .find(|mark| self.take(mark));
            if let Some(mark) = known {
                begin = format!("(?{mark}");
            } else if self.take("<") {
                begin = format!("(?<{}>", self.name()?);
            } else if self.set_flags()? {
                begin = "(?:".into();
            } else {
                // They count up to the end of the group around them.
                return Ok(other("(?:)"));
            }
        }
        let inner = self.alternatives(depth + 1)?;
        self.flags = outside;
        if self.take(")") {
            Ok(other(format!("{begin}{inner})")))
        } else {
            Err("there is a `(` without its `)`".into())
        }
    }

    /// A name up to its `>`.
    fn name(&mut self) -> Result<String, String> {
        let mut name = String::new();
        loop {
            match self.next() {
                Some('>') if !name.is_empty() => return Ok(name),
                Some(c) if c.is_ascii_alphanumeric() => name.push(c),
                _ => return Err("the name of a group is of letters and digits".into()),
            }
        }
    }

    /// `i-s:` or `i-s)`; tells whether a group follows.
    fn set_flags(&mut self) -> Result<bool, String> {
        let mut on = true;
        loop {
            let c = self.next();
            let flag = match c {
                Some('i') => &mut self.flags.ignore_case,
                Some('u') => &mut self.flags.unicode_case,
                Some('U') => &mut self.flags.unicode_classes,
                Some('m') => &mut self.flags.multi_line,
                Some('s') => &mut self.flags.dot_all,
                Some('d') => &mut self.flags.unix_lines,
                Some('x') => &mut self.flags.comments,
                Some('-') => {
                    on = false;
                    continue;
                }
                Some(':') => return Ok(true),
                Some(')') => return Ok(false),
                Some(c) => return Err(format!("there is no flag `{c}`")),
                None => return Err("there is a `(` without its `)`".into()),
            };
            *flag = on;
            if c == Some('U') && on {
                self.flags.unicode_case = true;
            }
        }
    }

    fn escape(&mut self) -> Result<Atom, String> {
        if let Some((positive, inside)) = self.set()? {
            let not = if positive { "" } else { "^" };
            return Ok(single(format!("[{not}{inside}]")));
        }
        let c = self.peek(0).ok_or("it ends with a backslash")?;
        let word = if self.flags.unicode_classes {
            "[\\p{L}\\p{M}\\p{N}\\p{Pc}]".to_owned()
        } else {
            format!("[{WORD}]")
        };
        let atom = match c {
            'b' => other(format!("(?:(?<={word})(?!{word})|(?<!{word})(?={word}))")),
            'B' => other(format!("(?:(?<={word})(?={word})|(?<!{word})(?!{word}))")),
            'A' | 'G' => other("\\A"),
            'z' => other("\\z"),
            'Z' => other(format!("(?=(?:\\r\\n|[{TERMINATORS}])?\\z)")),
            'R' => other(format!("(?:\\r\\n|[{VERTICAL}])")),
            'X' => other("(?:\\P{M}\\p{M}*)"),
            'k' => {
                self.at += 1;
                if !self.take("<") {
                    return Err("`\\k` has no name".into());
                }
                return Ok(other(format!("\\k<{}>", self.name()?)));
            }
            '1'..='9' => return Ok(self.back_reference()),
            _ => {
                let c = self.character()?;
                return Ok(self.literal(c));
            }
        };
        self.at += 1;
        Ok(atom)
    }

    /// As many digits as there are groups for.
    fn back_reference(&mut self) -> Atom {
        let mut number = 0;
        while let Some(digit) = self.peek(0).and_then(|c| c.to_digit(10)) {
            let longer = number * 10 + digit;
            if number > 0 && longer > self.groups {
                break;
            }
            number = longer;
            self.at += 1;
        }
        other(format!("(?:\\{number})"))
    }

    /// After a backslash: a set of characters, as what stands between brackets; false if it is all others.
    fn set(&mut self) -> Result<Option<(bool, String)>, String> {
        let unicode = self.flags.unicode_classes;
        let c = self.peek(0).unwrap_or(' ');
        let inside = match c.to_ascii_lowercase() {
            'd' if unicode => "\\p{Nd}",
            'd' => "0-9",
            'w' if unicode => "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}",
            'w' => WORD,
            's' if unicode => "\\p{White_Space}",
            's' => SPACE,
            'h' => HORIZONTAL,
            'v' => VERTICAL,
            'p' => {
                self.at += 1;
                return Ok(Some((c == 'p', self.property()?)));
            }
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some((c.is_ascii_lowercase(), inside.to_owned())))
    }

    fn property(&mut self) -> Result<String, String> {
        let mut name = String::new();
        if self.take("{") {
            loop {
                match self.next() {
                    Some('}') => break,
                    Some(c) if c.is_ascii_alphanumeric() || "_-= ".contains(c) => name.push(c),
                    _ => return Err("the name of a class is not closed".into()),
                }
            }
        } else {
            name.extend(self.next());
        }
        Ok(inside_of(&name))
    }

    /// After a backslash: one character.
    fn character(&mut self) -> Result<char, String> {
        let c = self.next().ok_or("it ends with a backslash")?;
        let number = match c {
            't' => return Ok('\t'),
            'n' => return Ok('\n'),
            'r' => return Ok('\r'),
            'f' => return Ok('\u{c}'),
            'a' => return Ok('\u{7}'),
            'e' => return Ok('\u{1b}'),
            'c' => {
                let control = self.next().ok_or("`\\c` names no character")?;
                u32::from(control) ^ 64
            }
            '0' => {
                let mut number = 0;
                for _ in 0..3 {
                    let Some(digit) = self.peek(0).and_then(|c| c.to_digit(8)) else {
                        break;
                    };
                    if number * 8 + digit > 0o377 {
                        break;
                    }
                    number = number * 8 + digit;
                    self.at += 1;
                }
                number
            }
            'x' if self.take("{") => {
                let digits: String = self.chars[self.at..]
                    .iter()
                    .take_while(|c| **c != '}')
                    .collect();
                self.at += digits.len() + 1;
                u32::from_str_radix(&digits, 16).unwrap_or(u32::MAX)
            }
            'x' => self.hexadecimal(2)?,
            'u' => self.hexadecimal(4)?,
            c if c.is_ascii_alphabetic() => return Err(format!("`\\{c}` means nothing")),
            c => return Ok(c),
        };
        char::from_u32(number).ok_or_else(|| format!("`\\{c}` names no character"))
    }

    fn hexadecimal(&mut self, count: usize) -> Result<u32, String> {
        let mut number = 0;
        for _ in 0..count {
            let digit = self.next().and_then(|c| c.to_digit(16));
            number = number * 16 + digit.ok_or("a hexadecimal digit is missing")?;
        }
        Ok(number)
    }

    /// After `[`, up to and with the `]` that belongs to it.
    fn class(&mut self, depth: usize) -> Result<String, String> {
        if depth > MAX_DEPTH {
            return Err(format!("its classes are more than {MAX_DEPTH} deep"));
        }
        let mut out = "[".to_owned();
        if self.take("^") {
            out.push('^');
        }
        let begin = out.len();
        loop {
            self.skip_comments();
            if self.take("&&") {
                while self.take("&") {}
                out.push_str("&&");
                continue;
            }
            match self.next() {
                None => return Err("there is a `[` without its `]`".into()),
                Some(']') if out.len() > begin => break,
                Some('[') => out.push_str(&self.class(depth + 1)?),
                Some('\\') => match self.set()? {
                    Some((true, inside)) => out.push_str(&inside),
                    Some((false, inside)) => out.push_str(&format!("[^{inside}]")),
                    None => {
                        let from = self.character()?;
                        self.range(from, &mut out)?;
                    }
                },
                Some(from) => self.range(from, &mut out)?,
            }
        }
        out.push(']');
        Ok(out)
    }

    /// A character within brackets, with the end of its range if it has one.
    fn range(&mut self, from: char, out: &mut String) -> Result<(), String> {
        let mut to = from;
        let set = |c: Option<char>| c.is_some_and(|c| "dDwWsShHvVpP".contains(c));
        if self.peek(0) == Some('-') {
            match self.peek(1) {
                None | Some(']' | '[') => {}
                // A class is no end of a range, so the hyphen is one.
                Some('\\') if set(self.peek(2)) => {}
                Some('\\') => {
                    self.at += 2;
                    to = self.character()?;
                }
                Some(c) => {
                    self.at += 2;
                    to = c;
                }
            }
        }
        if to < from {
            return Err(format!("the range `{from}-{to}` is out of order"));
        }
        let mut push = |from: char, to: char| {
            out.push_str(&code(from));
            // The engine takes `[:` for the beginning of a class with a name, and `[:-:` not.
            if to > from || from == ':' {
                out.push('-');
                out.push_str(&code(to));
            }
        };
        push(from, to);
        if self.flags.ignore_case {
            for (low, high, turn) in [('a', 'z', false), ('A', 'Z', true)] {
                let (low, high) = (from.max(low), to.min(high));
                if low <= high {
                    let turned = |c: char| {
                        if turn {
                            c.to_ascii_lowercase()
                        } else {
                            c.to_ascii_uppercase()
                        }
                    };
                    push(turned(low), turned(high));
                }
            }
        }
        Ok(())
    }
}
