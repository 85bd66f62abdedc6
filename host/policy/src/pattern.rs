//! Patterns of names and paths.

/// `*` stands for any characters, `?` for one.
#[must_use]
pub fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && (pattern[p] == '?' || pattern[p] == text[t]) && pattern[p] != '*' {
            p += 1;
            t += 1;
        } else if p < pattern.len() && pattern[p] == '*' {
            back = Some((p, t));
            p += 1;
        } else if let Some((star, at)) = back {
            back = Some((star, at + 1));
            p = star + 1;
            t = at + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// A name, or a pattern with a trailing `*` for any rest.
#[must_use]
pub fn name_matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

/// Absolute, without `.`, `..`, doubled or trailing slashes and control characters.
#[must_use]
pub fn is_normal_path(path: &str) -> bool {
    path == "/"
        || (path.starts_with('/')
            && !path.chars().any(char::is_control)
            && path[1..]
                .split('/')
                .all(|part| !part.is_empty() && part != "." && part != ".."))
}

/// Whether `path` is `folder` or below it. Both normal.
pub(crate) fn is_below(path: &str, folder: &str) -> bool {
    folder == "/"
        || path
            .strip_prefix(folder)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether an exception (components may hold `*`) names `path` or a folder above it.
pub(crate) fn excepted(pattern: &str, path: &str) -> bool {
    let mut found = path.split('/').filter(|part| !part.is_empty());
    pattern
        .split('/')
        .filter(|part| !part.is_empty())
        .all(|wanted| {
            found
                .next()
                .is_some_and(|part| component_matches(wanted, part))
        })
}

/// `*` stands for any characters; without allocating.
fn component_matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return text.ends_with(part);
        }
        let Some(at) = text.find(part) else {
            return false;
        };
        text = &text[at + part.len()..];
    }
    true
}

/// A path pattern of a URL: `*` for any characters but `/`, `**` for any.
pub(crate) fn url_path_matches(pattern: &str, path: &str) -> bool {
    match spelling(path) {
        Spelling::Plain => url_glob(pattern.as_bytes(), path.as_bytes()),
        // Whoever is granted every path need not care where a segment ends.
        Spelling::HiddenSlash => pattern == "/**",
        Spelling::Ambiguous => false,
    }
}

/// How a server may read the path of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// As we do.
    Plain,
    /// With more segments than it shows.
    HiddenSlash,
    /// As leading elsewhere, or as nothing that we know.
    Ambiguous,
}

/// Servers decode more than once, end a segment at a semicolon, and take odd bytes for others.
const DECODINGS: usize = 8;

fn spelling(path: &str) -> Spelling {
    if is_ambiguous(path) {
        return Spelling::Ambiguous;
    }
    if !path.contains('%') {
        return Spelling::Plain;
    }
    let slashes = path.matches('/').count();
    let mut text = path.to_owned();
    for round in 0..DECODINGS {
        if !text.contains('%') {
            break;
        }
        let Some(decoded) = percent_decoded(&text, round == 0) else {
            return Spelling::Ambiguous;
        };
        if is_ambiguous(&decoded) {
            return Spelling::Ambiguous;
        }
        if decoded == text {
            break;
        }
        text = decoded;
        if round + 1 == DECODINGS && text.contains('%') {
            return Spelling::Ambiguous;
        }
    }
    if text.matches('/').count() == slashes {
        Spelling::Plain
    } else {
        Spelling::HiddenSlash
    }
}

/// Whether a path, decoded as far as it is, holds a dot segment in any guise, a backslash or a control character.
fn is_ambiguous(path: &str) -> bool {
    path.chars().any(|c| c == '\\' || c.is_control())
        || path.split('/').any(|segment| {
            let name = segment.split([';', '#', '?']).next().unwrap_or(segment);
            matches!(name.trim(), "." | "..")
        })
}

/// None for what is no escape or decodes to no text. A per cent sign that was written as one may stand alone later,
/// but not for the escapes of another kind (`%u002e`).
fn percent_decoded(text: &str, first: bool) -> Option<String> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        match (digit(bytes.get(at)), digit(bytes.get(at + 1))) {
            (Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).ok()?);
                at += 2;
            }
            _ if first || matches!(bytes.get(at), Some(b'u' | b'U')) => return None,
            _ => out.push(byte),
        }
    }
    String::from_utf8(out).ok()
}

