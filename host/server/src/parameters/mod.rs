//! Parameter Store.
//!
//! A parameter is one row of `parameters` that has all of its latest version, so that most reads are one look-up, and
//! one row of `parameter_versions` for each version that is kept, the latest among them. Who changes a parameter holds
//! the lock of its row in `parameters`; the counts of the tiers are changed after that.

mod data_types;
mod delete;
mod describe;
mod filters;
mod get;
mod history;
mod labels;
mod names;
mod path;
mod policies;
mod put;
mod reach;
mod record;
mod rules;
mod secret;
mod tiers;

#[cfg(test)]
mod tests;

use capstan_store::{Migration, Transaction, params};

pub(crate) use delete::{delete, delete_several, due, expire};
pub(crate) use describe::describe;
pub(crate) use get::{get, get_several};
pub(crate) use history::history;
pub(crate) use labels::{label, unlabel};
pub(crate) use path::get_by_path;
pub(crate) use put::put;
pub use reach::NodeParameters;

use crate::error::ApiError;
use crate::server::Config;

/// The tables of parameters. `kind` is the parameter's type, `parent` the level of the hierarchy that it is on.
pub(crate) const MIGRATION: Migration = Migration {
    component: "parameters",
    version: 1,
    sql: "CREATE TABLE parameters (
        name TEXT NOT NULL PRIMARY KEY,
        kind TEXT NOT NULL,
        version BIGINT NOT NULL,
        value BLOB NOT NULL,
        key_id TEXT NOT NULL,
        description TEXT NOT NULL,
        allowed_pattern TEXT NOT NULL,
        data_type TEXT NOT NULL,
        tier TEXT NOT NULL,
        policies TEXT NOT NULL,
        modified BIGINT NOT NULL,
        modified_by TEXT NOT NULL,
        parent TEXT NOT NULL,
        expires BIGINT
    );
    CREATE INDEX parameters_by_parent ON parameters (parent, name);
    CREATE INDEX parameters_that_expire ON parameters (expires) WHERE expires IS NOT NULL;
    CREATE TABLE parameter_versions (
        name TEXT NOT NULL,
        kind TEXT NOT NULL,
        version BIGINT NOT NULL,
        value BLOB NOT NULL,
        key_id TEXT NOT NULL,
        description TEXT NOT NULL,
        allowed_pattern TEXT NOT NULL,
        data_type TEXT NOT NULL,
        tier TEXT NOT NULL,
        policies TEXT NOT NULL,
        modified BIGINT NOT NULL,
        modified_by TEXT NOT NULL,
        PRIMARY KEY (name, version)
    );
    CREATE TABLE parameter_labels (
        name TEXT NOT NULL,
        label TEXT NOT NULL,
        version BIGINT NOT NULL,
        PRIMARY KEY (name, label)
    );
    CREATE TABLE parameter_counts (tier TEXT NOT NULL PRIMARY KEY, count BIGINT NOT NULL);
    INSERT INTO parameter_counts (tier, count) VALUES ('Standard', 0), ('Advanced', 0)",
};

/// The type of these resources where tags are concerned.
pub(crate) const RESOURCE: &str = "Parameter";

/// The name by which a parameter's tags are kept, if there is such a parameter: `id` is its name or its ARN.
pub(crate) fn tagged(
    tx: &mut Transaction<'_>,
    config: &Config,
    id: &str,
) -> Result<Option<String>, ApiError> {
    let Ok(reference) = names::Reference::parse(id, config) else {
        return Ok(None);
    };
    if reference.selector.is_some() {
        return Ok(None);
    }
    for name in reference.names {
        let row = tx.query_one("SELECT 1 FROM parameters WHERE name = $1", params![&name])?;
        if row.is_some() {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// There is no such parameter.
fn not_found(name: &str) -> ApiError {
    ApiError::new("ParameterNotFound", format!("Parameter {name} not found."))
}
