//! Answers as people read them. What comes from others is shown without what would steer the terminal.

use jiff::Timestamp;
use serde_json::Value;

use crate::render::{columns, shown};

/// What stands between two columns.
const GAP: usize = 2;

/// Rows whose columns are aligned.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With the names of its columns.
    pub(super) fn new(names: &[&str]) -> Self {
        Self {
            rows: vec![names.iter().map(|name| (*name).to_owned()).collect()],
        }
    }

    /// Adds a row.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows
            .push(cells.iter().map(|cell| shown(cell)).collect());
    }

    /// The lines; a last column is as long as it is.
    fn lines(&self) -> Vec<String> {
        let count = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| columns(cell)).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..count).map(width).collect();
        let line = |row: &Vec<String>| {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.push_str(&" ".repeat(width - columns(cell) + GAP));
            }
            line.truncate(line.trim_end().len());
            line
        };
        self.rows.iter().map(line).collect()
    }

    /// Prints it; nothing but its names is nothing.
    pub(super) fn print(&self) {
        if self.rows.len() > 1 {
            self.lines().iter().for_each(|line| outln!("{line}"));
        }
    }
}

/// Prints names and what they stand for, without those that stand for nothing.
pub(super) fn print_facts(facts: &[(&str, String)]) {
    let width = facts.iter().map(|(name, _)| name.len()).max();
    let width = width.unwrap_or_default() + GAP;
    for (name, fact) in facts.iter().filter(|(_, fact)| !fact.is_empty()) {
        outln!("{name:<width$}{}", shown(fact));
    }
}

/// A member as text; of lists, all that is in them.
pub(super) fn text(value: &Value, member: &str) -> String {
    match value.get(member) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => {
            let items = items.iter().map(|item| match item {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
            items.collect::<Vec<_>>().join(",")
        }
        Some(other) => other.to_string(),
    }
}

/// A member that counts something.
pub(super) fn number(value: &Value, member: &str) -> u64 {
    value
        .get(member)
        .and_then(Value::as_u64)
        .unwrap_or_default()
}

/// A member that is a time: seconds since 1970.
pub(super) fn time(value: &Value, member: &str) -> String {
    let Some(seconds) = value.get(member).and_then(Value::as_f64) else {
        return String::new();
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "no time has a fraction that is shown"
    )]
    let time = Timestamp::from_second(seconds as i64);
    time.map_or_else(
        |_| String::new(),
        |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Table, text, time};

    #[test]
    fn columns_are_aligned_and_nothing_steers_the_terminal() {
        let mut table = Table::new(&["NODE", "STATUS"]);
        table.row(["mi-1".into(), "Success".into()]);
        table.row(["日本\x1b[2J".into(), String::new()]);
        assert_eq!(
            table.lines(),
            ["NODE       STATUS", "mi-1       Success", "日本\u{fffd}[2J"]
        );
    }

    #[test]
    fn members_are_read_as_text() {
        let value = json!({ "a": "x", "b": ["y", 1], "c": 2, "d": null, "t": 1_700_000_000.5 });
        let read = ["a", "b", "c", "d", "e"].map(|member| text(&value, member));
        assert_eq!(read, ["x", "y,1", "2", "", ""]);
        assert_eq!(time(&value, "t"), "2023-11-14 22:13:20 UTC");
        assert_eq!(time(&value, "a"), "");
    }
}
