//! SecureStrings at rest.
//!
//! Each version has a data key of its own, which seals its value. The data key is sealed under a key that comes of the
//! master key, and bound, as the value is, to the parameter, the version and the id of the key that was asked for: none
//! of them can stand in for another.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use uuid::Uuid;

use super::record::Version;
use crate::error::ApiError;
use crate::keys::{NoRandom, Sealer, random};
use crate::server::Config;
use crate::wire::json;

/// The key of SecureStrings that name none.
pub(super) const DEFAULT_KEY: &str = "alias/aws/ssm";
/// What a sealed value begins with: the form of what follows.
const FORM: u8 = 1;
/// Bytes of a sealed data key: nonce, key and tag.
const SEALED_KEY: usize = 12 + 32 + 16;

/// Refuses what is no id, alias or ARN of a key.
pub(super) fn demand_key_id(id: &str) -> Result<(), ApiError> {
    if is_key_id(id) {
        return Ok(());
    }
    Err(ApiError::new(
        "InvalidKeyId",
        format!(
            "Invalid keyId {id}: it is a key's id, its ARN, an alias (alias/NAME), or an alias' ARN."
        ),
    ))
}

fn is_key_id(id: &str) -> bool {
    if !id.starts_with("arn:") {
        return is_key(id) || is_alias(id);
    }
    let parts: Vec<&str> = id.split(':').collect();
    let &["arn", partition, "kms", region, account, resource] = parts.as_slice() else {
        return false;
    };
    let account_fits = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    partition.starts_with("aws")
        && !region.is_empty()
        && account_fits
        && (resource.strip_prefix("key/").is_some_and(is_key) || is_alias(resource))
}

fn is_key(id: &str) -> bool {
    let multi_region = id
        .strip_prefix("mrk-")
        .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    multi_region || id.len() == 36 && Uuid::try_parse(id).is_ok()
}

fn is_alias(id: &str) -> bool {
    id.strip_prefix("alias/").is_some_and(|name| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-'))
    })
}

/// The key's ARN, for refusals.
pub(super) fn key_arn(id: &str, config: &Config) -> String {
    match id {
        arn if arn.starts_with("arn:") => arn.to_owned(),
        alias if alias.starts_with("alias/") => {
            format!("arn:aws:kms:{}:{}:{alias}", config.region, config.account)
        }
        key => format!("arn:aws:kms:{}:{}:key/{key}", config.region, config.account),
    }
}

fn context(name: &str, version: i64, key_id: &str) -> Result<String, ApiError> {
    json(&("SecureString", name, version, key_id))
}

/// A value as the database has it.
pub(super) fn seal(
    sealer: &Sealer,
    (name, version, key_id): (&str, i64, &str),
    plain: &[u8],
) -> Result<Vec<u8>, ApiError> {
    let failed = |error: NoRandom| {
        tracing::error!(%error, "a SecureString cannot be sealed");
        ApiError::internal()
    };
    let context = context(name, version, key_id)?;
    let data_key: [u8; 32] = random().map_err(failed)?;
    let mut sealed = vec![FORM];
    sealed.append(&mut sealer.seal(&context, &data_key).map_err(failed)?);
    sealed.append(
        &mut Sealer::new(data_key)
            .seal(&context, plain)
            .map_err(failed)?,
    );
    Ok(sealed)
}

/// The value of a version of a SecureString.
pub(super) fn open(sealer: &Sealer, version: &Version) -> Result<Vec<u8>, ApiError> {
    let context = context(&version.name, version.version, &version.key_id)?;
    opened(sealer, &context, &version.value).ok_or_else(|| {
        tracing::error!(
            parameter = version.name,
            version = version.version,
            "the value of a SecureString cannot be opened: it was changed in the database"
        );
        ApiError::internal()
    })
}

fn opened(sealer: &Sealer, context: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    let (&form, sealed) = sealed.split_first()?;
    let (data_key, value) = sealed.split_at_checked(SEALED_KEY)?;
    if form != FORM {
        return None;
    }
    let data_key = sealer.open(context, data_key).ok()?;
    Sealer::new(data_key.try_into().ok()?)
        .open(context, value)
        .ok()
}

/// What callers get who do not ask for decryption.
pub(super) fn ciphertext(sealed: &[u8]) -> String {
    BASE64_STANDARD.encode(sealed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{context, is_key_id, opened, seal};
    use crate::keys::MasterKey;

    #[test]
    fn keys_are_named_in_some_forms() {
        let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
        for good in [
            "alias/aws/ssm",
            "alias/my_key-1",
            id,
            "mrk-1234abcd12ab34cd56ef1234567890ab",
            &format!("arn:aws:kms:eu-west-1:123456789012:key/{id}"),
            "arn:aws-cn:kms:cn-north-1:123456789012:alias/mine",
        ] {
            assert!(is_key_id(good), "{good}");
        }
        for bad in [
            "",
            "alias/",
            "mine",
            "1234abcd12ab34cd56ef1234567890ab",
            "mrk-1234",
            "arn:aws:kms:eu-west-1:123456789012:key/mine",
            "arn:aws:kms:eu-west-1:1:alias/mine",
            "arn:aws:kms::123456789012:alias/mine",
            "arn:aws:s3:eu-west-1:123456789012:alias/mine",
            "arn:aws:kms:eu-west-1:123456789012:alias/mine:2",
        ] {
            assert!(!is_key_id(bad), "{bad}");
        }
    }

    #[test]
    fn a_value_opens_in_its_place_alone() {
        let sealer = MasterKey::random().unwrap().sealer("parameters");
        let sealed = seal(&sealer, ("/a", 1, "alias/aws/ssm"), b"hunter2").unwrap();
        let again = seal(&sealer, ("/a", 1, "alias/aws/ssm"), b"hunter2").unwrap();
        assert_ne!(sealed, again);
        let open = |name, version, key, sealed: &[u8]| {
            opened(&sealer, &context(name, version, key).unwrap(), sealed)
        };
        assert_eq!(open("/a", 1, "alias/aws/ssm", &sealed).unwrap(), b"hunter2");
        for (name, version, key) in [
            ("/b", 1, "alias/aws/ssm"),
            ("/a", 2, "alias/aws/ssm"),
            ("/a", 1, "alias/x"),
        ] {
            assert_eq!(open(name, version, key, &sealed), None);
        }
        // The data key of the one with the value of the other.
        let mixed = [&sealed[..61], &again[61..]].concat();
        assert_eq!(open("/a", 1, "alias/aws/ssm", &mixed), None);
        assert_eq!(open("/a", 1, "alias/aws/ssm", &sealed[..20]), None);
        assert_eq!(open("/a", 1, "alias/aws/ssm", &[]), None);
    }
}
