//! What is known of nodes.

use serde::{Deserialize, Serialize};

use super::LOST_AFTER;
use crate::api::Call;
use crate::error::ApiError;
use crate::paging::page;
use crate::sql::Query;
use crate::wire::Epoch;

/// A filter in any of the two forms that the API has for it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    #[serde(alias = "key")]
    key: String,
    #[serde(default, alias = "valueSet", alias = "ValueSet")]
    values: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribeInformation {
    #[serde(default)]
    instance_information_filter_list: Vec<Filter>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Information {
    instance_information_list: Vec<Node>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// A node. The members that the two operations name alike.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    instance_id: String,
    ping_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_ping_date_time: Option<Epoch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_latest_version: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform_version: Option<String>,
    activation_id: String,
    iam_role: String,
    registration_date: Epoch,
    resource_type: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(rename = "IPAddress", skip_serializing_if = "Option::is_none")]
    ip_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    computer_name: Option<String>,
    source_id: String,
    source_type: &'static str,
}

const COLUMNS: &str = "n.id, n.last_ping, n.agent_name, n.agent_version, n.platform_type, n.platform_name, \
                       n.platform_version, n.activation_id, n.iam_role, n.registered, n.name, n.ip_address, \
                       n.computer_name";

fn node(row: &capstan_store::Row, now: i64) -> Result<Node, ApiError> {
    let last_ping: Option<i64> = row.get(1)?;
    let agent: Option<String> = row.get(2)?;
    let version: Option<String> = row.get(3)?;
    let id: String = row.get(0)?;
    Ok(Node {
        ping_status: if last_ping.is_some_and(|ping| ping + LOST_AFTER >= now) {
            "Online"
        } else {
            "ConnectionLost"
        },
        last_ping_date_time: last_ping.map(Epoch::of_millis),
        // Of other agents it is not known what their latest is.
        is_latest_version: match (agent.as_deref(), &version) {
            (Some("capstan"), Some(version)) => Some(version == env!("CARGO_PKG_VERSION")),
            _ => None,
        },
        agent_version: version,
        platform_type: row.get(4)?,
        platform_name: row.get(5)?,
        platform_version: row.get(6)?,
        activation_id: row.get(7)?,
        iam_role: row.get(8)?,
        registration_date: Epoch::of_millis(row.get(9)?),
        resource_type: "ManagedInstance",
        name: row.get(10)?,
        ip_address: row.get(11)?,
        computer_name: row.get(12)?,
        source_id: id.clone(),
        source_type: "AWS::SSM::ManagedInstance",
        instance_id: id,
    })
}

/// Names of the errors for a wrong value: either operation has its own.
struct Codes {
    value: &'static str,
    activation: &'static str,
}

const INFORMATION: Codes = Codes {
    value: "InvalidInstanceInformationFilterValue",
    activation: "InvalidInstanceInformationFilterValue",
};
const PROPERTIES: Codes = Codes {
    value: "InvalidInstancePropertyFilterValue",
    activation: "InvalidActivationId",
};

/// An id of EC2's or of a managed node: `(^i-(\w{8}|\w{17})$)|(^mi-\w{17}$)`.
fn is_instance_id(text: &str) -> bool {
    let word = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    match text.split_once('-') {
        Some(("i", rest)) => matches!(rest.len(), 8 | 17) && word(rest),
        Some(("mi", rest)) => rest.len() == 17 && word(rest),
        _ => false,
    }
}

