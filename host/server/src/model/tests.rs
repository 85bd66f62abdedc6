#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod arbitrary;
mod messages;

use super::shape::Kind;
use super::{Service, load, model, pattern};

#[test]
fn the_models_are_whole() {
    let model = load::load(&load::EMBEDDED).unwrap();
    let count = |service| model.operations(service).count();
    assert_eq!(
        (count(Service::Ssm), count(Service::Ec2Messages)),
        (154 + 8, 6)
    );
    assert_eq!(
        model
            .operation(Service::Ssm, "GetMessages")
            .map(|o| o.name()),
        None
    );
    let send = model.operation(Service::Ssm, "SendCommand").unwrap();
    assert_eq!(send.name(), "SendCommand");
    assert!(send.errors().contains(&"InvalidOutputFolder"));
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let service = |operations: &str, shapes: &str| {
        let text = format!(
            r#"{{"ssm":{{"operations":{{{operations}}},"errors":{{}},"shapes":{{{shapes}}}}},
               "ec2messages":{{"operations":{{}},"errors":{{}},"shapes":{{}}}},
               "resource-groups":{{"operations":{{}},"errors":{{}},"shapes":{{}}}}}}"#
        );
        load::load(&[text.leak()]).map(|_| ())
    };
    assert_eq!(service("", r#""A":{"type":"list","member":"A"}"#), Ok(()));
    for (operations, shapes, error) in [
        (
            "",
            r#""A":{"type":"list","member":"B"}"#,
            "ssm: shape A: there is no shape B",
        ),
        (
            "",
            r#""A":{"type":"list"}"#,
            "ssm: shape A: a part of it is missing",
        ),
        (
            "",
            r#""A":{"type":"tuple"}"#,
            "ssm: shape A: type tuple is not known",
        ),
        (
            "",
            r#""A":{"type":"string"},"A":{"type":"string"}"#,
            "ssm: shape A is there twice",
        ),
        (
            "",
            r#""A":{"type":"structure","members":{},"required":["B"]}"#,
            "ssm: shape A: there is no member B",
        ),
        (
            r#""Do":{"input":"A","errors":[]}"#,
            "",
            "ssm: there is no shape A",
        ),
        (
            r#""Do":{"errors":["Bad"]}"#,
            "",
            "ssm: operation Do: there is no error Bad",
        ),
    ] {
        assert_eq!(service(operations, shapes), Err(error.to_owned()));
    }
    assert_eq!(
        load::load(&["{}"]).map(|_| ()),
        Err("there is no model of ssm".to_owned())
    );
}

#[test]
fn errors_tell_how_they_are_written() {
    let error = |code| model().error(Service::Ssm, code).unwrap();
    let told = |code| {
        let error = error(code);
        (error.status(), error.message_member(), error.members())
    };
    assert_eq!(
        told("InvalidFilterOption"),
        (None, Some("message"), &[][..])
    );
    assert_eq!(
        told("InternalServerError"),
        (Some(500), Some("Message"), &[][..])
    );
    assert_eq!(told("InvocationDoesNotExist"), (None, None, &[][..]));
    assert_eq!(
        told("ItemSizeLimitExceededException"),
        (None, Some("Message"), &["TypeName"][..])
    );
    assert_eq!(
        error("DoesNotExistException").name(),
        "DoesNotExistException"
    );
    assert!(
        model()
            .error(Service::Ec2Messages, "DoesNotExistException")
            .is_none()
    );
}

#[test]
fn all_patterns_compile() {
    let mut count = 0;
    for service in Service::ALL {
        let shapes = &model().operations(service).next().unwrap().shapes;
        for found in shapes.iter().filter_map(|shape| shape.pattern.as_ref()) {
            if let Err(error) = pattern::compile(found.java()) {
                panic!("{}: {error}", found.java());
            }
            count += 1;
        }
        // What is asked of keys and of elements is asked of text.
        for shape in shapes.iter() {
            if let Kind::Map { key, .. } = shape.kind {
                assert!(matches!(shapes[key].kind, Kind::String), "{}", shape.name);
            }
        }
    }
    assert!(count > 100, "{count}");
}

#[test]
fn patterns_are_read_as_java_reads_them() {
    for (java, text, expected) in [
        ("[a-z]+", "abc", true),
        ("[a-z]+", "abc1", false),
        ("^a|b$", "ab", false),
        (r"\w{2}", "éé", false),
        (r"[\w-\/.]+", "a-b/c.d", true),
        (r"[\w-\/.]+", "a,b", false),
        (r"\d+", "٣", false),
        (r"[\s\S]*\S[\s\S]*", "\n x\n", true),
        (r"[\s\S]*\S[\s\S]*", " \n", false),
        (r"^(?!\s*$).+", "  ", false),
        (r"^(?!\s*$).+", "a b", true),
        (".+", "a\u{2028}", false),
        (".+", "a\n", false),
        ("^a$", "a\n", false),
        ("(?i)all|[0-9]{12}", "ALL", true),
        (r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$", "Größe 1/2", true),
        (r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$", "a#b", false),
        (r"\p{L}{2}", "éa", true),
        (r"([ab])\1", "aa", true),
        (r"([ab])\1", "ab", false),
        (r"x.{1,2000}", "xyz", true),
        (r"x[^,]{300,400}y", "xy", false),
        (r"\d{1,300}", "12", true),
    ] {
        let pattern = pattern::Pattern::new(java.into());
        assert_eq!(pattern.matches(text), expected, "{java} {text:?}");
    }
    let long = pattern::Pattern::new("^.{1,100000}$".into());
    assert!(long.matches(&"a".repeat(100_000)));
    assert!(!long.matches(&"a".repeat(100_001)));
}
