//! The steps of a command on one node.

use std::io::IsTerminal as _;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::client::{Remote, items};
use super::command::print_command;
use super::table::{print_facts, text};

/// Shows the steps, each with all of its outputs that the server has.
pub(super) async fn show(remote: &Remote, id: &str, node: &str) -> Result<()> {
    let which = json!({ "CommandId": id, "InstanceId": node });
    let mut commands = remote
        .call("ListCommands", &json!({ "CommandId": id }))
        .await?;
    let mut input = which.clone();
    input["Details"] = true.into();
    let mut invocations = remote.call("ListCommandInvocations", &input).await?;
    let Some(invocation) = items(&invocations, "CommandInvocations").first() else {
        bail!(
            "the command {id} was not sent to {node}; `capstan command show {id}` lists its nodes"
        );
    };
    // Lists have the beginning of the outputs alone.
    let mut steps = Vec::new();
    for plugin in items(invocation, "CommandPlugins") {
        let mut input = which.clone();
        input["PluginName"] = plugin["Name"].clone();
        steps.push(remote.call("GetCommandInvocation", &input).await?);
    }
    let answer = json!({
        "Commands": commands["Commands"].take(),
        "CommandInvocations": invocations["CommandInvocations"].take(),
        "Steps": steps,
    });
    remote.print(&answer, |answer| {
        items(answer, "Commands").iter().for_each(print_command);
        outln!();
        for invocation in items(answer, "CommandInvocations") {
            print_facts(&[
                ("node", text(invocation, "InstanceId")),
                ("name", text(invocation, "InstanceName")),
                ("status", text(invocation, "StatusDetails")),
                ("message", text(invocation, "TraceOutput")),
            ]);
        }
        items(answer, "Steps").iter().for_each(print);
    });
    Ok(())
}

fn print(step: &Value) {
    outln!();
    print_facts(&[
        ("step", text(step, "PluginName")),
        ("status", text(step, "StatusDetails")),
        ("exit code", code(step)),
        ("began", begin(step)),
    ]);
    for (name, member) in [
        ("output", "StandardOutputContent"),
        ("error output", "StandardErrorContent"),
    ] {
        let text = text(step, member);
        if text.is_empty() {
            continue;
        }
        outln!("{name}");
        for line in text.lines() {
            outln!("  {}", harmless(line));
        }
    }
}

/// -1 is of steps that were not run.
fn code(step: &Value) -> String {
    match text(step, "ResponseCode") {
        code if code == "-1" => String::new(),
        code => code,
    }
}

/// Times of steps are text.
fn begin(step: &Value) -> String {
    let began = text(step, "ExecutionStartDateTime");
    match text(step, "ExecutionElapsedTime") {
        elapsed if elapsed.is_empty() || began.is_empty() => began,
        elapsed => format!("{began}, took {elapsed}"),
    }
}

/// What a program of a node printed, without what would steer this terminal.
fn harmless(line: &str) -> String {
    if !std::io::stdout().is_terminal() {
        return line.to_owned();
    }
    line.chars()
        .map(|c| {
            if c.is_control() && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}