/// Adds the condition of one filter; false for a key that there is none of.
fn condition(
    query: &mut Query,
    key: &str,
    values: &[String],
    now: i64,
    codes: &Codes,
) -> Result<bool, ApiError> {
    let all = |fits: fn(&str) -> bool, code: &'static str, what: &str| match values
        .iter()
        .find(|value| !fits(value))
    {
        None => Ok(()),
        Some(wrong) => Err(ApiError::new(
            code,
            format!("The value {wrong} of the filter {key} is no {what}."),
        )),
    };
    let allowed = |allowed: &[&str]| match values
        .iter()
        .find(|value| !allowed.contains(&value.as_str()))
    {
        None => Ok(()),
        Some(wrong) => Err(ApiError::new(
            codes.value,
            format!(
                "The value {wrong} of the filter {key} is not one of {}.",
                allowed.join(", ")
            ),
        )),
    };
    let column = match key {
        "InstanceIds" => {
            all(is_instance_id, "InvalidInstanceId", "node's id")?;
            "n.id"
        }
        "SourceIds" => "n.id",
        "AgentVersion" => "n.agent_version",
        "PlatformTypes" => {
            allowed(&["Windows", "Linux", "MacOS"])?;
            "n.platform_type"
        }
        "PlatformName" => "n.platform_name",
        "PlatformVersion" => "n.platform_version",
        "ActivationIds" => {
            let is_id = |text: &str| uuid::Uuid::try_parse(text).is_ok();
            all(is_id, codes.activation, "activation's id")?;
            "n.activation_id"
        }
        "IamRole" => "n.iam_role",
        "PingStatus" => {
            allowed(&["Online", "ConnectionLost", "Inactive"])?;
            let online = values.iter().any(|value| value == "Online");
            let lost = values.iter().any(|value| value != "Online");
            if online != lost {
                let test = if online {
                    " AND COALESCE(n.last_ping, 0) >= "
                } else {
                    " AND COALESCE(n.last_ping, 0) < "
                };
                query.push(test).bind(now - LOST_AFTER);
            }
            return Ok(true);
        }
        "ResourceType" => {
            allowed(&["ManagedInstance", "EC2Instance"])?;
            if !values.iter().any(|value| value == "ManagedInstance") {
                query.push(" AND 1 = 0");
            }
            return Ok(true);
        }
        "SourceTypes" => {
            if !values
                .iter()
                .any(|value| value == "AWS::SSM::ManagedInstance")
            {
                query.push(" AND 1 = 0");
            }
            return Ok(true);
        }
        // Nothing is associated yet with any node.
        "AssociationStatus" | "DocumentName" => {
            query.push(" AND 1 = 0");
            return Ok(true);
        }
        "tag-key" => {
            query.push(" AND EXISTS (SELECT 1 FROM tags t WHERE t.resource_type = 'ManagedInstance' AND t.resource_id = n.id AND t.key");
            query.one_of(values).push(")");
            return Ok(true);
        }
        _ => match key.strip_prefix("tag:") {
            Some(name) => {
                query.push(" AND EXISTS (SELECT 1 FROM tags t WHERE t.resource_type = 'ManagedInstance' AND t.resource_id = n.id AND t.key = ");
                query.bind(name).push(" AND t.value");
                query.one_of(values).push(")");
                return Ok(true);
            }
            None => return Ok(false),
        },
    };
    query.push(" AND ").push(column).one_of(values);
    Ok(true)
}

fn no_filter(key: &str) -> ApiError {
    ApiError::new(
        "InvalidFilterKey",
        format!(
            "The filter {key} is not one of InstanceIds, AgentVersion, PingStatus, PlatformTypes, ActivationIds, IamRole, \
             ResourceType, AssociationStatus, DocumentName, SourceIds, SourceTypes, tag-key, tag:KEY."
        ),
    )
}

pub(crate) async fn describe_instance_information(
    call: Call,
    input: DescribeInformation,
) -> Result<Information, ApiError> {
    if !input.filters.is_empty() && !input.instance_information_filter_list.is_empty() {
        return Err(ApiError::validation(
            "Filters and InstanceInformationFilterList cannot be given together.",
        ));
    }
    let now = call.millis();
    let after: Option<String> = call.cursor(input.next_token.as_deref())?;
    let size = input.max_results.unwrap_or(50);
    let mut query = Query::new("SELECT ");
    query.push(COLUMNS).push(" FROM nodes n WHERE 1 = 1");
    for filter in input
        .filters
        .iter()
        .chain(&input.instance_information_filter_list)
    {
        if !condition(&mut query, &filter.key, &filter.values, now, &INFORMATION)? {
            return Err(no_filter(&filter.key));
        }
    }
    let (instance_information_list, next) = nodes(&call, query, after, size).await?;
    Ok(Information {
        instance_information_list,
        next_token: call.token(next)?,
    })
}

