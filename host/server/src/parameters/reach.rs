//! What nodes may read: all parameters, or those that the server's operator gives their role.

use capstan_policy::glob;
use capstan_store::{Transaction, params};

use super::names::arn;
use crate::api::{Call, denied};
use crate::auth::Caller;
use crate::error::ApiError;
use crate::server::Config;

/// Parameters that nodes of a role may read. As soon as there is one of these for any role, a node reads nothing
/// else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeParameters {
    /// The role, as CreateActivation or UpdateManagedInstanceRole gave it to the node (`IamRole`).
    pub role: String,
    /// A name, in which `*` stands for any characters and `?` for one, as in policies of IAM.
    pub pattern: String,
}

/// What a caller may read.
#[derive(Debug, Clone)]
pub(super) struct Reach {
    caller: Caller,
    operation: &'static str,
    config: Config,
}

impl Reach {
    pub(super) fn of(call: &Call) -> Self {
        Self {
            caller: call.caller.clone(),
            operation: call.operation,
            config: call.server.config.clone(),
        }
    }

    /// Refuses a node whose role does not have all of these names.
    pub(super) fn demand<'a>(
        &self,
        tx: &mut Transaction<'_>,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), ApiError> {
        self.demand_all(tx, names, glob)
    }

    /// Refuses a node whose role does not have all that is below a path.
    pub(super) fn demand_below(
        &self,
        tx: &mut Transaction<'_>,
        path: &str,
    ) -> Result<(), ApiError> {
        let below = format!("{}/", path.trim_end_matches('/'));
        // What matches and ends with the star also matches with anything more.
        self.demand_all(tx, [below.as_str()], |pattern, below| {
            pattern.ends_with('*') && glob(pattern, below)
        })
    }

    fn demand_all<'a>(
        &self,
        tx: &mut Transaction<'_>,
        names: impl IntoIterator<Item = &'a str>,
        matches: impl Fn(&str, &str) -> bool,
    ) -> Result<(), ApiError> {
        let Caller::Node(node) = &self.caller else {
            return Ok(());
        };
        let rules = &self.config.node_parameters;
        if rules.is_empty() {
            return Ok(());
        }
        let row = tx.query_one("SELECT iam_role FROM nodes WHERE id = $1", params![node])?;
        let role: String = row.map(|row| row.get(0)).transpose()?.unwrap_or_default();
        let has = |name: &str| {
            rules
                .iter()
                .any(|rule| rule.role == role && matches(bare(&rule.pattern), bare(name)))
        };
        match names.into_iter().find(|name| !has(name)) {
            None => Ok(()),
            Some(name) => {
                let resource = arn(name, &self.config);
                let action = format!("ssm:{} on resource: {resource}", self.operation);
                Err(denied(&self.caller, &self.config.account, &action))
            }
        }
    }
}

/// `x` and `/x` are one for this purpose, since ARNs do not tell them apart.
fn bare(name: &str) -> &str {
    name.strip_prefix('/').unwrap_or(name)
}
