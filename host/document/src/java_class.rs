//! The classes of characters that Java has names for.

/// White space as Java sees it, between brackets.
pub(crate) const SPACE: &str = "\\t-\\r\\x20";

/// What a named class is between brackets.
pub(crate) fn inside_of(name: &str) -> String {
    let plain = match name {
        "Alpha" => "a-zA-Z",
        "Digit" => "0-9",
        "Alnum" => "a-zA-Z0-9",
        "Upper" => "A-Z",
        "Lower" => "a-z",
        "Punct" => "!-/:-@\\[-`{-~",
        "Space" => SPACE,
        "XDigit" => "0-9a-fA-F",
        "ASCII" => "\\x00-\\x7F",
        "Print" => "\\x20-\\x7E",
        "Graph" => "!-~",
        "Blank" => "\\x20\\t",
        "Cntrl" => "\\x00-\\x1F\\x7F",
        "L1" => "\\x{0}-\\x{FF}",
        "all" => "\\x{0}-\\x{10FFFF}",
        "LC" => "\\p{Lu}\\p{Ll}\\p{Lt}",
        "LD" => "\\p{L}\\p{Nd}",
        "javaLowerCase" => "\\p{Lowercase}",
        "javaUpperCase" => "\\p{Uppercase}",
        "javaTitleCase" => "\\p{Lt}",
        "javaDigit" => "\\p{Nd}",
        "javaLetter" => "\\p{L}",
        "javaLetterOrDigit" => "\\p{L}\\p{Nd}",
        "javaAlphabetic" => "\\p{Alphabetic}",
        "javaIdeographic" => "\\p{Ideographic}",
        "javaSpaceChar" => "\\p{Z}",
        "javaWhitespace" => {
            "\\t-\\r\\x{1C}-\\x{20}\\x{1680}\\x{2000}-\\x{2006}\\x{2008}-\\x{200A}\\x{2028}\\x{2029}\\x{205F}\\x{3000}"
        }
        "javaISOControl" => "\\x{0}-\\x{1F}\\x{7F}-\\x{9F}",
        "javaJavaIdentifierStart" => "\\p{L}\\p{Nl}\\p{Sc}\\p{Pc}",
        "javaJavaIdentifierPart" => "\\p{L}\\p{Nl}\\p{Sc}\\p{Pc}\\p{Nd}\\p{Mn}\\p{Mc}",
        "javaDefined" => "\\P{Cn}",
        _ => "",
    };
    if !plain.is_empty() {
        return plain.to_owned();
    }
    let value = name.split_once('=').map_or(name, |(_, value)| value);
    let is_block = name.starts_with("In") || name.starts_with("bl");
    if is_block && let Some((from, to)) = block(value.strip_prefix("In").unwrap_or(value)) {
        return format!("\\x{{{from:X}}}-\\x{{{to:X}}}");
    }
    let bare = ["Is", "In"]
        .iter()
        .find_map(|prefix| value.strip_prefix(prefix))
        .unwrap_or(value);
    // What the engine does not know either, it refuses.
    format!("\\p{{{bare}}}")
}

/// The blocks of Unicode that patterns name.
fn block(name: &str) -> Option<(u32, u32)> {
    let name: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    Some(match name.as_str() {
        "basiclatin" => (0, 0x7f),
        "latin1supplement" => (0x80, 0xff),
        "latinextendeda" => (0x100, 0x17f),
        "latinextendedb" => (0x180, 0x24f),
        "greek" | "greekandcoptic" => (0x370, 0x3ff),
        "cyrillic" => (0x400, 0x4ff),
        "armenian" => (0x530, 0x58f),
        "hebrew" => (0x590, 0x5ff),
        "arabic" => (0x600, 0x6ff),
        "devanagari" => (0x900, 0x97f),
        "thai" => (0xe00, 0xe7f),
        "generalpunctuation" => (0x2000, 0x206f),
        "currencysymbols" => (0x20a0, 0x20cf),
        "arrows" => (0x2190, 0x21ff),
        "mathematicaloperators" => (0x2200, 0x22ff),
        "boxdrawing" => (0x2500, 0x257f),
        "hiragana" => (0x3040, 0x309f),
        "katakana" => (0x30a0, 0x30ff),
        "cjkunifiedideographs" => (0x4e00, 0x9fff),
        "hangulsyllables" => (0xac00, 0xd7af),
        "emoticons" => (0x1f600, 0x1f64f),
        _ => return None,
    })
}
