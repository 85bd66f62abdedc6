//! Whether items keep to the limits.

use std::collections::BTreeSet;

use crate::{Entry, Item};

/// Items of one call.
const MAX_ITEMS: usize = 30;
/// Types of an account's own.
const MAX_CUSTOM_TYPES: usize = 20;
const MAX_TYPE_NAME: usize = 100;
const MAX_VERSION_DIGITS: usize = 6;
const MAX_ENTRIES: usize = 10_000;
const MAX_ATTRIBUTES: usize = 50;
const MAX_NAME: usize = 64;
const MAX_VALUE: usize = 4096;
/// As JSON.
const MAX_TYPE_KIB: usize = 3072;
const MAX_TOTAL_KIB: usize = 10 * 1024;
/// More than anybody reads.
const MAX_VIOLATIONS: usize = 20;

/// Which types may be reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Types {
    /// Those of AWS, and `Custom:` ones: for the node itself.
    All,
    /// `Custom:` ones alone: for collectors of other makers, since what is of AWS's types is taken for the node's word.
    Custom,
}

/// Something that the limits do not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Violation {
    #[error("there are {found} items; the limit is {MAX_ITEMS}")]
    TooManyItems { found: usize },
    #[error("there are {found} types of `Custom:`; the limit is {MAX_CUSTOM_TYPES}")]
    TooManyCustomTypes { found: usize },
    #[error("the type `{item}` is there twice; all that was found of a type is one item")]
    Duplicate { item: String },
    #[error("`{item}` is no type: it is `Custom:` and a name, such as Custom:ApplicationConfig")]
    TypeName { item: String },
    #[error(
        "the type `{item}` is AWS's; a collector reports types of its own, such as Custom:ApplicationConfig"
    )]
    ForeignType { item: String },
    #[error("the name of the type `{item}` has {found} characters; the limit is {MAX_TYPE_NAME}")]
    TypeNameTooLong { item: String, found: usize },
    #[error(
        "{item}: the schema version `{version}` is not two numbers of up to {MAX_VERSION_DIGITS} digits, such as 1.0"
    )]
    SchemaVersion { item: String, version: String },
    #[error("{item}: the capture time `{time}` is not written as 2026-01-31T12:00:00Z")]
    CaptureTime { item: String, time: String },
    #[error("{item}: there are {found} entries; the limit is {MAX_ENTRIES}")]
    TooManyEntries { item: String, found: usize },
    #[error("{item}, entry {entry}: there are {found} attributes; the limit is {MAX_ATTRIBUTES}")]
    TooManyAttributes {
        item: String,
        entry: usize,
        found: usize,
    },
    #[error("{item}, entry {entry}: an attribute has no name")]
    NoName { item: String, entry: usize },
    #[error(
        "{item}, entry {entry}: the name of the attribute `{attribute}` has {found} characters; the limit is {MAX_NAME}"
    )]
    NameTooLong {
        item: String,
        entry: usize,
        attribute: String,
        found: usize,
    },
    #[error(
        "{item}, entry {entry}: the value of the attribute `{attribute}` has {found} characters; the limit is {MAX_VALUE}"
    )]
    ValueTooLong {
        item: String,
        entry: usize,
        attribute: String,
        found: usize,
    },
    #[error("{item}: the content has {found} KiB as JSON; the limit is {MAX_TYPE_KIB}")]
    ItemTooLarge { item: String, found: usize },
    #[error("all items together have {found} KiB as JSON; the limit is {MAX_TOTAL_KIB}")]
    TotalTooLarge { found: usize },
    #[error("and {left} more")]
    More { left: usize },
}

/// Whether items may be reported, all of them or none.
///
/// # Errors
/// Everything that the limits do not allow, in the order of the items, as far as anybody reads.
pub fn check(items: &[Item], types: Types) -> Result<(), Vec<Violation>> {
    let mut found = Vec::new();
    if items.len() > MAX_ITEMS {
        found.push(Violation::TooManyItems { found: items.len() });
    }
    let mut names = BTreeSet::new();
    let mut total = 0;
    for item in items {
        if !names.insert(item.type_name.as_str()) {
            found.push(Violation::Duplicate {
                item: shown(&item.type_name),
            });
        }
        total += check_item(item, types, &mut found);
    }
    let custom = names
        .iter()
        .filter(|name| name.starts_with("Custom:"))
        .count();
    if custom > MAX_CUSTOM_TYPES {
        found.push(Violation::TooManyCustomTypes { found: custom });
    }
    if total > MAX_TOTAL_KIB << 10 {
        found.push(Violation::TotalTooLarge {
            found: total.div_ceil(1024),
        });
    }
    if found.is_empty() {
        return Ok(());
    }
    if found.len() > MAX_VIOLATIONS {
        let left = found.len() - MAX_VIOLATIONS;
        found.truncate(MAX_VIOLATIONS);
        found.push(Violation::More { left });
    }
    Err(found)
}

