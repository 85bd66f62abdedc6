//! Resource groups: nodes by a query over their tags, which commands can have as targets.
//!
//! This is the part of AWS Resource Groups that Run Command needs. Queries are of the type `TAG_FILTERS_1_0`, and the
//! only resources are managed nodes.

use capstan_store::{Migration, Transaction, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::api::Call;
use crate::error::ApiError;
use crate::paging::page;
use crate::sql::Query;
use crate::wire::of_json;

/// The table of groups.
pub(crate) const MIGRATION: Migration = Migration {
    component: "groups",
    version: 1,
    sql: "CREATE TABLE groups (
        name TEXT NOT NULL PRIMARY KEY,
        description TEXT NOT NULL,
        query TEXT NOT NULL
    )",
};

/// The types of resources that mean managed nodes.
const NODES: [&str; 3] = [
    "AWS::AllSupported",
    "AWS::SSM::ManagedInstance",
    "AWS::EC2::Instance",
];
/// The size of a page that nobody chose.
const PAGE: usize = 50;

/// A condition on tags: the key, with one of the values, or with any if there are none.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TagFilter {
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) values: Vec<String>,
}

/// What the text of a query says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TagQuery {
    resource_type_filters: Vec<String>,
    #[serde(default)]
    tag_filters: Vec<TagFilter>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResourceQuery {
    r#type: String,
    query: String,
}

fn bad(message: impl Into<String>) -> ApiError {
    ApiError::new("BadRequestException", message)
}

fn unknown(name: &str) -> ApiError {
    ApiError::new("NotFoundException", format!("There is no group {name}.")).with_status(404)
}

impl ResourceQuery {
    fn parse(&self) -> Result<TagQuery, ApiError> {
        if self.r#type != "TAG_FILTERS_1_0" {
            return Err(bad(format!(
                "Queries of the type {} cannot be had here; TAG_FILTERS_1_0 can.",
                self.r#type
            )));
        }
        serde_json::from_str(&self.query).map_err(|error| {
            bad(format!(
                "The query is not JSON like {{\"ResourceTypeFilters\":[\"AWS::AllSupported\"],\"TagFilters\":[{{\"Key\":\"Stage\",\
                 \"Values\":[\"Test\"]}}]}}: {error}"
            ))
        })
    }
}

/// The tags that a group's nodes have; nothing if there is no such group. A group of other resources has no nodes.
pub(crate) fn filters(
    tx: &mut Transaction<'_>,
    name: &str,
) -> Result<Option<Option<Vec<TagFilter>>>, ApiError> {
    let Some(row) = tx.query_one("SELECT query FROM groups WHERE name = $1", params![name])? else {
        return Ok(None);
    };
    let query: TagQuery = of_json(&row.get::<String>(0)?)?;
    let nodes = query
        .resource_type_filters
        .iter()
        .any(|kind| NODES.contains(&kind.as_str()));
    Ok(Some(nodes.then_some(query.tag_filters)))
}

