//! Sizes and times as people write them.

/// `512MiB`, `64k`, `1000000`: bytes or a count. Binary for `Ki`, `Mi`, `Gi`, `Ti`, and for the bare letters.
pub(crate) fn amount(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text
        .bytes()
        .take_while(|byte| byte.is_ascii_digit() || *byte == b'_')
        .count();
    let number: u64 = text[..digits].replace('_', "").parse().ok()?;
    let unit = match text[digits..]
        .trim()
        .to_ascii_lowercase()
        .trim_end_matches('b')
        .trim_end_matches('i')
    {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1_u64 << 40,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// `90s`, `2m`, `1h30m`, `300ms`, or a number of milliseconds: milliseconds.
pub(crate) fn millis(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    if let Ok(number) = rest.parse() {
        return Some(number);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        rest = rest[letters..].trim_start();
        total = total.checked_add(number.checked_mul(unit)?)?;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::{amount, millis};

    #[test]
    fn units() {
        assert_eq!(amount("512MiB"), Some(512 << 20));
        assert_eq!(amount("64k"), Some(64 << 10));
        assert_eq!(amount("1_000"), Some(1000));
        assert_eq!(amount("12 parsecs"), None);
        assert_eq!(millis("1h30m"), Some(5_400_000));
        assert_eq!(millis("300ms"), Some(300));
        assert_eq!(millis("250"), Some(250));
        assert_eq!(millis("5 x"), None);
    }
}