/// The size of the item's content as JSON.
fn check_item(item: &Item, types: Types, found: &mut Vec<Violation>) -> usize {
    let name = shown(&item.type_name);
    let length = item.type_name.chars().count();
    let (maker, word) = item.type_name.split_once(':').unwrap_or_default();
    if length > MAX_TYPE_NAME {
        found.push(Violation::TypeNameTooLong {
            item: name.clone(),
            found: length,
        });
    } else if !matches!(maker, "AWS" | "Custom")
        || word.trim().is_empty()
        || word.chars().any(char::is_control)
    {
        found.push(Violation::TypeName { item: name.clone() });
    } else if types == Types::Custom && maker != "Custom" {
        found.push(Violation::ForeignType { item: name.clone() });
    }
    if !is_version(&item.schema_version) {
        found.push(Violation::SchemaVersion {
            item: name.clone(),
            version: shown(&item.schema_version),
        });
    }
    if !is_time(&item.capture_time) {
        found.push(Violation::CaptureTime {
            item: name.clone(),
            time: shown(&item.capture_time),
        });
    }
    if item.content.len() > MAX_ENTRIES {
        found.push(Violation::TooManyEntries {
            item: name.clone(),
            found: item.content.len(),
        });
    }
    for (index, entry) in item.content.iter().enumerate() {
        check_entry(&name, index + 1, entry, found);
    }
    let size = json_size(&item.content);
    if size > MAX_TYPE_KIB << 10 {
        found.push(Violation::ItemTooLarge {
            item: name,
            found: size.div_ceil(1024),
        });
    }
    size
}

fn check_entry(item: &str, entry: usize, content: &Entry, found: &mut Vec<Violation>) {
    let item = || item.to_owned();
    if content.len() > MAX_ATTRIBUTES {
        found.push(Violation::TooManyAttributes {
            item: item(),
            entry,
            found: content.len(),
        });
    }
    for (attribute, value) in content {
        let (name, length) = (attribute.chars().count(), value.chars().count());
        if name == 0 {
            found.push(Violation::NoName {
                item: item(),
                entry,
            });
        }
        if name > MAX_NAME {
            found.push(Violation::NameTooLong {
                item: item(),
                entry,
                attribute: shown(attribute),
                found: name,
            });
        }
        if length > MAX_VALUE {
            found.push(Violation::ValueTooLong {
                item: item(),
                entry,
                attribute: shown(attribute),
                found: length,
            });
        }
    }
}

