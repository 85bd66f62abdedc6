//! Runs the built component in the real host, against a machine that each test writes down.

use capstan_sdk_test::{Harness, HarnessError, folder, json};

#[test]
fn writes_a_greeting() -> Result<(), HarnessError> {
    let run = Harness::new()
        .file("/srv", folder())
        .run(json!({ "file": "/srv/greeting.txt", "name": "Ada" }))?;
    run.assert_success();
    assert_eq!(run.file("/srv/greeting.txt"), Some("hello Ada\n"));
    assert_eq!(
        run.outputs,
        json!({ "path": "/srv/greeting.txt", "length": 10 })
    );
    assert!(run.fuel < 1_000_000, "{}", run.fuel);
    Ok(())
}

#[test]
fn needs_a_file() -> Result<(), HarnessError> {
    let run = Harness::new().run(json!({ "name": "Ada" }))?;
    assert_eq!(run.status_detail, "InvalidInput");
    assert_eq!(run.message, "the step has no file");
    Ok(())
}

#[test]
fn says_what_was_denied() -> Result<(), HarnessError> {
    let run = Harness::new()
        .deny("files", "/etc/motd")
        .run(json!({ "file": "/etc/motd" }))?;
    assert_eq!(run.status_detail, "AccessDenied");
    assert!(run.file("/etc/motd").is_none());
    Ok(())
}
