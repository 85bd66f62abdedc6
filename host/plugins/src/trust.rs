//! Who published a component, by a policy's publishers.

use capstan_policy::{BUILT_IN_NAMESPACE, Policy};

use crate::error::PluginError;
use crate::signature::{PublicKey, Signature};

/// Who is known to have published a component.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Publisher {
    /// The name that the policy gives to the holder of the key.
    pub name: Option<String>,
    /// The id of the key that it is signed with, if it is signed.
    pub key_id: Option<String>,
    /// Whether the signature was verified: with the publisher's key, or with one that was named for it.
    pub verified: bool,
}

/// Finds the publisher of a component, and checks that each name that it serves takes this publisher's signature.
///
/// # Errors
/// When a name is not to be served by it, or the signature is not what it claims to be.
pub fn publisher<'a>(
    policy: &Policy,
    names: impl IntoIterator<Item = &'a str>,
    wasm: &[u8],
    signature: Option<&Signature>,
) -> Result<Publisher, PluginError> {
    let mut found = Publisher {
        key_id: signature.map(|signature| signature.key_id().to_owned()),
        ..Publisher::default()
    };
    if let Some(signature) = signature {
        let mut invalid = None;
        for (name, publisher) in &policy.publishers {
            let key = PublicKey::parse(&publisher.key)?;
            if key.id() != signature.key_id() {
                continue;
            }
            match signature.verify(wasm, &key) {
                Ok(()) => {
                    found.name = Some(name.clone());
                    found.verified = true;
                }
                Err(error) => {
                    invalid = Some(format!(
                        "the signature of the publisher {name} is not valid: {error}"
                    ));
                }
            }
        }
        if let (None, Some(why)) = (&found.name, invalid) {
            return Err(PluginError::Refused(why));
        }
    }
    for name in names {
        if name.starts_with(BUILT_IN_NAMESPACE) {
            return Err(PluginError::Refused(format!(
                "it has the name {name}, and the names of {BUILT_IN_NAMESPACE} are those of built-in actions"
            )));
        }
        let demanded: Vec<&str> = policy.publishers_of(name).map(|(name, _)| name).collect();
        if demanded.is_empty()
            || found
                .name
                .as_deref()
                .is_some_and(|one| demanded.contains(&one))
        {
            continue;
        }
        let is = match (&found.name, &found.key_id) {
            (Some(other), _) => format!("it is signed by {other}"),
            (None, Some(key)) => {
                format!("it is signed with the key {key}, which no publisher of the policy has")
            }
            (None, None) => "it is not signed".to_owned(),
        };
        return Err(PluginError::Refused(format!(
            "the policy demands a signature of {} for {name}, and {is}",
            demanded.join(" or ")
        )));
    }
    Ok(found)
}
