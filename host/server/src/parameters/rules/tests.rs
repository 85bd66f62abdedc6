#![allow(clippy::unwrap_used, reason = "tests")]

use jiff::Timestamp;

use super::Change;
use crate::parameters::policies::Policies;
use crate::parameters::record::Kind;
use crate::parameters::tiers::{Tier, Wanted};
use crate::server::Config;

fn change(value: &str) -> Change {
    Change {
        name: "/a".to_owned(),
        value: value.to_owned(),
        kind: Some(Kind::String),
        key_id: None,
        description: None,
        allowed_pattern: None,
        data_type: None,
        tier: None,
        policies: None,
        now: 0,
        by: String::new(),
    }
}

fn code(change: Change) -> Option<String> {
    let made = change
        .check(&Config::default())
        .and_then(|change| change.apply(None));
    made.err().map(|error| error.code.into_owned())
}

#[test]
fn values_and_patterns() {
    for (value, pattern, expected) in [
        ("", None, Some("ValidationException")),
        ("{{ssm:x}}", None, Some("ValidationException")),
        ("a {{ b }} c", None, Some("ValidationException")),
        ("{\"a\":{\"b\":{}}}", None, None),
        ("}} {{", None, None),
        ("12", Some(r"\d+"), None),
        ("12", Some(r"^\d+$"), None),
        ("12", Some(""), None),
        (
            "a12",
            Some(r"\d+"),
            Some("ParameterPatternMismatchException"),
        ),
        (
            "12\n",
            Some(r"\d+"),
            Some("ParameterPatternMismatchException"),
        ),
        ("12", Some("("), Some("InvalidAllowedPatternException")),
        ("12", Some("a)|(12"), Some("InvalidAllowedPatternException")),
        (
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
            Some(r"(a+)+\1c"),
            Some("ParameterPatternMismatchException"),
        ),
    ] {
        let mut change = change(value);
        change.allowed_pattern = pattern.map(str::to_owned);
        assert_eq!(code(change).as_deref(), expected, "{value} {pattern:?}");
    }
}

#[test]
fn what_is_not_sent_stays() {
    let mut first = change("1");
    first.kind = Some(Kind::SecureString);
    first.description = Some("first".to_owned());
    first.allowed_pattern = Some(r"\d".to_owned());
    first.data_type = Some("integer".to_owned());
    first.key_id = Some("alias/mine".to_owned());
    let before = first.apply(None).unwrap();
    let mut second = change("2");
    second.kind = None;
    let after = second.apply(Some(&before)).unwrap();
    assert_eq!(
        (after.version, after.value.as_slice()),
        (2, b"2".as_slice())
    );
    for (after, before) in [
        (&after.description, &before.description),
        (&after.allowed_pattern, &before.allowed_pattern),
        (&after.data_type, &before.data_type),
        (&after.key_id, &before.key_id),
    ] {
        assert_eq!(after, before);
    }
    second.value = "22".to_owned();
    let error = second.apply(Some(&before)).unwrap_err();
    assert_eq!(error.code, "ParameterPatternMismatchException");
    second.kind = Some(Kind::String);
    let error = second.apply(Some(&before)).unwrap_err();
    assert_eq!(error.code, "HierarchyTypeMismatchException");
}

#[test]
fn tiers_are_chosen_by_what_is_needed() {
    let (s, a) = (Tier::Standard, Tier::Advanced);
    let policy = r#"[{"Type":"NoChangeNotification","Version":"1.0","Attributes":{"After":"2","Unit":"Days"}}]"#;
    for (wanted, before, length, policies, data_type, expected) in [
        (None, None, 4096, false, "text", Some(s)),
        (None, None, 4097, false, "text", None),
        (None, None, 1, true, "text", None),
        (None, Some(a), 8192, true, "text", Some(a)),
        (None, Some(a), 8193, true, "text", None),
        (Some(Wanted::Standard), Some(s), 1, false, "text", Some(s)),
        (Some(Wanted::Standard), Some(a), 1, false, "text", None),
        (Some(Wanted::Advanced), Some(s), 1, false, "text", Some(a)),
        (Some(Wanted::Advanced), None, 8192, true, "text", Some(a)),
        (
            Some(Wanted::Intelligent),
            None,
            4096,
            false,
            "text",
            Some(s),
        ),
        (
            Some(Wanted::Intelligent),
            None,
            4097,
            false,
            "text",
            Some(a),
        ),
        (Some(Wanted::Intelligent), None, 1, true, "text", Some(a)),
        (Some(Wanted::Intelligent), None, 1, false, "json", Some(a)),
        (
            Some(Wanted::Intelligent),
            Some(a),
            1,
            false,
            "text",
            Some(a),
        ),
        (Some(Wanted::Intelligent), None, 8193, false, "text", None),
    ] {
        let mut change = change(&"1".repeat(length));
        change.tier = wanted;
        change.data_type = Some(data_type.to_owned());
        change.policies =
            policies.then(|| Policies::of_request(policy, Timestamp::UNIX_EPOCH).unwrap());
        let tier = change.tier(before, data_type, policies).ok();
        assert_eq!(
            tier, expected,
            "{wanted:?} {before:?} {length} {policies} {data_type}"
        );
    }
}

#[test]
fn keys_are_for_secrets() {
    let mut plain = change("1");
    plain.key_id = Some("alias/mine".to_owned());
    assert_eq!(code(plain.clone()).as_deref(), Some("ValidationException"));
    plain.kind = Some(Kind::SecureString);
    assert_eq!(code(plain.clone()), None);
    plain.key_id = Some("mine".to_owned());
    assert_eq!(code(plain.clone()).as_deref(), Some("InvalidKeyId"));
    plain.key_id = None;
    assert_eq!(plain.apply(None).unwrap().key_id, "alias/aws/ssm");
    plain.kind = None;
    assert_eq!(code(plain).as_deref(), Some("ValidationException"));
}
