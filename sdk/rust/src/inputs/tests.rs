use std::collections::BTreeMap;

use serde::Deserialize;

use super::typed;
use crate::{Value, json};

#[derive(Debug, Deserialize)]
enum Mode {
    Install,
    Uninstall,
}

#[derive(Debug, Deserialize)]
struct Place {
    path: String,
    #[serde(default)]
    depth: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Inputs {
    name: Option<String>,
    keep: Option<u8>,
    strict: bool,
    lines: Vec<String>,
    places: Vec<Place>,
    mode: Option<Mode>,
    environment: BTreeMap<String, Option<String>>,
    raw: Value,
}

#[test]
fn what_documents_write_is_read() {
    let read: Inputs = typed(&json!({
        "NAME": 5, "keep": " 7 ", "Strict": "True", "lines": "one", "mode": "Install",
        "places": "[{\"PATH\": \"/a\", \"depth\": \"2\"}]",
        "environment": { "A": 1, "B": null }, "raw": { "x": [null] },
    }))
    .unwrap();
    assert_eq!(read.name.as_deref(), Some("5"));
    assert_eq!(read.keep, Some(7));
    assert!(read.strict);
    assert_eq!(read.lines, ["one"]);
    let place = &read.places[0];
    assert_eq!((place.path.as_str(), place.depth), ("/a", 2));
    assert!(matches!(read.mode, Some(Mode::Install)));
    assert_eq!(read.environment["A"].as_deref(), Some("1"));
    assert_eq!(read.environment["B"], None);
    assert_eq!(read.raw, json!({ "x": [null] }));
    let read: Inputs = typed(&json!({
        "name": "", "keep": "", "strict": null, "mode": "", "environment": "",
    }))
    .unwrap();
    assert!(read.name.is_none() && read.keep.is_none() && read.mode.is_none());
    assert!(!read.strict && read.environment.is_empty());
    // Text that only begins like JSON is text.
    let read: Inputs = typed(&json!({ "lines": "[ -f /a ] && echo x" })).unwrap();
    assert_eq!(read.lines, ["[ -f /a ] && echo x"]);
}

#[test]
fn refusals_name_the_key_and_what_it_should_be() {
    for (inputs, message) in [
        (json!({ "name": ["a"] }), "name is a text, and not a list"),
        (
            json!({ "Name": { "a": 1 } }),
            "name is a text, and not a mapping",
        ),
        (
            json!({ "keep": 256 }),
            "keep is a whole number from 0 to 255, and not `256`",
        ),
        (
            json!({ "strict": "yes" }),
            "strict is true or false, and not `yes`",
        ),
        (
            json!({ "lines": { "a": 1 } }),
            "lines is a list, and not a mapping",
        ),
        (
            json!({ "lines": ["a", []] }),
            "lines[1] is a text, and not a list",
        ),
        (
            json!({ "places": [{ "depth": 1 }] }),
            "places[0] has no path",
        ),
        (
            json!({ "places": [{ "path": "/", "depth": "x" }] }),
            "places[0].depth is a whole number, and not `x`",
        ),
        (
            json!({ "mode": "install" }),
            "there is no mode install; there are Install and Uninstall, written just so",
        ),
        (
            json!({ "mode": [] }),
            "mode is one of Install, Uninstall, and not a list",
        ),
        (
            json!({ "environment": ["A=1"] }),
            "environment is a mapping, and not a list",
        ),
        (json!({ "keep": 1, "KEEP": 2 }), "the step has keep twice"),
        (json!([]), "the inputs are a mapping, and not a list"),
    ] {
        let failure = typed::<Inputs>(&inputs).unwrap_err();
        assert_eq!(failure.message, message, "{inputs}");
    }
    let failure = typed::<Place>(&json!({})).unwrap_err();
    assert_eq!(failure.message, "the step has no path");
}
