//! What has to hold when all is over, by what the API tells and what the machines remember.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use capstan_server::Server;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::ledger::is_terminal;
use crate::network::BEGINNING;
use crate::place::{NODES, Still};
use crate::world::World;

/// Reads everything from the database that the simulation left, and finds what is against the rules.
pub fn audit(world: &World, took: Duration) {
    let now = Timestamp::from_second(BEGINNING).unwrap() + took;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let server = world.place.server(Arc::new(Still(now))).await;
        let listed = call(&server, "ListCommands", json!({})).await;
        let commands: BTreeMap<&str, &Value> = listed["Commands"]
            .as_array()
            .unwrap()
            .iter()
            .map(|command| (text(command, "CommandId"), command))
            .collect();
        for (id, label) in world.ledger.all_accepted() {
            if !commands.contains_key(id.as_str()) {
                let rule = format!("{label} was accepted and is lost");
                world.ledger.violated(rule);
            }
        }
        for command in commands.values() {
            of_command(world, &server, command).await;
        }
    });
}

async fn call(server: &Arc<Server>, operation: &str, input: Value) -> Value {
    server.call_own(operation, input).await.unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

async fn of_command(world: &World, server: &Arc<Server>, command: &Value) {
    let (id, label) = (text(command, "CommandId"), text(command, "Comment"));
    let found = call(server, "ListCommandInvocations", json!({"CommandId": id})).await;
    let invocations = found["CommandInvocations"].as_array().unwrap();
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut wrong: Vec<String> = Vec::new();
    let mut claim = |holds: bool, rule: String| {
        if !holds {
            wrong.push(rule);
        }
    };
    claim(
        invocations.len() == NODES,
        format!("it has {} invocations", invocations.len()),
    );
    for invocation in invocations {
        let (node, details) = (
            text(invocation, "InstanceId"),
            text(invocation, "StatusDetails"),
        );
        *counts.entry(details).or_default() += 1;
        claim(is_terminal(details), format!("it is {details} on {node}"));
        let index = world.place.nodes.iter().position(|id| id == node).unwrap();
        let history = world.machines[index].history(id);
        let ended = history.ended.as_ref().map(|(report, _)| report);
        let word = ended.map(|report| report.status.word());
        let is_so = match details {
            "Success" | "Failed" => word == Some(details),
            "Cancelled" => word == Some(details) || history.starts.is_empty(),
            "Terminated" | "Undeliverable" => history.starts.is_empty(),
            // The node was not heard of in time, whatever it did.
            "DeliveryTimedOut" => true,
            _ => false,
        };
        claim(
            is_so,
            format!(
                "it is {details} on node {index}, which began it at {:?} and ended it as {word:?}",
                history.starts
            ),
        );
        if let (Some(report), "Success" | "Failed") = (ended, details) {
            let input = json!({"CommandId": id, "InstanceId": node});
            let got = call(server, "GetCommandInvocation", input).await;
            let output = text(&got, "StandardOutputContent");
            let printed = &report.steps[0].stdout;
            claim(
                output == printed,
                format!("node {index} printed {printed:?}, and {output:?} is told"),
            );
        }
    }
    let count = |details: &str| counts.get(details).copied().unwrap_or(0);
    let limits = world.ledger.limits(label);
    let errors = count("Failed") + count("ExecutionTimedOut");
    let late = count("DeliveryTimedOut");
    let number = |name: &str| command[name].as_u64().unwrap();
    claim(
        (number("TargetCount"), number("CompletedCount")) == (NODES as u64, NODES as u64)
            && (number("ErrorCount"), number("DeliveryTimedOutCount")) == (errors, late),
        format!("its counts are not those of {counts:?}: {command}"),
    );
    // Those that ran when the last error that is borne was told may fail, too.
    claim(
        errors <= limits.errors + limits.concurrency as u64,
        format!("{errors} errors are more than could come before it was stopped"),
    );
    claim(
        count("Terminated") == 0 || errors > limits.errors,
        format!("it was stopped by {errors} errors"),
    );
    let details = text(command, "StatusDetails");
    let bad = errors + late;
    let is_so = if world.ledger.is_cancelled(id) && count("Cancelled") > 0 {
        // If only some nodes were named it is as with others that are not all well.
        matches!(details, "Cancelled" | "Incomplete" | "Failed")
    } else if bad > limits.errors {
        details
            == if late > errors {
                "DeliveryTimedOut"
            } else {
                "Failed"
            }
    } else if bad > 0 {
        details == "Incomplete"
    } else {
        details
            == if count("Success") > 0 {
                "Success"
            } else {
                "Failed"
            }
    };
    claim(is_so, format!("it is {details}, with {counts:?}"));
    for rule in wrong {
        world.ledger.violated(format!("{label}: {rule}"));
    }
}
