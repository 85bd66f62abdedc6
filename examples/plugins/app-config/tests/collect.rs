//! The component in the real host, with configuration files that the tests write down.

use capstan_sdk_test::{File, Harness, HarnessError, json};

#[test]
fn each_application_is_told_with_its_version() -> Result<(), HarnessError> {
    let run = Harness::new()
        .file(
            "/etc/apps/shop/shop.conf",
            File::from("# the shop\nversion = \"1.4\"\n").modified("2026-01-30T08:00:00Z"),
        )
        .file(
            "/etc/apps/blog/blog.ini",
            File::from("[blog]\n").modified("2026-01-29T08:00:00Z"),
        )
        .file("/etc/apps/blog/readme", "nothing")
        .run(json!({ "folder": "/etc/apps" }))?;
    run.assert_success();
    assert_eq!(run.items[0]["TypeName"], "Custom:ApplicationConfig");
    assert_eq!(
        run.items[0]["Content"],
        json!([
            { "Name": "blog", "ConfigFile": "/etc/apps/blog/blog.ini", "LastModified": "2026-01-29T08:00:00Z" },
            { "Name": "shop", "Version": "1.4", "ConfigFile": "/etc/apps/shop/shop.conf", "LastModified": "2026-01-30T08:00:00Z" },
        ])
    );
    Ok(())
}

#[test]
fn what_is_not_granted_is_left_out() -> Result<(), HarnessError> {
    let run = Harness::new()
        .file("/etc/apps/shop/shop.conf", "version=1\n")
        .file("/etc/apps/shop/secret.conf", "version=2\n")
        .deny("files", "/etc/apps/shop/secret.conf")
        .run(json!({ "folder": "/etc/apps" }))?;
    run.assert_success();
    assert_eq!(run.items[0]["Content"].as_array().map(Vec::len), Some(1));
    assert!(run.log.iter().any(|line| line.message == "left out"));
    Ok(())
}
