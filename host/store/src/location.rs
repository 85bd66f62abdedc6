//! Where a database is.

use std::fmt;
use std::path::PathBuf;

use crate::StoreError;

/// Where a database is.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// A file, in a folder that exists.
    Sqlite(PathBuf),
    /// A URL, as `postgres://user:password@host:5432/database?sslmode=require`.
    ///
    /// `sslmode` is `prefer` if it is not given: TLS if the server has it. The server's certificate is then always
    /// checked against the authorities of this machine, or those in the file that `SSL_CERT_FILE` names.
    Postgres(String),
}

impl Location {
    /// Reads what a user wrote: a `postgres://` URL, or else the path of a file.
    ///
    /// # Errors
    ///
    /// [`StoreError::Refused`] when it is empty or a URL of another kind.
    pub fn parse(text: &str) -> Result<Location, StoreError> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Location::Postgres(text.to_owned()));
        }
        let path = text.strip_prefix("sqlite://").unwrap_or(text);
        if path.is_empty() || path.contains("://") {
            return Err(StoreError::Refused(format!(
                "{text:?} is no store: give the path of a file, or a URL that begins with postgres://"
            )));
        }
        Ok(Location::Sqlite(path.into()))
    }
}

/// Without the password, and without what follows a `?`, where one may be too.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = match self {
            Location::Sqlite(path) => return write!(f, "{}", path.display()),
            Location::Postgres(url) => url.split('?').next().unwrap_or_default(),
        };
        let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
        match rest.rsplit_once('@') {
            Some((user, rest)) => {
                let user = user.split(':').next().unwrap_or_default();
                write!(f, "{scheme}://{user}@{rest}")
            }
            None => write!(f, "{scheme}://{rest}"),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn parses_and_hides_passwords() {
        for (text, shown) in [
            ("/var/lib/capstan/store.db", "/var/lib/capstan/store.db"),
            ("sqlite:///x.db", "/x.db"),
            ("postgres://h/d", "postgres://h/d"),
            ("postgres://u:p@ss@h:1/d?password=q", "postgres://u@h:1/d"),
            ("postgresql://u@%2Ftmp/d", "postgresql://u@%2Ftmp/d"),
        ] {
            assert_eq!(Location::parse(text).unwrap().to_string(), shown);
        }
        for text in ["", "mysql://h/d", "sqlite://"] {
            assert!(Location::parse(text).is_err(), "{text}");
        }
    }
}
