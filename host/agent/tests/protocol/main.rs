//! What the agent promises of commands, with a control plane that loses, repeats and refuses.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod plane;

use std::sync::atomic::{AtomicUsize, Ordering};

use capstan_agent::{Connection, StatusReport};
use plane::World;

#[tokio::test]
async fn a_command_runs_once_and_is_told_from_its_receipt_to_its_end() {
    let world = World::new("once").await;
    let agent = world.start();
    world.plane.send("quick-1");
    world.plane.send("quick-1");
    world
        .until("the end", |world| world.plane.is_told("quick-1", "Success"))
        .await;
    world.plane.send("quick-1");
    // Who sends it again has not heard of its end.
    world
        .until("the end again", |world| {
            world
                .plane
                .told("quick-1")
                .iter()
                .filter(|status| *status == "Success")
                .count()
                == 2
        })
        .await;
    assert_eq!(world.executor.runs("quick-1"), 1);
    assert_eq!(world.plane.told("quick-1")[0], "InProgress");
    world.kill(agent).await;
}

#[tokio::test]
async fn a_command_that_was_taken_back_is_never_run() {
    let world = World::new("taken-back").await;
    world.plane.rule(|operation, _| {
        (operation == "AcknowledgeMessage").then_some(Err((400, "InvalidMessageId")))
    });
    let agent = world.start();
    world.plane.send("quick-1");
    world
        .until("the acknowledgement", |world| {
            world.plane.count("AcknowledgeMessage") > 0
        })
        .await;
    world.settle().await;
    assert_eq!(world.executor.runs("quick-1"), 0);
    assert!(
        StatusReport::read(&world.folder)
            .unwrap()
            .pending
            .is_empty()
    );
    world.kill(agent).await;
}

#[tokio::test]
async fn a_command_whose_acknowledgement_is_not_known_waits_for_it_also_through_a_restart() {
    let world = World::new("unknown").await;
    world
        .plane
        .rule(|operation, _| (operation == "AcknowledgeMessage").then_some(Err((503, "X"))));
    let agent = world.start();
    world.plane.send("quick-1");
    world
        .until("the command", |world| {
            StatusReport::read(&world.folder).is_ok_and(|status| status.pending == ["quick-1"])
        })
        .await;
    world.settle().await;
    world.kill(agent).await;
    assert_eq!(world.executor.runs("quick-1"), 0);
    world.plane.no_rule();
    let agent = world.start();
    world
        .until("the end", |world| world.plane.is_told("quick-1", "Success"))
        .await;
    assert_eq!(world.executor.runs("quick-1"), 1);
    world.kill(agent).await;
}

#[tokio::test]
async fn a_result_outlives_an_outage_and_the_agent() {
    let world = World::new("outage").await;
    world
        .plane
        .rule(|operation, _| (operation == "SendReply").then_some(Err((503, "X"))));
    let agent = world.start();
    world.plane.send("quick-1");
    world
        .until("the result", |world| {
            StatusReport::read(&world.folder).is_ok_and(|status| status.undelivered == ["quick-1"])
        })
        .await;
    world.kill(agent).await;
    world.plane.no_rule();
    let agent = world.start();
    world
        .until("the end", |world| world.plane.is_told("quick-1", "Success"))
        .await;
    world.settle().await;
    assert_eq!(world.plane.told("quick-1"), ["Success"]);
    assert_eq!(world.executor.runs("quick-1"), 1);
    world.kill(agent).await;
}

#[tokio::test]
async fn a_command_that_was_interrupted_is_gone_on_with() {
    let world = World::new("interrupted").await;
    let agent = world.start();
    world.plane.send("slow-1");
    world
        .until("the run", |world| world.executor.runs("slow-1") == 1)
        .await;
    world.kill(agent).await;
    let agent = world.start();
    world
        .until("the end", |world| world.plane.is_told("slow-1", "Success"))
        .await;
    assert_eq!(world.executor.runs("slow-1"), 2);
    world.kill(agent).await;
}

