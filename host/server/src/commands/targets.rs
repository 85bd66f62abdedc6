//! Finding the nodes that a command's targets mean.

use capstan_store::{Transaction, params};

use super::record::{Request, Target};
use super::status::State;
use super::{RESOLVING, RUNNING, dispatch};
use crate::error::ApiError;
use crate::groups;
use crate::sql::Query;
use crate::wire::of_json;

/// The key of a target that is a resource group.
const GROUP: &str = "resource-groups:Name";

/// Nodes that are found in one transaction.
pub(crate) const CHUNK: i64 = 500;
/// Nodes that are found in the transaction that stores the command.
pub(crate) const FIRST: i64 = 50;

/// Refuses targets whose keys mean nothing here.
pub(crate) fn check(targets: &[Target]) -> Result<(), ApiError> {
    for target in targets {
        let known = target.key.eq_ignore_ascii_case("InstanceIds")
            || target.key == "tag-key"
            || target.key == GROUP
            || target
                .key
                .strip_prefix("tag:")
                .is_some_and(|name| !name.is_empty());
        if !known {
            return Err(ApiError::validation(format!(
                "The target key {} is not one of InstanceIds, tag:KEY, tag-key, {GROUP}.",
                target.key
            )));
        }
        if target.key == GROUP && target.values.len() > 1 {
            return Err(ApiError::validation(format!(
                "The target {GROUP} takes one group."
            )));
        }
        if target.values.is_empty() {
            return Err(ApiError::validation(format!(
                "The target {} has no values.",
                target.key
            )));
        }
    }
    Ok(())
}

/// Adds a condition for each target: all have to hold, each for one of its values.
fn conditions(
    tx: &mut Transaction<'_>,
    query: &mut Query,
    targets: &[Target],
) -> Result<(), ApiError> {
    for target in targets {
        if target.key == GROUP {
            let name = target
                .values
                .first()
                .map(String::as_str)
                .unwrap_or_default();
            // A group that was deleted meanwhile has no nodes.
            let filters = groups::filters(tx, name)?.flatten();
            groups::conditions(query, filters.as_deref());
            continue;
        }
        if target.key.eq_ignore_ascii_case("InstanceIds") {
            query.push(" AND n.id").one_of(&target.values);
            continue;
        }
        query.push(" AND EXISTS (SELECT 1 FROM tags t WHERE t.resource_type = 'ManagedInstance' AND t.resource_id = n.id");
        match target.key.strip_prefix("tag:") {
            Some(name) => {
                query
                    .push(" AND t.key = ")
                    .bind(name)
                    .push(" AND t.value")
                    .one_of(&target.values);
            }
            None => {
                query.push(" AND t.key").one_of(&target.values);
            }
        }
        query.push(")");
    }
    Ok(())
}

/// Refuses groups that there are none of.
pub(crate) fn demand_groups(tx: &mut Transaction<'_>, targets: &[Target]) -> Result<(), ApiError> {
    for name in targets
        .iter()
        .filter(|target| target.key == GROUP)
        .flat_map(|target| &target.values)
    {
        if groups::filters(tx, name)?.is_none() {
            return Err(ApiError::validation(format!(
                "There is no resource group {name}."
            )));
        }
    }
    Ok(())
}

/// Finds the next nodes of a command, at most `count`. Only managed nodes that were heard of count. Whether that was all, and the
/// command runs now.
pub(crate) fn resolve(
    tx: &mut Transaction<'_>,
    id: &str,
    count: i64,
    now: i64,
) -> Result<bool, ApiError> {
    if !dispatch::lock(tx, id)? {
        return Ok(true);
    }
    let row = tx.query_one(
        "SELECT request, resolved_to, targets, requested, cancelled FROM commands WHERE id = $1 AND phase = $2",
        params![id, RESOLVING],
    )?;
    let Some(row) = row else { return Ok(true) };
    let request: Request = of_json(&row.get::<String>(0)?)?;
    let (after, found, requested): (String, i64, i64) = (row.get(1)?, row.get(2)?, row.get(3)?);
    let cancelled: bool = row.get(4)?;
    let mut query =
        Query::new("SELECT n.id FROM nodes n WHERE n.last_ping IS NOT NULL AND n.id > ");
    query.bind(&after);
    conditions(tx, &mut query, &request.targets)?;
    query.push(" ORDER BY n.id LIMIT ").bind(count);
    let rows = if cancelled {
        Vec::new()
    } else {
        query.run(tx)?
    };
    let mut last = after;
    for (position, row) in (found..).zip(&rows) {
        last = row.get(0)?;
        insert(tx, id, &last, position, requested)?;
    }
    let all = (rows.len() as i64) < count;
    tx.execute(
        "UPDATE commands SET resolved_to = $2, targets = targets + $3, phase = $4 WHERE id = $1",
        params![
            id,
            &last,
            rows.len() as i64,
            if all { RUNNING } else { RESOLVING }
        ],
    )?;
    if all {
        dispatch::advance(tx, id, now)?;
    }
    Ok(all)
}

/// Adds an invocation.
pub(crate) fn insert(
    tx: &mut Transaction<'_>,
    id: &str,
    node: &str,
    position: i64,
    requested: i64,
) -> Result<(), ApiError> {
    tx.execute(
        "INSERT INTO invocations (command_id, node_id, position, requested, state, is_open, dispatched, trace) \
         VALUES ($1, $2, $3, $4, $5, 1, 0, '')",
        params![id, node, position, requested, State::Pending.details()],
    )?;
    Ok(())
}

/// Commands whose targets are not all found. Of at most `count`.
pub(crate) fn unresolved(tx: &mut Transaction<'_>, count: i64) -> Result<Vec<String>, ApiError> {
    let rows = tx.query(
        "SELECT id FROM commands WHERE phase < 2 AND phase = $1 ORDER BY requested, id LIMIT $2",
        params![RESOLVING, count],
    )?;
    rows.iter().map(|row| Ok(row.get(0)?)).collect()
}
