//! Where a repository is.

use capstan_sdk::Failure;

/// How a repository is reached.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Remote {
    /// By HTTP or HTTPS.
    Web,
    /// By ssh.
    Ssh {
        /// The repository's own name says as whom.
        names_user: bool,
    },
}

/// `https://HOST/PATH`, `ssh://[USER@]HOST[:PORT]/PATH` or `[USER@]HOST:PATH`. Everything else that git knows stays
/// on the machine or starts programs.
pub(crate) fn remote(repository: &str) -> Result<Remote, Failure> {
    let none = || {
        Failure::invalid(format!(
            "`{repository}` is no repository that can be fetched: it is https://HOST/PATH, ssh://USER@HOST/PATH or USER@HOST:PATH"
        ))
    };
    if repository.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(none());
    }
    if let Some((scheme, rest)) = repository.split_once("://") {
        return match scheme {
            "http" | "https" => Ok(Remote::Web),
            "ssh" => ssh(rest.split('/').next().unwrap_or_default()).ok_or_else(none),
            _ => Err(none()),
        };
    }
    let (authority, path) = repository.split_once(':').ok_or_else(none)?;
    if authority.contains('/') || path.starts_with(':') || path.is_empty() {
        return Err(none());
    }
    ssh(authority).ok_or_else(none)
}

/// Whoever is named must not look like an option of ssh.
fn ssh(authority: &str) -> Option<Remote> {
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let good = |name: &str| !name.is_empty() && !name.starts_with('-');
    (good(host) && user.is_none_or(good)).then_some(Remote::Ssh {
        names_user: user.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Remote, remote};

    #[test]
    fn a_repository_is_on_another_machine() {
        let ssh = |names_user| Some(Remote::Ssh { names_user });
        for (text, expected) in [
            ("https://example.com/ops.git", Some(Remote::Web)),
            ("http://example.com:81/ops.git", Some(Remote::Web)),
            ("ssh://git@example.com:22/ops.git", ssh(true)),
            ("ssh://[::1]:22/ops.git", ssh(false)),
            ("git@example.com:ops/web.git", ssh(true)),
            ("example.com:ops.git", ssh(false)),
            ("ssh://-oProxyCommand=x/ops", None),
            ("-oProxyCommand=x:ops", None),
            ("ext::sh -c x", None),
            ("ext::sh", None),
            ("file:///srv/ops", None),
            ("/srv/ops.git", None),
            ("./a:b", None),
            ("git@example.com:", None),
            ("https://example.com/a b", None),
        ] {
            assert_eq!(remote(text).ok(), expected, "{text}");
        }
    }
}
