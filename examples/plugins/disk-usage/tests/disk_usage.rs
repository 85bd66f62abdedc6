//! The component in the real host, with a `df` that the tests write down.

use capstan_sdk_test::{Harness, HarnessError, Program, absent, answer, json};

fn df() -> Program {
    answer(0).stdout(
        "   1B-blocks        Used Use% Mounted on\n 1000 220  22% /\n 0 0 - /proc\n 500 475  95% /srv/data\n",
    )
}

#[test]
fn file_systems_are_told() -> Result<(), HarnessError> {
    let run = Harness::new()
        .program("df", df())
        .run(json!({ "mostPercent": "95" }))?;
    run.assert_success();
    assert_eq!(run.outputs["fullestPercent"], 95);
    assert_eq!(
        run.outputs["fileSystems"][0],
        json!({ "mountedAt": "/", "bytes": 1000, "usedBytes": 220, "usedPercent": 22 })
    );
    assert_eq!(
        run.programs[0].arguments,
        ["--block-size=1", "--output=size,used,pcent,target"]
    );
    Ok(())
}

#[test]
fn one_that_is_too_full_fails_the_step() -> Result<(), HarnessError> {
    let run = Harness::new()
        .program("df", df())
        .run(json!({ "mostPercent": 90 }))?;
    assert_eq!(run.message, "fuller than 90 %: /srv/data (95 %)");
    assert_eq!(run.detail["full"][0]["usedPercent"], 95);
    let below = Harness::new()
        .program("df", df())
        .run(json!({ "mostPercent": 90, "below": ["/srv/other"] }))?;
    below.assert_success();
    Ok(())
}

#[test]
fn what_df_cannot_do_is_told() -> Result<(), HarnessError> {
    let run = Harness::new()
        .program("df", answer(1).stderr("df: unknown option\n"))
        .run(json!({}))?;
    assert!(run.message.contains("unknown option"), "{}", run.message);
    let run = Harness::new().program("df", absent()).run(json!({}))?;
    assert!(run.message.contains("/usr/bin/df"), "{}", run.message);
    Ok(())
}
