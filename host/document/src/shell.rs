//! What bash knows and a POSIX shell does not.

use std::sync::OnceLock;

use fancy_regex::Regex;

/// Where a command can begin.
const COMMAND: &str = r"(?m)(?:^|[;&|(){!`]|\b(?:then|do|else|elif|if|while|until)\b)[ \t]*";

/// What it looks like, after [`COMMAND`] or anywhere, and what it is.
const AT_COMMAND: &[(&str, &str)] = &[
    (r"\[\[\s", "[[ … ]]"),
    (r"\(\(", "(( … ))"),
    (r"for[ \t]*\(\(", "for (( … ))"),
    (r"function[ \t]+\w", "the word function"),
    (r"(?:declare|typeset)\s", "declare"),
    (r"source\s", "source"),
    (r"(?:pushd|popd)\b", "pushd"),
    (r"shopt\s", "shopt"),
    (r"let\s", "let"),
    (r"(?:mapfile|readarray)\b", "mapfile"),
    (r"select\s+\w+\s+in\b", "select"),
    (r"set\s[^\n;]*\bpipefail\b", "pipefail"),
    (r"(?:\[|test)\s[^\n;|&]*\s==\s", "== in [ … ]"),
    (r"(?:local\s+|export\s+|readonly\s+)?\w+\+?=\(", "an array"),
    (r"\w+\+=", "+="),
];
const ANYWHERE: &[(&str, &str)] = &[
    (r"<<<", "a here-string"),
    (r"(?<=\s)[<>]\(", "process substitution"),
    (r"&>", "&>"),
    (r"\|&", "|&"),
    (r"\$'", "$'…'"),
    (r"\$\{!", "indirection"),
    (r"\$\{\w+\[", "an array"),
    (r"\$\{\w+/", "${…/…/…}"),
    (r"\$\{\w+:[ \t]*[0-9$(]", "${…:…:…}"),
    (r"\$\{\w+(?:\^|,)", "${…^^}"),
    (
        r"\$\{?(?:RANDOM|PIPESTATUS|FUNCNAME|BASH_\w+)\b",
        "a variable of bash",
    ),
    (
        r"(?<![\w$}])\w*\{\w+\.\.\$?\w+(?:\.\.\w+)?\}",
        "a brace range",
    ),
    (
        r"(?<![$\w}])[\w./-]*\{[\w./-]*(?:,[\w./-]*)+\}",
        "a brace expansion",
    ),
];

fn table() -> &'static [(Regex, &'static str)] {
    static TABLE: OnceLock<Vec<(Regex, &'static str)>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let commands = AT_COMMAND
            .iter()
            .map(|(text, what)| (format!("{COMMAND}{text}"), *what));
        let others = ANYWHERE
            .iter()
            .map(|(text, what)| ((*text).to_owned(), *what));
        commands
            .chain(others)
            .filter_map(|(text, what)| Some((Regex::new(&text).ok()?, what)))
            .collect()
    })
}

/// The first thing in a script that only bash knows, if it is sh that runs it.
pub(crate) fn bashism(script: &str) -> Option<&'static str> {
    if let Some(line) = script.strip_prefix("#!") {
        let mut words = line.lines().next()?.split_whitespace();
        let mut program = words.next()?.rsplit('/').next()?;
        if program == "env" {
            program = words.find(|word| !word.starts_with('-'))?;
        }
        if !matches!(program, "sh" | "dash" | "ash") {
            return None;
        }
    }
    let code = code(script, 0);
    table()
        .iter()
        .find(|(pattern, _)| pattern.is_match(&code).unwrap_or(false))
        .map(|(_, what)| *what)
}

/// Deeper substitutions than anybody writes; a guard for the stack.
const MAX_DEPTH: usize = 16;

