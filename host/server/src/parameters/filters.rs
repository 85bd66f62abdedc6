//! Filters of the operations that list parameters.

use serde::Deserialize;

use super::names;
use crate::error::ApiError;
use crate::sql::Query;

#[cfg(test)]
mod tests;

/// A filter in the form of `ParameterFilters`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Filter {
    pub(super) key: String,
    pub(super) option: Option<String>,
    pub(super) values: Option<Vec<String>>,
}

/// A filter in the older form of `Filters`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OldFilter {
    key: String,
    values: Vec<String>,
}

impl From<OldFilter> for Filter {
    fn from(old: OldFilter) -> Self {
        Self {
            option: Some(
                if old.key == "Name" {
                    "BeginsWith"
                } else {
                    "Equals"
                }
                .to_owned(),
            ),
            key: old.key,
            values: Some(old.values),
        }
    }
}

/// The operation that filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Description,
    Path,
}

impl By {
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Description => &["Path", "Name", "Type", "KeyId", "Tier", "DataType"],
            Self::Path => &["Type", "KeyId", "Label"],
        }
    }
}

/// Refuses filters that say nothing here.
pub(super) fn check(filters: &[Filter], by: By) -> Result<(), ApiError> {
    for (at, filter) in filters.iter().enumerate() {
        let key = filter.key.as_str();
        let is_tag =
            by == By::Description && key.strip_prefix("tag:").is_some_and(|tag| !tag.is_empty());
        if !is_tag && !by.keys().contains(&key) {
            let more = if by == By::Description {
                ", tag:KEY"
            } else {
                ""
            };
            return Err(invalid_key(format!(
                "The following filter key is not valid: {key}. Valid filter keys include: [{}{more}].",
                by.keys().join(", ")
            )));
        }
        if filters[..at].iter().any(|before| before.key == key) {
            return Err(invalid_key(format!(
                "The following filter is duplicated in the request: {key}. A request can contain only one occurrence of a \
                 specific filter."
            )));
        }
        let options: &[&str] = match key {
            "Path" => &["Recursive", "OneLevel"],
            "Name" => &["BeginsWith", "Equals", "Contains"],
            "Label" => &["Equals"],
            _ => &["BeginsWith", "Equals"],
        };
        if let Some(option) = filter
            .option
            .as_deref()
            .filter(|option| !options.contains(option))
        {
            return Err(ApiError::new(
                "InvalidFilterOption",
                format!(
                    "The following filter option is not valid: {option}. Valid options include: [{}].",
                    options.join(", ")
                ),
            ));
        }
        values(filter, is_tag)?;
    }
    Ok(())
}

fn values(filter: &Filter, is_tag: bool) -> Result<(), ApiError> {
    let key = &filter.key;
    let values = filter.values.as_deref().unwrap_or_default();
    if values.is_empty() && !is_tag {
        return Err(invalid_value(format!(
            "The following filter values are missing : null for filter key {key}."
        )));
    }
    if key.contains('\0') || values.iter().any(|value| value.contains('\0')) {
        return Err(invalid_value(format!(
            "A value of the filter {key:?} has the character 0."
        )));
    }
    let allowed: &[&str] = match key.as_str() {
        "Type" => &["String", "StringList", "SecureString"],
        "Tier" => &["Standard", "Advanced", "Intelligent-Tiering"],
        "Path" => {
            return values
                .iter()
                .try_for_each(|value| names::of_path(value).map(drop));
        }
        _ => return Ok(()),
    };
    // `BeginsWith` takes the beginning of one.
    let begins = filter.option.as_deref() == Some("BeginsWith");
    let known = |value: &String| {
        allowed
            .iter()
            .any(|one| one == value || begins && one.starts_with(value.as_str()))
    };
    match values.iter().find(|value| !known(value)) {
        None => Ok(()),
        Some(wrong) => Err(invalid_value(format!(
            "The following filter value is not valid: {wrong}. Valid values include: [{}].",
            allowed.join(", ")
        ))),
    }
}

fn invalid_key(message: String) -> ApiError {
    ApiError::new("InvalidFilterKey", message)
}

fn invalid_value(message: String) -> ApiError {
    ApiError::new("InvalidFilterValue", message)
}

/// Adds the conditions of filters that were checked, on a table `p` of versions.
pub(super) fn conditions(query: &mut Query, filters: &[Filter]) {
    for filter in filters {
        let values = filter.values.as_deref().unwrap_or_default();
        let option = filter.option.as_deref();
        match filter.key.as_str() {
            "Path" => {
                query.push(" AND (1 = 0");
                for value in values {
                    let path = names::of_path(value).unwrap_or("/");
                    query.push(" OR ");
                    under(query, "p", path, option == Some("Recursive"));
                }
                query.push(")");
            }
            "Name" => compare(query, "p.name", option, values),
            "Type" => compare(query, "p.kind", option, values),
            "KeyId" => compare(query, "p.key_id", option, values),
            "Tier" => compare(query, "p.tier", option, values),
            "DataType" => compare(query, "p.data_type", option, values),
            "Label" => {
                query.push(
                    " AND EXISTS (SELECT 1 FROM parameter_labels l WHERE l.name = p.name AND l.version = p.version AND l.label",
                );
                query.one_of(values).push(")");
            }
            key => {
                let tag = key.strip_prefix("tag:").unwrap_or(key);
                query.push(" AND EXISTS (SELECT 1 FROM tags t WHERE t.resource_type = 'Parameter' AND t.resource_id = p.name AND t.key = ");
                query.bind(tag);
                if !values.is_empty() {
                    compare(query, "t.value", option, values);
                }
                query.push(")");
            }
        }
    }
}

/// Adds that a column is, begins with, or contains one of these.
fn compare(query: &mut Query, column: &str, option: Option<&str>, values: &[String]) {
    query.push(" AND ");
    if !matches!(option, Some("BeginsWith" | "Contains")) {
        query.push(column).one_of(values);
        return;
    }
    query.push("(1 = 0");
    for value in values {
        query.push(" OR ").push(column);
        if option == Some("BeginsWith") {
            query.begins_with(value);
        } else {
            let escaped = value
                .replace('\\', "\\\\")
                .replace('%', "\\%")
                .replace('_', "\\_");
            query
                .push(" LIKE ")
                .bind(format!("%{escaped}%"))
                .push(" ESCAPE '\\'");
        }
    }
    query.push(")");
}

/// Adds that a parameter of this table is below this level of the hierarchy, or on it.
pub(super) fn under(query: &mut Query, table: &str, path: &str, recursive: bool) {
    if !recursive {
        query.push(table).push(".parent = ").bind(path);
    } else if path == "/" {
        query.push("1 = 1");
    } else {
        // What comes right after the slash ends all names that begin with it.
        query
            .push("(")
            .push(table)
            .push(".name >= ")
            .bind(format!("{path}/"));
        query
            .push(" AND ")
            .push(table)
            .push(".name < ")
            .bind(format!("{path}0"))
            .push(")");
    }
}
