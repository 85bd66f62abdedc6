//! `capstan node`: the nodes of a server.

use anyhow::{Result, bail};
use capstan_clock::{Clock as _, SystemClock};
use clap::{Args, Subcommand, ValueEnum};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde_json::{Value, json};

use super::client::{Remote, items, tags_text};
use super::table::{Table, print_facts, text, time};
use super::{Tag, tag};
use crate::exit::Exit;

/// What can be done with nodes.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// List nodes.
    List {
        /// Those with this tag. Given several times, nodes must have all.
        #[arg(long, value_name = "KEY=VALUE", value_parser = tag)]
        tag: Vec<Tag>,
        /// Those that are so.
        #[arg(long, value_enum, ignore_case = true)]
        status: Option<PingStatus>,
    },
    /// Show a node and its tags.
    Show {
        /// The node's id.
        id: String,
    },
    /// Give a node tags, or take them away.
    Tag {
        /// The node's id.
        id: String,
        /// The tags that it gets.
        #[arg(value_name = "KEY=VALUE", value_parser = tag, required_unless_present = "remove")]
        tags: Vec<Tag>,
        /// The key of a tag to remove. May be given several times.
        #[arg(long, value_name = "KEY")]
        remove: Vec<String>,
    },
    /// Make an activation, with which machines join as nodes. Its code is shown this once.
    Activate(ActivateArguments),
    /// Deregister a node: it gets no commands any more, and its agent is refused.
    Deregister {
        /// The node's id.
        id: String,
    },
}

/// Whether a node is heard of.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum PingStatus {
    /// It is.
    #[value(name = "Online")]
    Online,
    /// Not any more, or it never was.
    #[value(name = "ConnectionLost")]
    ConnectionLost,
}

/// What `capstan node activate` takes.
#[derive(Debug, Args)]
pub(crate) struct ActivateArguments {
    /// The role that the nodes are listed with.
    #[arg(long, default_value = "nodes")]
    role: String,
    /// How many machines may join with it.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// For how long it can be used, such as 12h or 7d; 30 days at most.
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    expires: Span,
    /// The name that the nodes get.
    #[arg(long)]
    name: Option<String>,
    /// A tag that the nodes get. May be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = tag)]
    tag: Vec<Tag>,
}

/// How the API calls what nodes are.
const KIND: &str = "ManagedInstance";

pub(super) async fn run(remote: &Remote, command: NodeCommand) -> Result<Exit> {
    match command {
        NodeCommand::List { tag, status } => list(remote, &tag, status).await?,
        NodeCommand::Show { id } => show(remote, &id).await?,
        NodeCommand::Tag { id, tags, remove } => change_tags(remote, &id, &tags, &remove).await?,
        NodeCommand::Activate(arguments) => activate(remote, &arguments).await?,
        NodeCommand::Deregister { id } => {
            let answer = remote
                .call("DeregisterManagedInstance", &json!({ "InstanceId": id }))
                .await?;
            remote.print(&answer, |_| outln!("{id} is no node any more"));
        }
    }
    Ok(Exit::Success)
}

async fn list(remote: &Remote, tags: &[Tag], status: Option<PingStatus>) -> Result<()> {
    let mut filters: Vec<Value> = tags
        .iter()
        .map(|tag| json!({ "Key": format!("tag:{}", tag.key), "Values": [tag.value] }))
        .collect();
    if let Some(status) = status {
        let word = match status {
            PingStatus::Online => "Online",
            PingStatus::ConnectionLost => "ConnectionLost",
        };
        filters.push(json!({ "Key": "PingStatus", "Values": [word] }));
    }
    let answer = information(remote, filters).await?;
    remote.print(&answer, |answer| {
        let mut table = Table::new(&[
            "NODE",
            "STATUS",
            "NAME",
            "COMPUTER",
            "ADDRESS",
            "PLATFORM",
            "AGENT",
            "LAST PING",
        ]);
        for node in items(answer, "InstanceInformationList") {
            table.row([
                text(node, "InstanceId"),
                text(node, "PingStatus"),
                text(node, "Name"),
                text(node, "ComputerName"),
                text(node, "IPAddress"),
                platform(node),
                text(node, "AgentVersion"),
                time(node, "LastPingDateTime"),
            ]);
        }
        table.print();
    });
    Ok(())
}

async fn information(remote: &Remote, filters: Vec<Value>) -> Result<Value> {
    let input = match filters.is_empty() {
        true => json!({ "MaxResults": 50 }),
        false => json!({ "MaxResults": 50, "Filters": filters }),
    };
    remote
        .pages(
            "DescribeInstanceInformation",
            input,
            "InstanceInformationList",
            None,
        )
        .await
}

