//! Runs the built component in the real host, against a machine that each test writes down.

use capstan_sdk_test::{Harness, HarnessError, folder, json};

fn machine() -> Harness {
    Harness::new()
        .file("/etc/app.conf", "a=1\n")
        .file("/etc/other.conf", "")
        .file("/etc/passwd", "root")
        .file("/etc/app.d", folder())
}

#[test]
fn finds_configuration_files() -> Result<(), HarnessError> {
    let run = machine().run(json!({}))?;
    run.assert_success();
    assert_eq!(run.items[0]["TypeName"], "Custom:ConfigFile");
    assert_eq!(
        run.items[0]["Content"],
        json!([
            { "Name": "app.conf", "Path": "/etc/app.conf", "Size": "4", "Mode": "0644" },
            { "Name": "other.conf", "Path": "/etc/other.conf", "Size": "0", "Mode": "0644" },
        ])
    );
    Ok(())
}

#[test]
fn follows_its_settings() -> Result<(), HarnessError> {
    let run = machine().run(json!({ "suffix": "wd" }))?;
    run.assert_success();
    assert_eq!(run.items[0]["Content"][0]["Name"], "passwd");
    Ok(())
}