/// Adds the conditions of a group to a query over nodes `n`.
pub(crate) fn conditions(query: &mut Query, filters: Option<&[TagFilter]>) {
    let Some(filters) = filters else {
        query.push(" AND 1 = 0");
        return;
    };
    for filter in filters {
        query.push(" AND EXISTS (SELECT 1 FROM tags t WHERE t.resource_type = 'ManagedInstance' AND t.resource_id = n.id AND t.key = ");
        query.bind(&filter.key);
        if !filter.values.is_empty() {
            query.push(" AND t.value").one_of(&filter.values);
        }
        query.push(")");
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Create {
    name: String,
    #[serde(default)]
    description: String,
    resource_query: Option<ResourceQuery>,
}

fn arn(call: &Call, name: &str) -> String {
    let config = &call.server.config;
    format!(
        "arn:aws:resource-groups:{}:{}:group/{name}",
        config.region, config.account
    )
}

fn group(call: &Call, name: &str, description: &str) -> Value {
    json!({"GroupArn": arn(call, name), "Name": name, "Description": description})
}

pub(crate) async fn create(call: Call, input: Create) -> Result<Value, ApiError> {
    let query = input
        .resource_query
        .ok_or_else(|| bad("A group needs a ResourceQuery here."))?;
    query.parse()?;
    let (name, description, text) = (
        input.name.clone(),
        input.description.clone(),
        query.query.clone(),
    );
    let made = call
        .server
        .store
        .write::<_, ApiError>(move |tx| {
            Ok(tx.execute(
                "INSERT INTO groups (name, description, query) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                params![&name, &description, &text],
            )?)
        })
        .await?;
    if made == 0 {
        return Err(bad(format!("There is a group {} already.", input.name)));
    }
    Ok(
        json!({"Group": group(&call, &input.name, &input.description), "ResourceQuery": query, "Tags": {}}),
    )
}

/// A group by its name or ARN, in any of the members that the operations have for it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Of {
    group: Option<String>,
    group_name: Option<String>,
    #[serde(default)]
    description: String,
    resource_query: Option<ResourceQuery>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

impl Of {
    fn name(&self) -> Result<String, ApiError> {
        let name = self
            .group
            .as_ref()
            .or(self.group_name.as_ref())
            .ok_or_else(|| bad("Group is missing."))?;
        Ok(name.rsplit(":group/").next().unwrap_or(name).to_owned())
    }
}

/// The description and the query's text of a group.
async fn find(call: &Call, name: &str) -> Result<(String, String), ApiError> {
    let wanted = name.to_owned();
    let row = call
        .server
        .store
        .read::<_, ApiError>(move |tx| {
            Ok(tx.query_one(
                "SELECT description, query FROM groups WHERE name = $1",
                params![&wanted],
            )?)
        })
        .await?
        .ok_or_else(|| unknown(name))?;
    Ok((row.get(0)?, row.get(1)?))
}

pub(crate) async fn get(call: Call, input: Of) -> Result<Value, ApiError> {
    let name = input.name()?;
    let (description, _) = find(&call, &name).await?;
    Ok(json!({"Group": group(&call, &name, &description)}))
}

pub(crate) async fn get_query(call: Call, input: Of) -> Result<Value, ApiError> {
    let name = input.name()?;
    let (_, query) = find(&call, &name).await?;
    Ok(
        json!({"GroupQuery": {"GroupName": name, "ResourceQuery": {"Type": "TAG_FILTERS_1_0", "Query": query}}}),
    )
}

/// Changes one column of a group.
async fn change(call: &Call, name: &str, sql: &'static str, value: String) -> Result<(), ApiError> {
    let wanted = name.to_owned();
    let changed = call
        .server
        .store
        .write::<_, ApiError>(move |tx| Ok(tx.execute(sql, params![&wanted, &value])?))
        .await?;
    if changed == 0 {
        Err(unknown(name))
    } else {
        Ok(())
    }
}

pub(crate) async fn update(call: Call, input: Of) -> Result<Value, ApiError> {
    let name = input.name()?;
    change(
        &call,
        &name,
        "UPDATE groups SET description = $2 WHERE name = $1",
        input.description.clone(),
    )
    .await?;
    Ok(json!({"Group": group(&call, &name, &input.description)}))
}

pub(crate) async fn update_query(call: Call, input: Of) -> Result<Value, ApiError> {
    let name = input.name()?;
    let query = input
        .resource_query
        .ok_or_else(|| bad("ResourceQuery is missing."))?;
    query.parse()?;
    change(
        &call,
        &name,
        "UPDATE groups SET query = $2 WHERE name = $1",
        query.query.clone(),
    )
    .await?;
    Ok(json!({"GroupQuery": {"GroupName": name, "ResourceQuery": query}}))
}

pub(crate) async fn delete(call: Call, input: Of) -> Result<Value, ApiError> {
    let name = input.name()?;
    let (description, _) = find(&call, &name).await?;
    let gone = name.clone();
    call.server
        .store
        .write::<_, ApiError>(move |tx| {
            Ok(tx.execute("DELETE FROM groups WHERE name = $1", params![&gone])?)
        })
        .await?;
    Ok(json!({"Group": group(&call, &name, &description)}))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct List {
    max_results: Option<usize>,
    next_token: Option<String>,
}

pub(crate) async fn list(call: Call, input: List) -> Result<Value, ApiError> {
    let after: String = call
        .cursor(input.next_token.as_deref())?
        .unwrap_or_default();
    let size = input.max_results.unwrap_or(PAGE);
    let rows = call
        .server
        .store
        .read::<_, ApiError>(move |tx| {
            Ok(tx.query(
                "SELECT name, description FROM groups WHERE name > $1 ORDER BY name LIMIT $2",
                params![&after, size as i64 + 1],
            )?)
        })
        .await?;
    let groups = rows
        .iter()
        .map(|row| Ok((row.get::<String>(0)?, row.get::<String>(1)?)))
        .collect::<Result<Vec<_>, ApiError>>()?;
    let (groups, next) = page(groups, size, |(name, _)| name.clone());
    let identifiers: Vec<Value> = groups
        .iter()
        .map(|(name, description)| json!({"GroupName": name, "GroupArn": arn(&call, name), "Description": description}))
        .collect();
    let groups: Vec<Value> = groups
        .iter()
        .map(|(name, description)| group(&call, name, description))
        .collect();
    Ok(with_token(
        json!({"GroupIdentifiers": identifiers, "Groups": groups}),
        call.token(next)?,
    ))
}

pub(crate) async fn list_resources(call: Call, input: Of) -> Result<Value, ApiError> {
    let name = input.name()?;
    let after: String = call
        .cursor(input.next_token.as_deref())?
        .unwrap_or_default();
    let size = input.max_results.unwrap_or(PAGE);
    let wanted = name.clone();
    let nodes = call
        .server
        .store
        .read::<_, ApiError>(move |tx| {
            let Some(filters) = filters(tx, &wanted)? else {
                return Ok(None);
            };
            let mut query = Query::new("SELECT n.id FROM nodes n WHERE n.id > ");
            query.bind(&after);
            conditions(&mut query, filters.as_deref());
            query.push(" ORDER BY n.id LIMIT ").bind(size as i64 + 1);
            let rows = query.run(tx)?;
            Ok(Some(
                rows.iter()
                    .map(|row| Ok(row.get::<String>(0)?))
                    .collect::<Result<Vec<_>, ApiError>>()?,
            ))
        })
        .await?
        .ok_or_else(|| unknown(&name))?;
    let (nodes, next) = page(nodes, size, String::clone);
    let config = &call.server.config;
    let identifiers: Vec<Value> = nodes
        .iter()
        .map(|id| {
            json!({
                "ResourceArn": format!("arn:aws:ssm:{}:{}:managed-instance/{id}", config.region, config.account),
                "ResourceType": "AWS::SSM::ManagedInstance",
            })
        })
        .collect();
    let resources: Vec<Value> = identifiers
        .iter()
        .map(|identifier| json!({"Identifier": identifier}))
        .collect();
    Ok(with_token(
        json!({"Resources": resources, "ResourceIdentifiers": identifiers, "QueryErrors": []}),
        call.token(next)?,
    ))
}

fn with_token(mut answer: Value, token: Option<String>) -> Value {
    if let (Value::Object(answer), Some(token)) = (&mut answer, token) {
        answer.insert("NextToken".to_owned(), token.into());
    }
    answer
}
