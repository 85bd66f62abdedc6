//! Patterns in Java's dialect.

use fancy_regex::{Regex, RegexBuilder};

use crate::java_pattern::translate;

/// A compiled pattern.
#[derive(Debug)]
pub(crate) struct Pattern(Regex);

/// Steps of backtracking after which a match is given up.
const BACKTRACK_LIMIT: usize = 1_000_000;

impl Pattern {
    /// Compiles a pattern, translating what Java writes otherwise.
    pub(crate) fn compile(java: &str) -> Result<Self, String> {
        RegexBuilder::new(&translate(java)?)
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

/// Whether the whole text matches a pattern in Java's dialect.
///
/// # Errors
/// When it is no pattern, or takes too long on this text.
pub fn java_pattern_matches(java: &str, text: &str) -> Result<bool, String> {
    // By itself first, so that it cannot close the group that it is put in.
    Pattern::compile(java)?;
    Pattern::compile(&format!(r"\A(?:{java})\z"))?.is_match(text)
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
            (r"^\Qa.\E+$", "a...", true),
            (r"^a++b$", "aab", true),
            (r"^a{1,3}+b$", "aab", true),
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
            (r"^[]a]+$", "]a", true),
            (r"^[a[bc]]+$", "abc", true),
            (r"^[[:alpha:]]+$", "alp:", true),
            (r"^[[:alpha:]]+$", "xyz", false),
            (r"^(a)(b)\2\1$", "abba", true),
            (r"^(?<x>a|b)\k<x>$", "aa", true),
            (r"^(?<x>a|b)\k<x>$", "ab", false),
            (r"^a(?=b)b$", "ab", true),
            (r"(?<=a)b", "ab", true),
            (r"(?<!a)b", "ab", false),
            (r"^(?x) a b # both\n$", "ab", true),
            (r"^(?s:.)$", "\n", true),
            (r"^.$", "\u{2028}", false),
            (r"^(?d).$", "\u{2028}", true),
            (r"(?m)^b$", "a\nb\nc", true),
            (r"^a\R?\Z", "a\r\n", true),
            (r"^a\h+b$", "a\t\u{a0}b", true),
            (r"^\cA$", "\u{1}", true),
            (r"^\0101\x42\u0043\x{44}$", "ABCD", true),
            (r"^\p{javaLowerCase}+$", "aé", true),
            (r"^\p{javaLowerCase}+$", "A", false),
            (r"^\p{InGreek}+$", "αβ", true),
            (r"^\p{IsGreek}+$", "αβ", true),
            (r"^\p{IsAlphabetic}+$", "aé", true),
            (r"^\p{L1}+$", "aÿ", true),
            (r"^\p{L1}+$", "Ā", false),
            (r"^\pL+$", "é", true),
            (r"^\P{Lu}+$", "ab", true),
            (r"^[\P{Lu}]+$", "AB", false),
            (r"^{{ssm:.*}}$", "{{ssm:x}}", true),
        ] {
            assert_eq!(
                Pattern::compile(pattern).unwrap().is_match(text).unwrap(),
                expected,
                "{pattern} {text}"
            );
        }
        for pattern in [
            r"(",
            r")",
            r"[a",
            r"*",
            r"\q",
            r"[z-a]",
            r"(?q)",
            r"\p{Nothing}",
        ] {
            assert!(Pattern::compile(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn classes_are_of_ascii_as_in_java() {
        for (pattern, text, expected) in [
            (r"^\w+$", "é", false),
            (r"^\d+$", "٣", false),
            (r"^\s$", "\u{a0}", false),
            (r"^[\w]+$", "ж", false),
            (r"^\W$", "é", true),
            (r"^[^\d]$", "٣", true),
            (r"\bxé", "xé", true),
            (r"x\bé", "xé", true),
            (r"^(?i)abc$", "aBC", true),
            (r"^(?i)[a-c]+$", "aBC", true),
            (r"^(?i:a)b$", "AB", false),
            // Sharp relatives of k and s are no Latin letters.
            (r"^(?i)k$", "\u{212a}", false),
            (r"^(?i)[s]$", "\u{17f}", false),
            (r"^(?iu)é$", "É", true),
            (r"^(?U)\w+$", "é", true),
        ] {
            assert_eq!(
                Pattern::compile(pattern).unwrap().is_match(text).unwrap(),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn long_values_are_no_reason_to_refuse_a_pattern() {
        for pattern in [
            r"^[\w+=,.@-]{1,2048}$",
            r"^[\w\s]{0,2048}$",
            r"^.{0,65535}$",
            r"^[\w\W]{1,100000}$",
            r"^[^\n]{2048,4096}$",
        ] {
            let compiled = Pattern::compile(pattern).unwrap();
            assert_eq!(compiled.is_match(&"a".repeat(2048)), Ok(true), "{pattern}");
            assert_ne!(
                compiled.is_match(&"a".repeat(100_001)),
                Ok(true),
                "{pattern}"
            );
        }
    }

    #[test]
    fn a_pattern_that_explodes_is_given_up() {
        let pattern = Pattern::compile(r"^(a+)+\1$").unwrap();
        assert_ne!(pattern.is_match(&format!("{}b", "a".repeat(64))), Ok(true));
        assert!(Pattern::compile(&"(".repeat(100_000)).is_err());
    }
}