/// The script without remarks, quoted text and here-documents; of text in double quotes, what is put into it.
fn code(script: &str, depth: usize) -> String {
    let chars: Vec<char> = script.chars().collect();
    let mut out = String::with_capacity(script.len());
    let mut at = 0;
    let mut documents: Vec<String> = Vec::new();
    while at < chars.len() {
        let c = chars[at];
        match c {
            '\\' => {
                out.push('_');
                at += 2;
                continue;
            }
            '#' if begins_word(&out) => {
                at = line_end(&chars, at);
                continue;
            }
            '\'' => {
                // Within $'…' a backslash keeps the quote from ending it.
                let escapes = out.ends_with('$');
                out.push('\'');
                at += 1;
                while at < chars.len() && chars[at] != '\'' {
                    at += if escapes && chars[at] == '\\' { 2 } else { 1 };
                }
                out.push('\'');
            }
            '"' => {
                at = quoted(&chars, at + 1, depth, &mut out);
                continue;
            }
            '<' if chars.get(at + 1) == Some(&'<') && chars.get(at + 2) != Some(&'<') => {
                if let Some((end, word)) = here_document(&chars, at + 2)
                    && !open_arithmetic(&out)
                {
                    documents.push(word);
                    at = end;
                    continue;
                }
                out.push_str("<<");
                at += 2;
                continue;
            }
            '<' if chars[at..].starts_with(&['<', '<', '<']) => {
                out.push_str("<<<");
                at += 3;
                continue;
            }
            '\n' => {
                out.push(c);
                at += 1;
                for word in documents.drain(..) {
                    at = after_document(&chars, at, &word);
                }
                continue;
            }
            c => out.push(c),
        }
        at += 1;
    }
    out
}

fn begins_word(before: &str) -> bool {
    before
        .chars()
        .next_back()
        .is_none_or(|c| c.is_whitespace() || ";&|()".contains(c))
}

fn line_end(chars: &[char], from: usize) -> usize {
    (from..chars.len())
        .find(|at| chars[*at] == '\n')
        .unwrap_or(chars.len())
}

/// `$((1 << two))` is no here-document.
fn open_arithmetic(before: &str) -> bool {
    let line = before.rsplit('\n').next().unwrap_or(before);
    line.rfind("((")
        .is_some_and(|open| !line[open..].contains("))"))
}

/// Text in double quotes up to its end: what is put into it is code.
fn quoted(chars: &[char], mut at: usize, depth: usize, out: &mut String) -> usize {
    out.push('"');
    while at < chars.len() && chars[at] != '"' {
        match (chars[at], chars.get(at + 1)) {
            ('\\', _) => at += 2,
            ('$', Some(open @ ('{' | '('))) => {
                let close = if *open == '{' { '}' } else { ')' };
                let end = matching(chars, at + 1, *open, close);
                let inner: String = chars[(at + 2).min(end)..end].iter().collect();
                out.push('$');
                out.push(*open);
                if depth < MAX_DEPTH {
                    out.push_str(&code(&inner, depth + 1));
                }
                out.push(close);
                at = end + 1;
            }
            ('$', Some(c)) if c.is_ascii_alphabetic() => {
                out.push('$');
                at += 1;
                while let Some(c) = chars.get(at).filter(|c| c.is_ascii_alphanumeric()) {
                    out.push(*c);
                    at += 1;
                }
                out.push(' ');
            }
            _ => at += 1,
        }
    }
    out.push('"');
    at + 1
}

/// Where the bracket at `from` is closed.
fn matching(chars: &[char], from: usize, open: char, close: char) -> usize {
    let mut depth = 0_usize;
    for (at, c) in chars.iter().enumerate().skip(from) {
        if *c == open {
            depth += 1;
        } else if *c == close {
            depth -= 1;
            if depth == 0 {
                return at;
            }
        }
    }
    chars.len()
}

/// The word after `<<`, and where it ends.
fn here_document(chars: &[char], mut at: usize) -> Option<(usize, String)> {
    if chars.get(at) == Some(&'-') {
        at += 1;
    }
    while matches!(chars.get(at), Some(' ' | '\t')) {
        at += 1;
    }
    let first = *chars.get(at)?;
    if !(first.is_alphabetic() || matches!(first, '_' | '\'' | '"' | '\\')) {
        return None;
    }
    let mut word = String::new();
    while let Some(c) = chars.get(at) {
        if c.is_whitespace() || ";&|()<>".contains(*c) {
            break;
        }
        if !matches!(c, '\'' | '"' | '\\') {
            word.push(*c);
        }
        at += 1;
    }
    Some((at, word))
}

