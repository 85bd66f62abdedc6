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
