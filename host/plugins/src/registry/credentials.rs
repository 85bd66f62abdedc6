//! Who one is to a registry.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::error::PluginError;

/// A user's name and password, or token.
#[derive(Clone)]
pub struct Credentials {
    /// The name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({})", self.username)
    }
}

impl Credentials {
    pub(super) fn basic(&self) -> String {
        let both = format!("{}:{}", self.username, self.password);
        format!("Basic {}", STANDARD.encode(both))
    }
}

/// What docker's configuration has for a registry: `auths`, as `docker login` and `oras login` write it.
pub(super) fn of_docker(host: &str) -> Result<Option<Credentials>, PluginError> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = match (set("DOCKER_CONFIG"), set("HOME")) {
        (Some(folder), _) => PathBuf::from(folder),
        (None, Some(home)) => Path::new(&home).join(".docker"),
        (None, None) => return Ok(None),
    };
    let path = folder.join("config.json");
    match std::fs::read_to_string(&path) {
        Ok(text) => find(&text, host)
            .map_err(|why| PluginError::Invalid(format!("{}: {why}", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(PluginError::io(&path)(error)),
    }
}

fn find(text: &str, host: &str) -> Result<Option<Credentials>, String> {
    let config: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let bare = |key: &str| {
        let key = key.strip_prefix("https://").unwrap_or(key);
        key.split('/').next().unwrap_or_default().to_owned()
    };
    let entries = config["auths"].as_object().into_iter().flatten();
    for (_, entry) in entries.filter(|(key, _)| bare(key) == host) {
        let Some(auth) = entry["auth"].as_str().filter(|auth| !auth.is_empty()) else {
            continue;
        };
        let both = STANDARD
            .decode(auth)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        let Some((username, password)) = both.as_deref().and_then(|both| both.split_once(':'))
        else {
            return Err(format!("`auth` of {host} is malformed"));
        };
        return Ok(Some(Credentials {
            username: username.to_owned(),
            password: password.to_owned(),
        }));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::find;

    #[test]
    fn credentials_are_found_by_their_host() {
        let text = r#"{ "auths": { "https://h:5000/v1/": { "auth": "dTpwOnE=" }, "other": {}, "bad": { "auth": "!" } } }"#;
        let found = find(text, "h:5000").unwrap().unwrap();
        assert_eq!((&*found.username, &*found.password), ("u", "p:q"));
        assert!(find(text, "h").unwrap().is_none());
        assert!(find(text, "other").unwrap().is_none());
        assert!(find(text, "bad").is_err());
        assert!(find("{}", "h").unwrap().is_none());
    }
}