fn platform(node: &Value) -> String {
    let name = text(node, "PlatformName");
    let name = match name.is_empty() {
        true => text(node, "PlatformType"),
        false => name,
    };
    format!("{name} {}", text(node, "PlatformVersion"))
        .trim()
        .to_owned()
}

async fn show(remote: &Remote, id: &str) -> Result<()> {
    let mut found = information(
        remote,
        vec![json!({ "Key": "InstanceIds", "Values": [id] })],
    )
    .await?;
    if items(&found, "InstanceInformationList").is_empty() {
        bail!("there is no node {id}; `capstan node list` shows those that there are");
    }
    let mut tags = remote.tags(KIND, id).await?;
    let answer = json!({
        "InstanceInformationList": found["InstanceInformationList"].take(),
        "TagList": tags["TagList"].take(),
    });
    remote.print(&answer, |answer| {
        for node in items(answer, "InstanceInformationList") {
            print_facts(&[
                ("node", text(node, "InstanceId")),
                ("name", text(node, "Name")),
                ("status", text(node, "PingStatus")),
                ("last ping", time(node, "LastPingDateTime")),
                ("computer", text(node, "ComputerName")),
                ("address", text(node, "IPAddress")),
                ("platform", platform(node)),
                ("agent", text(node, "AgentVersion")),
                ("role", text(node, "IamRole")),
                ("activation", text(node, "ActivationId")),
                ("registered", time(node, "RegistrationDate")),
                ("tags", tags_text(items(answer, "TagList"))),
            ]);
        }
    });
    Ok(())
}

async fn change_tags(remote: &Remote, id: &str, tags: &[Tag], remove: &[String]) -> Result<()> {
    let node = json!({ "ResourceType": KIND, "ResourceId": id });
    // Removed first, so that a key that is given with both has its new value.
    if !remove.is_empty() {
        let mut input = node.clone();
        input["TagKeys"] = remove.into();
        remote.call("RemoveTagsFromResource", &input).await?;
    }
    if !tags.is_empty() {
        let mut input = node;
        input["Tags"] = Tag::wire(tags);
        remote.call("AddTagsToResource", &input).await?;
    }
    let answer = remote.tags(KIND, id).await?;
    remote.print(&answer, |answer| {
        outln!(
            "{id}: {}",
            crate::render::shown(&tags_text(items(answer, "TagList")))
        );
    });
    Ok(())
}

async fn activate(remote: &Remote, arguments: &ActivateArguments) -> Result<()> {
    let mut input = json!({
        "IamRole": arguments.role,
        "RegistrationLimit": arguments.limit,
        "ExpirationDate": end(SystemClock.now(), arguments.expires)?.as_second(),
    });
    if let Some(name) = &arguments.name {
        input["DefaultInstanceName"] = name.clone().into();
    }
    if !arguments.tag.is_empty() {
        input["Tags"] = Tag::wire(&arguments.tag);
    }
    let answer = remote.call("CreateActivation", &input).await?;
    remote.print(&answer, |answer| {
        let (id, code) = (text(answer, "ActivationId"), text(answer, "ActivationCode"));
        print_facts(&[("activation", id.clone()), ("code", code.clone())]);
        let mut more = String::new();
        if remote.region != "us-east-1" {
            more.push_str(&format!(" --region {}", remote.region));
        }
        if let Some(ca) = &remote.ca {
            more.push_str(&format!(" --ca {}", ca.display()));
        }
        outln!();
        outln!("On each machine that is to join:");
        outln!(
            "  capstan agent register --endpoint {} --activation-id {id} --activation-code {code}{more}",
            remote.endpoint()
        );
    });
    Ok(())
}

/// When something ends that lasts so long from now on.
fn end(now: Timestamp, lasts: Span) -> Result<Timestamp> {
    if !lasts.is_positive() {
        bail!("an activation has to last some time, such as 24h");
    }
    Ok(now.to_zoned(TimeZone::UTC).checked_add(lasts)?.timestamp())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::end;

    #[test]
    fn durations_are_written_as_people_do() {
        let now = "2026-02-03T04:05:06Z".parse().unwrap();
        for (text, expected) in [
            ("24h", "2026-02-04T04:05:06Z"),
            ("7d", "2026-02-10T04:05:06Z"),
            ("1h 30m", "2026-02-03T05:35:06Z"),
        ] {
            let found = end(now, text.parse().unwrap()).unwrap();
            assert_eq!(found, expected.parse().unwrap(), "{text}");
        }
        assert!(end(now, "0h".parse().unwrap()).is_err());
    }
}
