//! Which documents a list is to show. Pure.

use serde::Deserialize;

use super::record::{AMAZON, Record};
use crate::error::ApiError;
use crate::wire::Tag;

/// A filter of `Filters`: any of its values.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Filter {
    key: String,
    #[serde(default)]
    values: Vec<String>,
}

/// A filter of `DocumentFilterList`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct OldFilter {
    key: String,
    value: String,
}

/// A document that a list may show.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) record: Record,
    pub(super) tags: Vec<Tag>,
    /// Shared with everybody.
    pub(super) public: bool,
}

const KEYS: [&str; 6] = [
    "Name",
    "Owner",
    "PlatformTypes",
    "DocumentType",
    "TargetType",
    "SearchKeyword",
];
const OWNERS: [&str; 6] = ["Self", "Amazon", "Public", "Private", "ThirdParty", "All"];

/// All filters of a request. A document has to pass every one.
pub(super) fn read_filters(
    old: Vec<OldFilter>,
    mut filters: Vec<Filter>,
) -> Result<Vec<Filter>, ApiError> {
    filters.extend(old.into_iter().map(|old| Filter {
        key: old.key,
        values: vec![old.value],
    }));
    for filter in &filters {
        let key = filter.key.as_str();
        if !KEYS.contains(&key) && tag_of(key).is_none() {
            return Err(ApiError::new(
                "InvalidFilterKey",
                format!(
                    "The filter key {key} is not valid: it is one of {}, or tag:KEY.",
                    KEYS.join(", ")
                ),
            ));
        }
        if key != "Owner" {
            continue;
        }
        if filter.values.len() > 1 {
            return Err(ApiError::validation(
                "Only one Owner can be given at a time.",
            ));
        }
        if let Some(owner) = filter
            .values
            .iter()
            .find(|owner| !OWNERS.contains(&owner.as_str()))
        {
            return Err(ApiError::validation(format!(
                "{owner} is no Owner: it is one of {}.",
                OWNERS.join(", ")
            )));
        }
    }
    Ok(filters)
}

fn tag_of(key: &str) -> Option<&str> {
    key.strip_prefix("tag:").filter(|key| !key.is_empty())
}

impl Filter {
    /// Whether the filter lets a document pass.
    pub(super) fn takes(&self, candidate: &Candidate) -> bool {
        if !self.values.is_empty() {
            return self
                .values
                .iter()
                .any(|value| self.takes_by(value, candidate));
        }
        // A tag without values is one with any.
        tag_of(&self.key).is_none_or(|key| candidate.tags.iter().any(|tag| tag.key == key))
    }

    fn takes_by(&self, value: &str, candidate: &Candidate) -> bool {
        let record = &candidate.record;
        match self.key.as_str() {
            "Name" => record.name.starts_with(value),
            "Owner" => {
                let own = record.owner != AMAZON;
                match value {
                    "Self" => own,
                    "Amazon" => !own,
                    "Public" => own && candidate.public,
                    "Private" => own && !candidate.public,
                    "All" => true,
                    _ => false,
                }
            }
            "PlatformTypes" => record.platforms.iter().any(|platform| platform == value),
            "DocumentType" => record.kind == value,
            "TargetType" => record.target_type.as_deref() == Some(value),
            "SearchKeyword" => {
                let word = value.to_lowercase();
                [
                    Some(record.name.as_str()),
                    record.display_name.as_deref(),
                    Some(record.description.as_str()),
                ]
                .into_iter()
                .flatten()
                .any(|text| text.to_lowercase().contains(&word))
            }
            key => tag_of(key).is_some_and(|key| {
                candidate
                    .tags
                    .iter()
                    .any(|tag| tag.key == key && tag.value == value)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::record::program;
    use super::{Candidate, Filter, OldFilter, read_filters};
    use crate::wire::Tag;

    fn filter(key: &str, values: &[&str]) -> Filter {
        Filter {
            key: key.to_owned(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        }
    }

    #[test]
    fn a_filter_takes_what_has_any_of_its_values() {
        let shell = Candidate {
            record: program()[0].clone(),
            tags: Vec::new(),
            public: false,
        };
        let mut own = shell.clone();
        own.record.name = "deploy".to_owned();
        own.record.owner = "000000000000".to_owned();
        own.record.target_type = Some("/AWS::EC2::Instance".to_owned());
        own.record.description = "Bring it ONLINE".to_owned();
        own.public = true;
        own.tags = vec![Tag {
            key: "stage".to_owned(),
            value: "prod".to_owned(),
        }];
        for (filter, takes_own, takes_shell) in [
            (filter("Name", &["dep"]), true, false),
            (filter("Name", &["eploy"]), false, false),
            (filter("Name", &["x", "AWS-"]), false, true),
            (filter("Name", &[]), true, true),
            (filter("Owner", &["Self"]), true, false),
            (filter("Owner", &["Amazon"]), false, true),
            (filter("Owner", &["Public"]), true, false),
            (filter("Owner", &["Private"]), false, false),
            (filter("Owner", &["ThirdParty"]), false, false),
            (filter("Owner", &["All"]), true, true),
            (filter("PlatformTypes", &["Windows"]), false, false),
            (filter("PlatformTypes", &["Windows", "Linux"]), true, true),
            (filter("DocumentType", &["Command"]), true, true),
            (filter("TargetType", &["/AWS::EC2::Instance"]), true, false),
            (filter("SearchKeyword", &["online"]), true, false),
            (filter("tag:stage", &["test", "prod"]), true, false),
            (filter("tag:stage", &["test"]), false, false),
            (filter("tag:stage", &[]), true, false),
        ] {
            assert_eq!(filter.takes(&own), takes_own, "{filter:?}");
            assert_eq!(filter.takes(&shell), takes_shell, "{filter:?}");
        }
    }

    #[test]
    fn filters_that_there_are_not_are_refused() {
        let code = |filter| read_filters(Vec::new(), vec![filter]).unwrap_err().code;
        assert_eq!(code(filter("Colour", &["x"])), "InvalidFilterKey");
        assert_eq!(code(filter("tag:", &["x"])), "InvalidFilterKey");
        assert_eq!(code(filter("Owner", &["Me"])), "ValidationException");
        assert_eq!(
            code(filter("Owner", &["Self", "Amazon"])),
            "ValidationException"
        );
        let old = OldFilter {
            key: "Owner".to_owned(),
            value: "Self".to_owned(),
        };
        assert_eq!(
            read_filters(vec![old], Vec::new()),
            Ok(vec![filter("Owner", &["Self"])])
        );
    }
}
