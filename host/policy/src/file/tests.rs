//! What is wrong with a policy file is told with its place.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::Policy;

#[test]
fn every_problem_of_a_file_is_told_with_its_place() {
    let text = "version: 1\nprofil: confined\nlimits: { fule: 3, wall: soon }\nrules:\n  - id: a\n    effect: maybe\n    grants:\n      files:\n        - { path: relative, access: read }\n        - { path: /x, access: everything }\n        - { path: /x, access: read, except: [/x/ok, x/y] }\n        - { path: /x, access: read, except: /x/../y }\n      hosts: ['ftp://x', 'https://user@x']\n";
    let problems = Policy::parse(text, "p.yaml").unwrap_err();
    let text = problems.to_string();
    for expected in [
        "p.yaml:2:1",
        "did you mean `profile`?",
        "p.yaml:3:11",
        "did you mean `fuel`?",
        "`soon` is no time",
        "p.yaml:6:13",
        "`relative` is not an absolute path",
        "`everything` is no access",
        "p.yaml:11:53",
        "`x/y` in `except` is not an absolute path",
        "p.yaml:12:45",
        "`/x/../y` in `except` is not an absolute path",
        "the scheme is http",
        "it names a user",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
}

#[test]
fn units_and_shorthands_are_read() {
    let text = "version: 1\nlimits: { memory: 64MiB, wall: 1h30m, fuel: 12 }\n";
    let limits = Policy::parse(text, "p").unwrap().limits_with(&[]);
    assert_eq!(
        (limits.memory_bytes, limits.wall_millis, limits.fuel),
        (64 << 20, 5_400_000, 12)
    );
}

#[test]
fn problems_of_publishers_are_told_with_their_place() {
    let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    let text = format!(
        "version: 1\npublishers:\n  acme: {{ key: RWQx, actions: ['aws:*'] }}\n  capstan: {{ key: {key} }}\n  one: {{ key: {key} }}\n  two: {{ key: {key}, action: ['two:*'] }}\n  none: {{ actions: 'x:*' }}\n"
    );
    let text = Policy::parse(&text, "p.yaml").unwrap_err().to_string();
    for expected in [
        "p.yaml:3:16",
        "`RWQx` is no public key of minisign",
        "p.yaml:3:32",
        "no publisher can have them",
        "p.yaml:4:12",
        "`capstan` is the publisher of the built-in actions",
        "p.yaml:6:8",
        "`two` has the key of `one`",
        "did you mean `actions`?",
        "p.yaml:7:9",
        "a publisher has a `key`",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
}

#[test]
fn a_name_takes_the_signatures_of_those_who_claim_it() {
    let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    let text =
        format!("version: 1\npublishers:\n  acme: {{ key: {key}, actions: ['acme:*', other] }}\n");
    let policy = Policy::parse(&text, "p").unwrap();
    for (name, expected) in [
        ("acme:x", Some("acme")),
        ("other", Some("acme")),
        ("others", None),
        ("corp:acme:x", None),
    ] {
        let found = policy.publishers_of(name).map(|(name, _)| name).next();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn outputs_go_where_the_operator_says() {
    let text = "version: 1\noutputs:\n  folder: /var/log/commands\n  s3:\n    - { bucket: logs, prefix: /node/ }\n    - { bucket: any, region: eu-central-1 }\n";
    let outputs = Policy::parse(text, "p").unwrap().outputs;
    assert_eq!(outputs.folder.as_deref(), Some("/var/log/commands"));
    for (bucket, prefix, may) in [
        ("logs", "node", true),
        ("logs", "node/a/b", true),
        ("logs", "/node/", true),
        ("logs", "nodes", false),
        ("logs", "", false),
        ("logs", "node/../other", false),
        ("any", "", true),
        ("any", "a/./b", false),
        ("other", "node", false),
    ] {
        assert_eq!(
            outputs.bucket(bucket, prefix).is_some(),
            may,
            "{bucket}/{prefix}"
        );
    }
    let text = "version: 1\noutputs:\n  folder: logs\n  s3:\n    - { prefix: a, endpoint: s3.example.com, buckte: x }\n";
    let text = Policy::parse(text, "p.yaml").unwrap_err().to_string();
    for expected in [
        "p.yaml:3:11",
        "`logs` is not an absolute path",
        "p.yaml:5:30",
        "`s3.example.com` is no endpoint",
        "did you mean `bucket`?",
        "p.yaml:5:7",
        "a bucket has a name",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
}
