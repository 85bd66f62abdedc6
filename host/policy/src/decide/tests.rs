//! What a policy decides for a step.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Decision, StepDirectories, StepNeeds, Subject};
use crate::{FileAccess, GrantCheck, Manifest, Policy};

fn decide(rules: &str, parameters: &Value, declared: Option<Value>) -> Decision {
    let policy = Policy::parse(&format!("version: 1\nrules:\n{rules}"), "p").unwrap();
    let manifest = json!({
        "actions": ["aws:runShellScript"], "version": "1.0.0", "description": "x",
        "capabilities": { "children": "any" },
    });
    let manifest: Manifest = serde_json::from_value(manifest).unwrap();
    let parameters: BTreeMap<String, Value> = serde_json::from_value(parameters.clone()).unwrap();
    let subject = Subject {
        parameters,
        ..Subject::default()
    };
    let step = StepNeeds {
        inputs: json!({}),
        declared,
        directories: StepDirectories {
            work: "/var/lib/capstan/run/work".into(),
            withheld: vec!["/var/lib/capstan".into()],
            ..StepDirectories::default()
        },
    };
    policy.decide(&subject, &manifest, &step)
}

#[test]
fn what_cannot_be_kept_back_is_not_granted() {
    let rules = "
  - id: all
    grants: { files: [{ path: /srv/audit, access: read-write }], hosts: [\"https://*.example.com\"] }
  - id: keep-back
    effect: deny
    grants: { files: [{ path: \"/srv/audit/{{ app }}/secret\", access: read }], hosts: [\"{{ host }}\"] }
";
    for (app, host, refused) in [
        ("x", "https://db.example.com", false),
        ("x/y", "https://db.example.com", true),
        ("..", "https://db.example.com", true),
        ("", "https://db.example.com", true),
        ("x", "", true),
        ("x", "https://a@db.example.com", true),
    ] {
        let decision = decide(rules, &json!({ "app": app, "host": host }), None);
        assert_eq!(!decision.missing.is_empty(), refused, "{app:?} {host:?}");
        for missing in &decision.missing {
            assert!(missing.reason.contains("keep-back"), "{missing:?}");
        }
    }
    assert!(!decide(rules, &json!({}), None).missing.is_empty());
}

#[test]
fn exceptions_are_bound_like_paths() {
    let rules = "
  - id: all
    grants: { files: [{ path: /srv/audit, access: read-write, except: [\"/srv/audit/{{ app }}/*.key\"] }] }
";
    let allows = |app: &str, path: &str| {
        let decision = decide(rules, &json!({ "app": app }), None);
        GrantCheck::new(decision.children).allows_file(path, FileAccess::Read)
    };
    assert!(allows("x", "/srv/audit/x/file"));
    assert!(!allows("x", "/srv/audit/x/a.key"));
    for app in ["x/y", "..", "", "*"] {
        assert!(!allows(app, "/srv/audit/x/file"), "{app:?}");
    }
}

#[test]
fn folders_of_the_host_are_in_no_grant_around_them() {
    let rules = "
  - id: all
    grants: { files: [{ path: /, access: read-write }, { path: /var/lib/capstan/data/x, access: read-write }] }
";
    let children = GrantCheck::new(decide(rules, &json!({}), None).children);
    for (path, expected) in [
        ("/var/lib/other", true),
        ("/var/lib/capstan/run/work/file", true),
        ("/var/lib/capstan/data/x/file", true),
        ("/var/lib/capstan/data/y/file", false),
        ("/var/lib/capstan/parameters.json", false),
    ] {
        let allowed = children.allows_file(path, FileAccess::Write);
        assert_eq!(allowed, expected, "{path}");
    }
}

#[test]
fn only_a_rule_opens_the_files_of_others() {
    let rules = "\n  - id: app\n    grants: { files: [{ path: /opt/app, access: read-only }] }\n";
    let declared = |path: &str| Some(json!({ "files": [{ "path": path, "access": "read-only" }] }));
    let hosts = "\n  - id: net\n    grants: { hosts: [example.com] }\n";
    for (rules, declared, expected) in [
        (rules, None, true),
        (rules, declared("/opt/app/x"), true),
        // Of the profile's rules, which others' files are no part of, whatever the document says.
        (rules, declared("/opt/other"), false),
        (hosts, None, false),
    ] {
        let decision = decide(rules, &json!({}), declared.clone());
        assert_eq!(
            decision.children.files_of_others, expected,
            "{rules} {declared:?}"
        );
    }
}