fn url_glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        // `/x/**` also holds `/x`.
        [b'/', b'*', b'*'] if text.is_empty() => true,
        [b'*', b'*', rest @ ..] => (0..=text.len()).any(|at| url_glob(rest, &text[at..])),
        [b'*', rest @ ..] => {
            let end = text
                .iter()
                .position(|byte| *byte == b'/')
                .unwrap_or(text.len());
            (0..=end).any(|at| url_glob(rest, &text[at..]))
        }
        [first, rest @ ..] => text.first() == Some(first) && url_glob(rest, &text[1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::{excepted, glob, is_normal_path, url_path_matches};

    #[test]
    fn tables() {
        for (pattern, text, expected) in [
            ("Deploy*", "DeployApp", true),
            ("Deploy*", "Undeploy", false),
            ("*-prod", "a-prod", true),
            ("a?c", "abc", true),
            ("*", "", true),
            ("", "a", false),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
        for (path, expected) in [
            ("/", true),
            ("/a/b", true),
            ("/a/", false),
            ("//a", false),
            ("/a/../b", false),
            ("a", false),
            ("/a/.", false),
        ] {
            assert_eq!(is_normal_path(path), expected, "{path}");
        }
        for (pattern, path, expected) in [
            ("/releases/**", "/releases/1/a", true),
            ("/releases/**", "/releases", true),
            ("/releases/**", "/other", false),
            ("/releases/**", "/releases/../other", false),
            ("/releases/**", "/releases/%2e%2e/other", false),
            ("/a/*/c", "/a/b/c", true),
            ("/a/*/c", "/a/b/x/c", false),
            ("/**", "/anything", true),
            ("/health", "/healthz", false),
            ("/api/**", "/api/a%20b", true),
            ("/api/**", "/api/v1.2/x", true),
            ("/api/**", "/api/.well-known/y", true),
            ("/api/**", "/api/caf%C3%A9", true),
            ("/api/**", "/api/a;version=1/b", true),
            ("/api/**", "/api/...", true),
            ("/api/**", "/api/v1%2e2", true),
            ("/api/**", "/api/100%25", true),
            ("/api/**", "/api/100%25/x", true),
            ("/api/**", "/api/../admin", false),
            ("/api/**", "/api/..;/admin", false),
            ("/api/**", "/api/..;x=1/admin", false),
            ("/api/**", "/api/.;/..;/admin", false),
            ("/api/**", "/api/%2e%2e/admin", false),
            ("/api/**", "/api/%252e%252e/admin", false),
            ("/api/**", "/api/%25252e%25252e/admin", false),
            ("/api/**", "/api/..%00/admin", false),
            ("/api/**", "/api/..%09/admin", false),
            ("/api/**", "/api/..%20/admin", false),
            ("/api/**", "/api/..%23/admin", false),
            ("/api/**", "/api/..%3f/admin", false),
            ("/api/**", "/api/..%3b/admin", false),
            ("/api/**", "/api/%c0%ae%c0%ae/admin", false),
            ("/api/**", "/api/%25c0%25ae%25c0%25ae/admin", false),
            ("/api/**", "/api/%u002e%u002e/admin", false),
            ("/api/**", "/api/%25u002e%25u002e/admin", false),
            ("/api/**", "/api/.%%32%65/admin", false),
            ("/api/**", "/api/.%25%32%65/admin", false),
            ("/api/**", "/api/..%2fadmin", false),
            ("/api/**", "/api/x%2fy", false),
            ("/api/**", "/api/x%252fy", false),
            ("/api/**", "/api/..%5cadmin", false),
            ("/api/**", "/api/..\\admin", false),
            ("/api/**", "/api/100%", false),
            ("/api/**", "/api/%zz", false),
            ("/api/**", "/api/%2525252525252525252525252525252541", false),
            ("/**", "/x%2fy", true),
            ("/**", "/x/%2e%2e/y", false),
        ] {
            assert_eq!(
                url_path_matches(pattern, path),
                expected,
                "{pattern} {path}"
            );
        }
        assert!(excepted("/etc/shadow*", "/etc/shadow-"));
        assert!(excepted("/etc/ssl/private", "/etc/ssl/private/key"));
        assert!(!excepted("/etc/ssl/private", "/etc/ssl"));
    }
}
