//! Which migrations a database needs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::StoreError;

/// A change of the schema, made once in the life of a database.
///
/// Written for SQLite, of what both databases know: `BIGINT`, `DOUBLE PRECISION`, `TEXT`, `BLOB`. For PostgreSQL `BLOB` becomes
/// `BYTEA`, and columns of `TEXT` get the collation `"C"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Whose it is. Each component counts its own versions.
    pub component: &'static str,
    /// Its number, from 1 on; those of a component rise.
    pub version: i64,
    /// Its statements.
    pub sql: &'static str,
}

pub(crate) const TABLE: &str = "CREATE TABLE IF NOT EXISTS capstan_migrations (
    component TEXT NOT NULL,
    version BIGINT NOT NULL,
    applied BIGINT NOT NULL,
    PRIMARY KEY (component, version)
)";
pub(crate) const APPLIED: &str = "SELECT component, version FROM capstan_migrations";
pub(crate) const RECORD: &str =
    "INSERT INTO capstan_migrations (component, version, applied) VALUES ($1, $2, $3)";

/// Those that are to be applied, in their order, to a database that has these.
pub(crate) fn pending<'a>(
    known: &'a [Migration],
    applied: &BTreeSet<(String, i64)>,
) -> Result<Vec<&'a Migration>, StoreError> {
    let mut last = BTreeMap::new();
    let mut unknown = applied.clone();
    let mut pending = Vec::new();
    for migration in known {
        let before = last
            .insert(migration.component, migration.version)
            .unwrap_or(0);
        if before >= migration.version {
            return Err(StoreError::Refused(format!(
                "migration {} of {} comes after {before}: versions must rise, from 1 on",
                migration.version, migration.component
            )));
        }
        if !unknown.remove(&(migration.component.to_owned(), migration.version)) {
            pending.push(migration);
        }
    }
    match unknown.pop_last() {
        Some((component, version)) => Err(StoreError::Newer { component, version }),
        None => Ok(pending),
    }
}

impl Migration {
    pub(crate) fn failed(&self, cause: StoreError) -> StoreError {
        StoreError::Migration {
            component: self.component.to_owned(),
            version: self.version,
            cause: Box::new(cause),
        }
    }
}

/// Seconds since 1970, for people who look into the table.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pending() {
        const fn migration(component: &'static str, version: i64) -> Migration {
            Migration {
                component,
                version,
                sql: "",
            }
        }
        let known = [migration("a", 1), migration("b", 1), migration("a", 2)];
        let pending = |known: &[Migration], applied: &[(&str, i64)]| {
            let applied = applied
                .iter()
                .map(|(component, version)| ((*component).to_owned(), *version))
                .collect();
            super::pending(known, &applied).map(|pending| {
                pending
                    .iter()
                    .map(|each| (each.component, each.version))
                    .collect::<Vec<_>>()
            })
        };
        assert_eq!(pending(&known, &[]), Ok(vec![("a", 1), ("b", 1), ("a", 2)]));
        assert_eq!(pending(&known, &[("a", 1)]), Ok(vec![("b", 1), ("a", 2)]));
        assert_eq!(pending(&known, &[("a", 1), ("a", 2), ("b", 1)]), Ok(vec![]));
        assert_eq!(
            pending(&known, &[("a", 1), ("a", 3)]),
            Err(StoreError::Newer {
                component: "a".into(),
                version: 3
            })
        );
        assert!(pending(&[migration("a", 2), migration("a", 2)], &[]).is_err());
        assert!(pending(&[migration("a", 0)], &[]).is_err());
    }
}
