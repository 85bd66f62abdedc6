//! `capstan command`: Run Command.

use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};

use super::client::{Remote, items};
use super::send::{self, SendArguments};
use super::step;
use super::table::{Table, print_facts, text, time};
use super::watch;
use crate::exit::Exit;

/// What can be done with commands.
#[derive(Debug, Subcommand)]
pub(crate) enum CommandCommand {
    /// Send a command: have nodes run a document. Prints the command's id.
    #[command(
        after_help = "Examples:\n  capstan command send AWS-RunShellScript --target tag:Environment=production --parameters 'commands=[\"uptime\"]' --watch\n  capstan command send deploy --node mi-0123456789abcdef0 --parameters '{\"Release\":[\"4.2\"]}'\n\nExit status with --watch: 0 success, 1 failed, timed out or no node was found, 130 cancelled.\nOtherwise: 0 sent, 1 the server is not there or cannot do it, 2 invalid input, 3 not allowed to this access key."
    )]
    Send(Box<SendArguments>),
    /// List commands, the newest first.
    List {
        /// Those that were sent to this node.
        #[arg(long, value_name = "ID")]
        node: Option<String>,
        /// Those that are so, such as InProgress, Success or Failed.
        #[arg(long, value_name = "STATUS")]
        status: Option<String>,
        /// At most as many.
        #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Show a command: its status on each node, or its steps and their outputs on one.
    Show {
        /// The command's id.
        id: String,
        /// The node whose steps and outputs are shown.
        #[arg(long, value_name = "ID")]
        node: Option<String>,
    },
    /// Watch a command until it ends.
    #[command(
        after_help = "Exit status: 0 success, 1 failed, timed out or no node was found, 130 cancelled."
    )]
    Watch {
        /// The command's id.
        id: String,
    },
    /// Cancel a command, on all of its nodes or on some.
    Cancel {
        /// The command's id.
        id: String,
        /// A node. May be given several times.
        #[arg(long, value_name = "ID")]
        node: Vec<String>,
    },
}

pub(super) async fn run(remote: &Remote, command: CommandCommand) -> Result<Exit> {
    match command {
        CommandCommand::Send(arguments) => return send::send(remote, *arguments).await,
        CommandCommand::List {
            node,
            status,
            limit,
        } => list(remote, node, status, limit).await?,
        CommandCommand::Show { id, node: None } => show(remote, &id).await?,
        CommandCommand::Show {
            id,
            node: Some(node),
        } => step::show(remote, &id, &node).await?,
        CommandCommand::Watch { id } => return watch::watch(remote, &id).await,
        CommandCommand::Cancel { id, node } => {
            let mut input = json!({ "CommandId": id });
            if !node.is_empty() {
                input["InstanceIds"] = node.into();
            }
            let answer = remote.call("CancelCommand", &input).await?;
            remote.print(&answer, |_| outln!("{id}: asked to cancel"));
        }
    }
    Ok(Exit::Success)
}

async fn list(
    remote: &Remote,
    node: Option<String>,
    status: Option<String>,
    limit: u32,
) -> Result<()> {
    let mut input = json!({ "MaxResults": limit.min(50) });
    if let Some(node) = node {
        input["InstanceId"] = node.into();
    }
    if let Some(status) = status {
        input["Filters"] = json!([{ "key": "Status", "value": status }]);
    }
    let limit = usize::try_from(limit).ok();
    let answer = remote
        .pages("ListCommands", input, "Commands", limit)
        .await?;
    remote.print(&answer, |answer| {
        let mut table = Table::new(&[
            "COMMAND",
            "DOCUMENT",
            "STATUS",
            "DONE",
            "ERRORS",
            "REQUESTED",
            "COMMENT",
        ]);
        for command in items(answer, "Commands") {
            table.row([
                text(command, "CommandId"),
                text(command, "DocumentName"),
                text(command, "StatusDetails"),
                format!(
                    "{}/{}",
                    text(command, "CompletedCount"),
                    text(command, "TargetCount")
                ),
                text(command, "ErrorCount"),
                time(command, "RequestedDateTime"),
                text(command, "Comment"),
            ]);
        }
        table.print();
    });
    Ok(())
}

/// The command with its invocations.
pub(super) async fn whole(remote: &Remote, id: &str) -> Result<Value> {
    let input = json!({ "CommandId": id });
    // The command first: if it is over, all of its invocations are.
    let mut answer = remote.call("ListCommands", &input).await?;
    let mut invocations = remote
        .pages("ListCommandInvocations", input, "CommandInvocations", None)
        .await?;
    Ok(json!({
        "Commands": answer["Commands"].take(),
        "CommandInvocations": invocations["CommandInvocations"].take(),
    }))
}

/// Prints what a command is.
pub(super) fn print_command(command: &Value) {
    let targets: Vec<String> = items(command, "Targets")
        .iter()
        .map(|target| format!("{}={}", text(target, "Key"), text(target, "Values")))
        .collect();
    print_facts(&[
        ("command", text(command, "CommandId")),
        ("document", text(command, "DocumentName")),
        ("version", text(command, "DocumentVersion")),
        ("comment", text(command, "Comment")),
        ("targets", targets.join(" ")),
        ("requested", time(command, "RequestedDateTime")),
        ("status", text(command, "StatusDetails")),
        (
            "done",
            format!(
                "{} of {}, {} with errors",
                text(command, "CompletedCount"),
                text(command, "TargetCount"),
                text(command, "ErrorCount")
            ),
        ),
    ]);
}

async fn show(remote: &Remote, id: &str) -> Result<()> {
    let answer = whole(remote, id).await?;
    remote.print(&answer, |answer| {
        items(answer, "Commands").iter().for_each(print_command);
        let mut table = Table::new(&["NODE", "STATUS", "NAME", "MESSAGE"]);
        for invocation in items(answer, "CommandInvocations") {
            table.row([
                text(invocation, "InstanceId"),
                text(invocation, "StatusDetails"),
                text(invocation, "InstanceName"),
                text(invocation, "TraceOutput"),
            ]);
        }
        outln!();
        table.print();
    });
    Ok(())
}