/// `^([0-9]{1,6})(\.[0-9]{1,6})$`
fn is_version(version: &str) -> bool {
    let number = |text: &str| {
        (1..=MAX_VERSION_DIGITS).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    version
        .split_once('.')
        .is_some_and(|(major, minor)| number(major) && number(minor))
}

/// `20YY-MM-DDTHH:MM:SSZ`, and nothing else.
fn is_time(time: &str) -> bool {
    let shape = "20##-##-##T##:##:##Z";
    time.len() == shape.len()
        && time
            .bytes()
            .zip(shape.bytes())
            .all(|(found, wanted)| match wanted {
                b'#' => found.is_ascii_digit(),
                wanted => found == wanted,
            })
}

/// What the content comes to as JSON, without writing it.
fn json_size(content: &[Entry]) -> usize {
    let text = |text: &str| {
        2 + text
            .chars()
            .map(|c| match c {
                '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
                c if c < ' ' => 6,
                c => c.len_utf8(),
            })
            .sum::<usize>()
    };
    // Brackets and braces, and commas between what is in them.
    let entries = content.iter().map(|entry| {
        let pairs = entry
            .iter()
            .map(|(name, value)| text(name) + 1 + text(value));
        2 + pairs.sum::<usize>() + entry.len().saturating_sub(1)
    });
    2 + entries.sum::<usize>() + content.len().saturating_sub(1)
}

/// The beginning of a text that may be too long for a message.
fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_TYPE_NAME) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{Types, check, json_size};
    use crate::{Entry, Item};

    fn entry(name: &str, value: &str) -> Entry {
        Entry::from([(name.to_owned(), value.to_owned())])
    }

    fn item(type_name: &str, content: Vec<Entry>) -> Item {
        Item {
            type_name: type_name.to_owned(),
            schema_version: "1.0".to_owned(),
            capture_time: "2026-01-31T12:00:00Z".to_owned(),
            content,
        }
    }

    fn problems(items: &[Item]) -> Vec<String> {
        let found = check(items, Types::Custom).err().unwrap_or_default();
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_just_within_the_limits_may_be_reported() {
        let attributes: Entry = (0..50)
            .map(|number| (format!("{number:064}"), "ü".repeat(80)))
            .collect();
        let items = [
            item(&format!("Custom:{}", "x".repeat(93)), vec![attributes; 2]),
            item("Custom:Empty", vec![]),
            item("Custom:Long", vec![entry("A", &"ü".repeat(4096))]),
            item("Custom:Many", vec![Entry::new(); 10_000]),
        ];
        assert_eq!(problems(&items), Vec::<String>::new());
        assert!(check(&[item("AWS:Application", vec![])], Types::All).is_ok());
        assert!(check(&[], Types::Custom).is_ok());
    }

    #[test]
    fn every_limit_is_told_with_its_item_and_attribute() {
        let versioned = |version: &str| Item {
            schema_version: version.to_owned(),
            ..item("Custom:A", vec![])
        };
        let timed = |time: &str| Item {
            capture_time: time.to_owned(),
            ..item("Custom:A", vec![])
        };
        let wide: Entry = (0..51)
            .map(|number| (number.to_string(), String::new()))
            .collect();
        for (items, expected) in [
            (
                vec![item("AWS:Application", vec![])],
                "the type `AWS:Application` is AWS's",
            ),
            (vec![item("Other:X", vec![])], "`Other:X` is no type"),
            (vec![item("Custom:", vec![])], "`Custom:` is no type"),
            (vec![item("Custom", vec![])], "`Custom` is no type"),
            (
                vec![item(&format!("Custom:{}", "x".repeat(94)), vec![])],
                "has 101 characters; the limit is 100",
            ),
            (
                vec![versioned("1")],
                "Custom:A: the schema version `1` is not two numbers",
            ),
            (vec![versioned("1.0.0")], "`1.0.0`"),
            (vec![versioned("1.1234567")], "`1.1234567`"),
            (vec![timed("2026-01-31T12:00:00.5Z")], "the capture time"),
            (
                vec![item("Custom:A", vec![]), item("Custom:A", vec![])],
                "the type `Custom:A` is there twice",
            ),
            (
                vec![item("Custom:A", vec![Entry::new(); 10_001])],
                "there are 10001 entries; the limit is 10000",
            ),
            (
                vec![item("Custom:A", vec![Entry::new(), wide])],
                "Custom:A, entry 2: there are 51 attributes; the limit is 50",
            ),
            (
                vec![item("Custom:A", vec![entry("", "x")])],
                "Custom:A, entry 1: an attribute has no name",
            ),
            (
                vec![item("Custom:A", vec![entry(&"n".repeat(65), "x")])],
                "has 65 characters; the limit is 64",
            ),
            (
                vec![item("Custom:A", vec![entry("B", &"v".repeat(4097))])],
                "entry 1: the value of the attribute `B` has 4097 characters; the limit is 4096",
            ),
        ] {
            let found = problems(&items);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(expected), "{expected}: {}", found[0]);
        }
    }

    #[test]
    fn sizes_are_limited_for_a_type_and_for_all() {
        let large = |name: &str| item(name, vec![entry("A", &"v".repeat(4000)); 780]);
        assert!(problems(&[large("Custom:A")]).is_empty());
        let found = problems(&[item("Custom:A", vec![entry("A", &"v".repeat(4000)); 800])]);
        assert!(
            found[0].contains("Custom:A: the content has 3133 KiB"),
            "{found:?}"
        );
        let names = ["Custom:A", "Custom:B", "Custom:C", "Custom:D"];
        let found = problems(&names.map(large));
        assert!(found[0].contains("together have"), "{found:?}");
    }

    #[test]
    fn numbers_of_items_and_of_messages_are_limited() {
        let items: Vec<Item> = (0..31)
            .map(|n| item(&format!("Custom:{n}"), vec![]))
            .collect();
        let found = problems(&items);
        assert!(found[0].contains("31 items; the limit is 30"), "{found:?}");
        assert!(found[1].contains("31 types of `Custom:`; the limit is 20"));
        let bad = vec![entry("", ""); 100];
        let found = problems(&[item("Custom:A", bad)]);
        assert_eq!(found.len(), 21);
        assert_eq!(found[20], "and 80 more");
    }

    #[test]
    fn the_size_is_that_of_the_json() {
        for content in [
            vec![],
            vec![Entry::new()],
            vec![entry("a", "\"\n\u{1}ü"), entry("b", "")],
            vec![Entry::from([
                ("a".into(), "1".into()),
                ("b".into(), "2".into()),
            ])],
        ] {
            let written = serde_json::to_string(&content).unwrap();
            assert_eq!(json_size(&content), written.len(), "{written}");
        }
    }
}
