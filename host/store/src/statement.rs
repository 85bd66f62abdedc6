//! The texts of statements: what differs between the databases.

/// Writes a migration as PostgreSQL takes it: `BLOB` becomes `BYTEA`, and each column of `TEXT` gets the collation
/// `"C"`, so that text is compared by its bytes as in SQLite, whatever the collation of the database is.
///
/// `CAST(x AS TEXT)` stays, since a cast takes no collation. What is quoted or a comment stays.
pub(crate) fn for_postgres(sql: &str) -> String {
    let mut written = String::with_capacity(sql.len() + 64);
    let mut before = "";
    for (at, piece) in pieces(sql) {
        if piece.eq_ignore_ascii_case("BLOB") {
            written.push_str("BYTEA");
        } else if piece.eq_ignore_ascii_case("TEXT") && !before.eq_ignore_ascii_case("AS") {
            written.push_str(piece);
            let mut rest = pieces(&sql[at + piece.len()..])
                .map(|(_, next)| next)
                .filter(|next| !is_blank(next));
            if !rest
                .next()
                .is_some_and(|next| next.eq_ignore_ascii_case("COLLATE"))
            {
                written.push_str(" COLLATE \"C\"");
            }
        } else {
            written.push_str(piece);
        }
        if !is_blank(piece) {
            before = piece;
        }
    }
    written
}

/// The number of a placeholder: 3 of `$3`.
pub(crate) fn placeholder(name: &str) -> Option<usize> {
    name.strip_prefix('$')?
        .parse()
        .ok()
        .filter(|number| *number > 0)
}

/// Cuts a text into words, quoted pieces, comments and what is between them, each with where it begins.
fn pieces(sql: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = sql.get(at..).filter(|rest| !rest.is_empty())?;
        let begin = at;
        at += length(rest);
        Some((begin, &rest[..at - begin]))
    })
}

/// How long the piece at the beginning of a text is.
fn length(text: &str) -> usize {
    let through = |from: usize, end: &str| {
        text[from..]
            .find(end)
            .map_or(text.len(), |found| from + found + end.len())
    };
    let first = text.chars().next().unwrap_or(' ');
    match first {
        '\'' => through(1, "'"),
        '"' => through(1, "\""),
        '-' if text.starts_with("--") => through(2, "\n"),
        '/' if text.starts_with("/*") => through(2, "*/"),
        _ if in_word(first) => text
            .find(|character| !in_word(character))
            .unwrap_or(text.len()),
        _ if first.is_whitespace() => text
            .find(|character: char| !character.is_whitespace())
            .unwrap_or(text.len()),
        _ => first.len_utf8(),
    }
}

fn in_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_' || character == '$'
}

fn is_blank(piece: &str) -> bool {
    piece.starts_with(char::is_whitespace) || piece.starts_with("--") || piece.starts_with("/*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_for_postgres() {
        for (given, expected) in [
            ("", ""),
            ("a BLOB, b blob NOT NULL", "a BYTEA, b BYTEA NOT NULL"),
            ("a TEXT NOT NULL", "a TEXT COLLATE \"C\" NOT NULL"),
            ("a text)", "a text COLLATE \"C\")"),
            ("a TEXT", "a TEXT COLLATE \"C\""),
            (
                "a TEXT /* x */ collate \"de\"",
                "a TEXT /* x */ collate \"de\"",
            ),
            ("CAST(a AS TEXT)", "CAST(a AS TEXT)"),
            ("CAST(a AS /* no */\n TEXT)", "CAST(a AS /* no */\n TEXT)"),
            ("CAST(a AS BLOB)", "CAST(a AS BYTEA)"),
            (
                "TEXTS BLOBS a_TEXT blob_1 TEXT$",
                "TEXTS BLOBS a_TEXT blob_1 TEXT$",
            ),
            ("'TEXT BLOB' \"BLOB\"", "'TEXT BLOB' \"BLOB\""),
            ("'it''s TEXT' TEXT", "'it''s TEXT' TEXT COLLATE \"C\""),
            ("-- TEXT\nBLOB", "-- TEXT\nBYTEA"),
            ("/* BLOB\n */BLOB", "/* BLOB\n */BYTEA"),
            ("-- BLOB", "-- BLOB"),
            ("'open BLOB", "'open BLOB"),
            ("a - BLOB / TEXT", "a - BYTEA / TEXT COLLATE \"C\""),
            ("'ü' üBLOB BLOB€", "'ü' üBLOB BYTEA€"),
        ] {
            assert_eq!(for_postgres(given), expected, "{given}");
        }
    }

    #[test]
    fn placeholders() {
        for (name, number) in [
            ("$1", Some(1)),
            ("$12", Some(12)),
            ("$0", None),
            ("?1", None),
            ("$a", None),
            (":1", None),
        ] {
            assert_eq!(placeholder(name), number, "{name}");
        }
    }
}
