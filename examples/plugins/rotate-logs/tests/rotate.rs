//! The component in the real host, with logs that the tests write down.

use capstan_sdk_test::{Harness, HarnessError, absent, answer, json};

const LOG: &str = "/var/log/shop/app.log";

#[test]
fn large_logs_are_set_aside_and_compressed() -> Result<(), HarnessError> {
    let run = Harness::new()
        .file(LOG, "x".repeat(100))
        .file("/var/log/shop/app.log.1.gz", "older")
        .file("/var/log/shop/small.log", "x")
        .program(
            "gzip",
            answer(0)
                .arguments(["-9", "--", "/var/log/shop/app.log.1"])
                .writes("/var/log/shop/app.log.1.gz", "packed")
                .removes("/var/log/shop/app.log.1"),
        )
        .run(json!({ "folder": "/var/log/shop", "maxBytes": "50", "keep": 2 }))?;
    run.assert_success();
    assert_eq!(
        run.outputs,
        json!({ "rotated": 1, "compressed": 1, "removed": 0, "bytes": 100 })
    );
    assert_eq!(run.file(LOG), Some(""));
    assert_eq!(run.file("/var/log/shop/app.log.1.gz"), Some("packed"));
    assert_eq!(run.file("/var/log/shop/app.log.2.gz"), Some("older"));
    assert_eq!(run.file("/var/log/shop/small.log"), None);
    assert!(run.fuel < 20_000_000, "{}", run.fuel);
    Ok(())
}

#[test]
fn without_gzip_they_stay_as_they_are() -> Result<(), HarnessError> {
    let run = Harness::new()
        .file(LOG, "x".repeat(100))
        .program("gzip", absent())
        .run(json!({ "folder": "/var/log/shop", "maxBytes": 1 }))?;
    run.assert_success();
    assert_eq!(run.outputs["compressed"], 0);
    assert_eq!(
        run.file("/var/log/shop/app.log.1"),
        Some("x".repeat(100).as_str())
    );
    Ok(())
}

#[test]
fn a_gzip_that_fails_is_told_of() -> Result<(), HarnessError> {
    let run = Harness::new()
        .file(LOG, "x".repeat(100))
        .program("gzip", answer(1).stderr("gzip: no space left\n"))
        .run(json!({ "folder": "/var/log/shop", "maxBytes": 1 }))?;
    assert!(run.message.contains("no space left"), "{}", run.message);
    Ok(())
}

#[test]
fn a_folder_is_named_in_full() -> Result<(), HarnessError> {
    let run = Harness::new().run(json!({ "folder": "logs" }))?;
    assert!(!run.message.is_empty());
    assert_ne!(run.status, "Success");
    Ok(())
}
