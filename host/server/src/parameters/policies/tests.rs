#![allow(clippy::unwrap_used, reason = "tests")]

use jiff::Timestamp;

use super::Policies;

const EXPIRATION: &str = r#"{"Type":"Expiration","Version":"1.0","Attributes":{"Timestamp":"1970-01-11T00:00:00.000Z"}}"#;
const BEFORE: &str = r#"{"Type":"ExpirationNotification","Version":"1.0","Attributes":{"Before":"15","Unit":"Hours"}}"#;
const NO_CHANGE: &str =
    r#"{"Type":"NoChangeNotification","Version":"1.0","Attributes":{"After":"2","Unit":"Days"}}"#;
const DAY: i64 = 24 * 3600 * 1000;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap()
}

#[test]
fn wrong_policies_are_told() {
    let eleven = [NO_CHANGE; 11].join(",");
    for (text, code) in [
        ("", "ValidationException"),
        ("{}", "ValidationException"),
        ("[", "ValidationException"),
        (&format!("[{eleven}]"), "PoliciesLimitExceededException"),
        ("[{},{}]", "InvalidPolicyTypeException"),
        ("[1]", "InvalidPolicyTypeException"),
        (
            &format!("[{}]", EXPIRATION.replace("Expiration", "Expire")),
            "InvalidPolicyTypeException",
        ),
        (
            &format!("[{}]", EXPIRATION.replace("1.0", "2.0")),
            "InvalidPolicyAttributeException",
        ),
        (
            &format!(
                "[{}]",
                EXPIRATION.replace("1970-01-11T00:00:00.000Z", "soon")
            ),
            "InvalidPolicyAttributeException",
        ),
        (
            &format!(
                "[{}]",
                EXPIRATION.replace("1970-01-11T00:00:00.000Z", "1970-01-11T00:00:00")
            ),
            "InvalidPolicyAttributeException",
        ),
        (
            &format!("[{}]", EXPIRATION.replace("1970-01-11", "1970-01-01")),
            "InvalidPolicyAttributeException",
        ),
        (
            &format!("[{}]", NO_CHANGE.replace("After", "Before")),
            "InvalidPolicyAttributeException",
        ),
        (
            &format!("[{}]", NO_CHANGE.replace("\"2\"", "\"0\"")),
            "InvalidPolicyAttributeException",
        ),
        (
            &format!("[{}]", NO_CHANGE.replace("\"2\"", "\"two\"")),
            "InvalidPolicyAttributeException",
        ),
        (
            &format!("[{}]", NO_CHANGE.replace("Days", "Weeks")),
            "InvalidPolicyAttributeException",
        ),
        (
            &format!("[{EXPIRATION},{EXPIRATION}]"),
            "IncompatiblePolicyException",
        ),
        (&format!("[{BEFORE}]"), "IncompatiblePolicyException"),
    ] {
        let error = Policies::of_request(text, at(DAY)).unwrap_err();
        assert_eq!(error.code, code, "{text}: {}", error.message);
    }
}

#[test]
fn policies_are_listed_with_their_status() {
    let text = format!("[{EXPIRATION},{BEFORE},{NO_CHANGE}]");
    let policies = Policies::of_request(&text, at(0)).unwrap();
    assert_eq!(policies.expires(), Some(10 * DAY));
    let kept = Policies::of_column(&policies.column().unwrap()).unwrap();
    assert_eq!(kept, policies);
    let states = |now| {
        let listed = kept.list(DAY, now).unwrap();
        assert_eq!(listed[0].policy_text, EXPIRATION);
        assert_eq!(listed[2].policy_type, "NoChangeNotification");
        listed
            .iter()
            .map(|policy| policy.policy_status == "Finished")
            .collect::<Vec<_>>()
    };
    assert_eq!(states(0), [false, false, false]);
    assert_eq!(states(3 * DAY), [false, false, true]);
    assert_eq!(states(10 * DAY - 1), [false, true, true]);
    assert_eq!(states(10 * DAY), [true, true, true]);
}

#[test]
fn nothing_takes_all_away() {
    for text in ["[]", "[{}]", " [ { } ] "] {
        let none = Policies::of_request(text, at(0)).unwrap();
        assert_eq!(
            (none.is_empty(), none.column().unwrap()),
            (true, String::new())
        );
    }
    assert!(Policies::of_column("").unwrap().is_empty());
}