async fn nodes(
    call: &Call,
    mut query: Query,
    after: Option<String>,
    size: usize,
) -> Result<(Vec<Node>, Option<String>), ApiError> {
    if let Some(after) = after {
        query.push(" AND n.id > ").bind(after);
    }
    query.push(" ORDER BY n.id LIMIT ").bind(size as i64 + 1);
    let rows = call
        .server
        .store
        .read::<_, ApiError>(move |tx| Ok(query.run(tx)?))
        .await?;
    let now = call.millis();
    let nodes = rows
        .iter()
        .map(|row| node(row, now))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(page(nodes, size, |last| last.instance_id.clone()))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribeProperties {
    #[serde(default)]
    instance_property_filter_list: Vec<Filter>,
    #[serde(default)]
    filters_with_operator: Vec<OperatorFilter>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OperatorFilter {
    key: String,
    #[serde(default)]
    values: Vec<String>,
    operator: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Properties {
    instance_properties: Vec<Node>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(crate) async fn describe_instance_properties(
    call: Call,
    input: DescribeProperties,
) -> Result<Properties, ApiError> {
    let now = call.millis();
    let after: Option<String> = call.cursor(input.next_token.as_deref())?;
    let size = input.max_results.unwrap_or(50);
    let mut query = Query::new("SELECT ");
    query.push(COLUMNS).push(" FROM nodes n WHERE 1 = 1");
    for filter in &input.instance_property_filter_list {
        if !condition(&mut query, &filter.key, &filter.values, now, &PROPERTIES)? {
            return Err(no_filter(&filter.key));
        }
    }
    for filter in &input.filters_with_operator {
        match filter.operator.as_deref().unwrap_or("Equal") {
            "Equal" => {
                if !condition(&mut query, &filter.key, &filter.values, now, &PROPERTIES)? {
                    return Err(no_filter(&filter.key));
                }
            }
            "NotEqual" => {
                query.push(" AND NOT (1 = 1");
                if !condition(&mut query, &filter.key, &filter.values, now, &PROPERTIES)? {
                    return Err(no_filter(&filter.key));
                }
                query.push(")");
            }
            "BeginWith" => {
                let column = match filter.key.as_str() {
                    "InstanceIds" => "n.id",
                    "AgentVersion" => "n.agent_version",
                    "PlatformName" => "n.platform_name",
                    "PlatformVersion" => "n.platform_version",
                    "IamRole" => "n.iam_role",
                    other => return Err(no_filter(other)),
                };
                query.push(" AND (1 = 0");
                for value in &filter.values {
                    query.push(" OR ").push(column).begins_with(value);
                }
                query.push(")");
            }
            other => {
                return Err(ApiError::validation(format!(
                    "The operator {other} cannot be had for {}; Equal, NotEqual and BeginWith can.",
                    filter.key
                )));
            }
        }
    }
    let (instance_properties, next) = nodes(&call, query, after, size).await?;
    Ok(Properties {
        instance_properties,
        next_token: call.token(next)?,
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetConnectionStatus {
    target: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ConnectionStatus {
    target: String,
    status: &'static str,
}

/// Of the channel of sessions, in AWS's words; here it is whether the node answers.
pub(crate) async fn get_connection_status(
    call: Call,
    input: GetConnectionStatus,
) -> Result<ConnectionStatus, ApiError> {
    let (id, now) = (input.target.clone(), call.millis());
    let connected = call
        .server
        .store
        .read::<_, ApiError>(move |tx| {
            let row = tx.query_one(
                "SELECT 1 FROM nodes WHERE id = $1 AND last_ping >= $2",
                capstan_store::params![&id, now - LOST_AFTER],
            )?;
            Ok(row.is_some())
        })
        .await?;
    Ok(ConnectionStatus {
        target: input.target,
        status: if connected {
            "connected"
        } else {
            "notconnected"
        },
    })
}