#[tokio::test]
async fn a_cancelled_command_ends_and_one_that_is_not_here_is_told_to_be_over() {
    let world = World::new("cancel").await;
    let agent = world.start();
    world.plane.send("slow-1");
    world
        .until("the run", |world| world.executor.runs("slow-1") == 1)
        .await;
    world.plane.cancel("slow-1");
    world
        .until("the end", |world| {
            world.plane.is_told("slow-1", "Cancelled")
        })
        .await;
    world.plane.cancel("quick-unknown");
    world
        .until("the answer", |world| {
            world.plane.is_told("quick-unknown", "Cancelled")
        })
        .await;
    world.kill(agent).await;
}

#[tokio::test]
async fn what_there_is_no_room_for_is_not_acknowledged() {
    let mut world = World::new("full").await;
    (world.options.concurrency, world.options.buffer) = (1, 1);
    let agent = world.start();
    world.plane.send("slow-1");
    world
        .until("the run", |world| world.executor.runs("slow-1") == 1)
        .await;
    world.plane.send("quick-2");
    world.plane.send("quick-3");
    world
        .until("the buffered one", |world| {
            world.plane.count("AcknowledgeMessage") == 2
        })
        .await;
    world.settle().await;
    assert_eq!(world.executor.runs("slow-1"), 1);
    assert_eq!(
        world.executor.runs("quick-2") + world.executor.runs("quick-3"),
        0
    );
    assert_eq!(world.plane.count("AcknowledgeMessage"), 2);
    // One that waits for its turn is cancelled without ever being begun.
    world.plane.cancel("quick-2");
    world
        .until("the end", |world| {
            world.plane.is_told("quick-2", "Cancelled")
        })
        .await;
    assert_eq!(world.executor.runs("quick-2"), 0);
    world.kill(agent).await;
}

#[tokio::test]
async fn a_node_that_was_deregistered_says_so_and_asks_seldom() {
    let world = World::new("deregistered").await;
    world.plane.rule(|operation, _| {
        (operation == "RequestManagedInstanceRoleToken")
            .then_some(Err((400, "UnrecognizedClientException")))
    });
    let agent = world.start();
    world
        .until("the refusal", |world| {
            StatusReport::read(&world.folder)
                .is_ok_and(|status| status.connection == Some(Connection::Refused))
        })
        .await;
    let asked = world.plane.count("RequestManagedInstanceRoleToken");
    // A minute and a half of its clock.
    tokio::time::sleep(std::time::Duration::from_millis(900)).await;
    assert_eq!(world.plane.count("RequestManagedInstanceRoleToken"), asked);
    assert_eq!(world.plane.count("GetMessages"), 0);
    let status = StatusReport::read(&world.folder).unwrap();
    assert!(
        status.message.contains("register --force"),
        "{}",
        status.message
    );
    world.kill(agent).await;
}

#[tokio::test]
async fn credentials_that_are_refused_are_replaced() {
    let world = World::new("credentials").await;
    let refused = AtomicUsize::new(0);
    world.plane.rule(move |operation, _| {
        let first = operation == "GetMessages" && refused.fetch_add(1, Ordering::SeqCst) == 0;
        first.then_some(Err((400, "ExpiredTokenException")))
    });
    let agent = world.start();
    world.plane.send("quick-1");
    world
        .until("the end", |world| world.plane.is_told("quick-1", "Success"))
        .await;
    assert_eq!(world.plane.count("RequestManagedInstanceRoleToken"), 2);
    world.kill(agent).await;
}

#[tokio::test]
async fn a_command_goes_on_after_the_restart_that_it_asked_for() {
    let world = World::new("restart").await;
    let restarts =
        |count: usize| move |world: &World| world.executor.restarts.load(Ordering::SeqCst) == count;
    let agent = world.start();
    world.plane.send("reboot-1");
    world.until("the restart", restarts(1)).await;
    world.kill(agent).await;
    // The agent was started again, and the machine was not: it still has to be.
    let agent = world.start();
    world.until("the restart again", restarts(2)).await;
    world.kill(agent).await;
    assert_eq!(world.executor.runs("reboot-1"), 1);
    world.executor.boots.fetch_add(1, Ordering::SeqCst);
    let agent = world.start();
    world
        .until("the end", |world| {
            world.plane.is_told("reboot-1", "Success")
        })
        .await;
    assert_eq!(world.executor.runs("reboot-1"), 2);
    world.kill(agent).await;
}
