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
    // What a server may read differently from us is in no pattern.
    let lower = path.to_ascii_lowercase();
    if ["%2e", "%2f", "%5c", "\\", "/../", "/./"]
        .iter()
        .any(|trick| lower.contains(trick))
        || lower.ends_with("/..")
        || lower.ends_with("/.")
    {
        return pattern == "/**" && !lower.contains("..");
    }
    url_glob(pattern.as_bytes(), path.as_bytes())
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
