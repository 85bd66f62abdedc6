//! The component in the real host: a scripted service, and a clock that is set.

use capstan_sdk_test::{Harness, HarnessError, json, respond};

const URL: &str = "http://127.0.0.1:8080/health";

#[test]
fn a_healthy_service_is_not_waited_for() -> Result<(), HarnessError> {
    let run = Harness::new()
        .http("GET", URL, 200, "ready")
        .run(json!({ "url": URL, "contains": "ready" }))?;
    run.assert_success();
    assert_eq!(run.outputs["attempts"], 1);
    assert!(run.suspensions.is_empty());
    Ok(())
}

#[test]
fn it_is_gone_while_the_service_starts() -> Result<(), HarnessError> {
    let run = Harness::new()
        .now("2026-01-31T12:00:00Z")
        .http_with(
            "GET",
            URL,
            respond(503).error("connection refused").times(1),
        )
        .http_with("GET", URL, respond(503).times(2))
        .http("GET", URL, 200, "ready")
        .run(json!({ "url": URL, "everySeconds": 30 }))?;
    run.assert_success();
    assert_eq!(run.outputs["attempts"], 4);
    assert_eq!(run.suspensions.len(), 3);
    assert_eq!(run.suspensions[1].reason, "it answers with status 503");
    assert_eq!(run.ended_at, "2026-01-31T12:01:30Z");
    Ok(())
}

#[test]
fn it_is_given_up_in_the_end() -> Result<(), HarnessError> {
    let run = Harness::new()
        .http("GET", URL, 200, "starting")
        .run(json!({ "url": URL, "contains": "ready", "attempts": 3, "everySeconds": 1 }))?;
    assert_eq!(run.status, "TimedOut");
    assert_eq!(run.detail["attempts"], 3);
    assert!(
        run.message.contains("does not hold `ready`"),
        "{}",
        run.message
    );
    Ok(())
}

#[test]
fn a_denial_is_not_waited_out() -> Result<(), HarnessError> {
    let run = Harness::new()
        .deny("hosts", URL)
        .run(json!({ "url": URL }))?;
    assert_eq!(run.status_detail, "AccessDenied");
    assert!(run.requests.is_empty());
    Ok(())
}