fn after_document(chars: &[char], mut at: usize, word: &str) -> usize {
    while at < chars.len() {
        let end = line_end(chars, at);
        let line: String = chars[at..end].iter().collect();
        at = (end + 1).min(chars.len());
        if line.trim_start_matches('\t') == word {
            break;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::{ANYWHERE, AT_COMMAND, bashism, table};

    #[test]
    fn what_only_bash_knows_is_found() {
        assert_eq!(table().len(), AT_COMMAND.len() + ANYWHERE.len());
        for script in [
            "[[ -e x ]]",
            "if [[ -e x ]]; then :; fi",
            "#!/bin/sh\n[[ -e x ]]",
            "#!/usr/bin/env -S sh -e\nlet x=1",
            "set -o pipefail",
            "set -euo pipefail",
            "source ./x",
            "[ a == b ]",
            "if test \"$a\" == b; then :; fi",
            "echo {1..3}",
            "cp a.{txt,md} b",
            "for i in {1..$n}; do :; done",
            "echo ${x//a/b}",
            "echo \"is ${x//a/b}\"",
            "echo ${x:0:3}",
            "echo \"${x^^}\"",
            "for ((i=0; i<3; i++)); do :; done",
            "((x++))",
            "a=(1 2)",
            "a+=(3)",
            "a+=b",
            "echo ${a[0]}",
            "echo $RANDOM",
            "echo \"$RANDOM\"",
            "let x=1",
            "mapfile -t lines < x",
            "IFS=$'\\n'",
            "select x in a b; do :; done",
            "cat <<< x",
            "diff <(a) <(b)",
            "echo x &> y",
            "a |& b",
            "echo ${!x}",
            "function f { :; }",
            "declare -i x",
            "pushd /",
            "shopt -s nullglob",
            "echo \"$(echo ${x//a/b})\"",
        ] {
            assert!(bashism(script).is_some(), "{script}");
        }
    }

    #[test]
    fn what_every_shell_knows_is_not() {
        for script in [
            "#!/bin/bash\n[[ -e x ]]",
            "#!/usr/bin/env bash\n[[ -e x ]]",
            "#!/usr/bin/python3\na = [[ 1 ]]",
            "echo '[[ x ]]'",
            "echo \"a == b, {1..3} and $'x'\"",
            "# source x; [[ y ]]",
            "true # {1..3}",
            "awk '{ a[NR] = $1 } END { for (i in a) print a[i] == 1 }' x",
            "cat <<EOF\n[[ x ]]\nsource y\n{1..3}\nEOF\ntrue",
            "cat <<-'END' > x\n\t[[ x ]]\n\tEND\ntrue",
            "cat <<A <<B\n[[ 1 ]]\nA\n[[ 2 ]]\nB\n",
            "x=$((1 << 2))\ny=$((x<<y))\n:",
            "echo ${x:-y} ${x:+y} ${x#a} ${x%%b} ${#x} ${x:?}",
            "[ a = b ]",
            "find . -exec rm {} \\;",
            "x=$((x + 1))",
            "f() { local x=1; }",
            "echo resource source=1",
            "grep -E '^a{1,3}$' x",
            "curl -d '{\"a\":1,\"b\":2}' x",
            "curl -d \"{\\\"a\\\":1,\\\"b\\\":2}\" x",
            ". ./x; test a = b && echo \"it's\" && echo x",
            "echo it\\'s {1..; echo }",
            "case x in a) ;; esac",
            "python3 -c 'a = [[1]]'",
            "echo '{{ ssm:x }}' {{ name }}",
        ] {
            assert_eq!(bashism(script), None, "{script}");
        }
    }
}
