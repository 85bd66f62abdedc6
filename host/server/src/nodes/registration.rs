//! How a machine becomes a node, stays one, and leaves: the operations that agents call, and DeregisterManagedInstance.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use capstan_store::{Transaction, params};
use serde::{Deserialize, Serialize};
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

use super::activations::code_hash;
use crate::api::Call;
use crate::auth::Caller;
use crate::auth::hex;
use crate::error::ApiError;
use crate::keys::random;
use crate::tags;
use crate::wire::{Epoch, Nothing, Tag};

/// RFC 8017's rsaEncryption.
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Register {
    activation_code: String,
    activation_id: String,
    public_key: String,
    #[serde(default)]
    public_key_type: Option<String>,
    fingerprint: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Registered {
    instance_id: String,
}

/// Anybody may call it: the activation's code is what lets a machine in.
pub(crate) async fn register(call: Call, input: Register) -> Result<Registered, ApiError> {
    let public_key = rsa_key(&input.public_key, input.public_key_type.as_deref())?;
    let chance: [u8; 9] = random().map_err(|error| {
        tracing::error!(%error, "a node's id cannot be made");
        ApiError::internal()
    })?;
    let node_id = format!("mi-{}", &hex(&chance)[..17]);
    let id = node_id.clone();
    let now = call.millis();
    let code = code_hash(&input.activation_code);
    call.server
        .store
        .write(move |tx| {
            let (role, name, tags) = use_activation(tx, &input.activation_id, &code, now)?;
            tx.execute(
                "INSERT INTO nodes (id, public_key, fingerprint, activation_id, iam_role, name, registered) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
                params![&id, &public_key, &input.fingerprint, &input.activation_id, &role, &name, now],
            )?;
            tags::put(tx, "ManagedInstance", &id, &tags)?;
            Ok::<_, ApiError>(())
        })
        .await?;
    tracing::info!(node = node_id, "a node was registered");
    Ok(Registered {
        instance_id: node_id,
    })
}

/// Takes one registration of an activation. The same answer for all that is wrong with it, so that ids cannot be
/// guessed.
fn use_activation(
    tx: &mut Transaction<'_>,
    id: &str,
    code: &[u8],
    now: i64,
) -> Result<(String, String, Vec<Tag>), ApiError> {
    let taken = tx.execute(
        "UPDATE activations SET registrations = registrations + 1 \
         WHERE id = $1 AND code = $2 AND expires > $3 AND registrations < registration_limit",
        params![id, code, now],
    )?;
    let row = tx.query_one(
        "SELECT iam_role, default_name, tags FROM activations WHERE id = $1",
        params![id],
    )?;
    match row {
        Some(row) if taken == 1 => {
            let tags: String = row.get(2)?;
            Ok((row.get(0)?, row.get(1)?, crate::wire::of_json(&tags)?))
        }
        _ => Err(ApiError::new(
            "InvalidActivation",
            "The activation is not valid: there is none of this id and code, it has expired, or it was used as often \
             as it may be. CreateActivation makes a new one.",
        )),
    }
}

/// A public key as nodes send it (base64 of DER: X.509's SubjectPublicKeyInfo), as it is verified with (PKCS #1).
fn rsa_key(text: &str, kind: Option<&str>) -> Result<Vec<u8>, ApiError> {
    let wrong = |why: &str| {
        ApiError::validation(format!(
            "PublicKey is not an RSA key that can be used: {why}."
        ))
    };
    if kind.is_some_and(|kind| !kind.eq_ignore_ascii_case("rsa")) {
        return Err(wrong("PublicKeyType has to be Rsa"));
    }
    let der = BASE64_STANDARD
        .decode(text.trim())
        .map_err(|_| wrong("it is not base64"))?;
    let info = SubjectPublicKeyInfoRef::try_from(der.as_slice())
        .map_err(|_| wrong("it is not SubjectPublicKeyInfo in DER"))?;
    if info.algorithm.oid != RSA_ENCRYPTION {
        return Err(wrong("it is of another kind"));
    }
    let key = info.subject_public_key.raw_bytes();
    // Of 2048 bits or more, as the signature's algorithm demands.
    if key.len() < 256 {
        return Err(wrong("it has fewer than 2048 bits"));
    }
    Ok(key.to_vec())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RequestRoleToken {
    fingerprint: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RoleToken {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    token_expiration_date: Epoch,
    update_key_pair: bool,
}

fn node_of(call: &Call) -> Result<String, ApiError> {
    match &call.caller {
        Caller::Node(id) | Caller::NodeKey(id) => Ok(id.clone()),
        other => Err(crate::api::denied(
            other,
            &call.server.config.account,
            call.operation,
        )),
    }
}

/// Credentials for an hour. A machine that is not the one that registered, such as a copy of its disk, gets none.
pub(crate) async fn request_role_token(
    call: Call,
    input: RequestRoleToken,
) -> Result<RoleToken, ApiError> {
    let node = node_of(&call)?;
    let id = node.clone();
    let known = call
        .server
        .store
        .read::<_, ApiError>(move |tx| {
            let row = tx.query_one(
                "SELECT fingerprint, registered, key_changed FROM nodes WHERE id = $1",
                params![&id],
            )?;
            let Some(row) = row else { return Ok(None) };
            let (registered, changed): (i64, i64) = (row.get(1)?, row.get(2)?);
            Ok(Some((row.get::<String>(0)?, registered.max(changed))))
        })
        .await?;
    let Some((_, key_since)) = known.filter(|(fingerprint, _)| *fingerprint == input.fingerprint)
    else {
        return Err(ApiError::new(
            "MachineFingerprintDoesNotMatch",
            format!(
                "This machine is not the one that was registered as {node}: register it as a node of its own."
            ),
        ));
    };
    let now = call.now.as_second();
    let most = i64::from(call.server.config.node_key_days) * 24 * 60 * 60 * 1000;
    let session = call
        .server
        .authenticator
        .sessions
        .issue(&node, now)
        .map_err(|error| {
            tracing::error!(%error, "no credentials can be made");
            ApiError::internal()
        })?;
    Ok(RoleToken {
        access_key_id: session.key_id,
        secret_access_key: session.secret,
        session_token: session.token,
        token_expiration_date: Epoch::of_millis(session.expires * 1000),
        update_key_pair: most > 0 && call.millis() - key_since > most,
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdatePublicKey {
    new_public_key: String,
    #[serde(default)]
    new_public_key_type: Option<String>,
}

/// The old key signed the request.
pub(crate) async fn update_public_key(
    call: Call,
    input: UpdatePublicKey,
) -> Result<Nothing, ApiError> {
    let node = node_of(&call)?;
    let key = rsa_key(&input.new_public_key, input.new_public_key_type.as_deref())?;
    let now = call.millis();
    call.server
        .store
        .write::<_, ApiError>(move |tx| {
            tx.execute(
                "UPDATE nodes SET public_key = $2, key_changed = $3 WHERE id = $1",
                params![&node, &key, now],
            )?;
            Ok(())
        })
        .await?;
    Ok(Nothing {})
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateInformation {
    instance_id: String,
    agent_name: Option<String>,
    agent_version: Option<String>,
    platform_type: Option<String>,
    platform_name: Option<String>,
    platform_version: Option<String>,
    #[serde(rename = "IPAddress")]
    ip_address: Option<String>,
    computer_name: Option<String>,
}

/// A node's heartbeat: it is there, and this is what it is.
pub(crate) async fn update_information(
    call: Call,
    input: UpdateInformation,
) -> Result<Nothing, ApiError> {
    let node = node_of(&call)?;
    if node != input.instance_id {
        return Err(ApiError::new(
            "InvalidInstanceId",
            format!("The node {node} cannot speak for {}.", input.instance_id),
        ));
    }
    let now = call.millis();
    call.server
        .store
        .write::<_, ApiError>(move |tx| {
            tx.execute(
                "UPDATE nodes SET last_ping = $2, agent_name = $3, agent_version = $4, platform_type = $5, \
                 platform_name = $6, platform_version = $7, ip_address = $8, computer_name = $9 WHERE id = $1",
                params![
                    &input.instance_id,
                    now,
                    input.agent_name.as_deref(),
                    input.agent_version.as_deref(),
                    input.platform_type.as_deref(),
                    input.platform_name.as_deref(),
                    input.platform_version.as_deref(),
                    input.ip_address.as_deref(),
                    input.computer_name.as_deref()
                ],
            )?;
            Ok(())
        })
        .await?;
    Ok(Nothing {})
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Deregister {
    instance_id: String,
}

/// The node is forgotten, but for the commands that it ran; its credentials and its key are good for nothing from now.
pub(crate) async fn deregister(call: Call, input: Deregister) -> Result<Nothing, ApiError> {
    let (id, now) = (input.instance_id.clone(), call.millis());
    let existed = call
        .server
        .store
        .write::<_, ApiError>(move |tx| {
            let gone = tx.execute("DELETE FROM nodes WHERE id = $1", params![&id])? > 0;
            if gone {
                tags::clear(tx, "ManagedInstance", &id)?;
                crate::commands::node_left(tx, &id, now)?;
            }
            Ok(gone)
        })
        .await?;
    if !existed {
        return Err(unknown(&input.instance_id));
    }
    tracing::info!(
        node = input.instance_id,
        by = call.caller.arn(&call.server.config.account),
        "a node was deregistered"
    );
    Ok(Nothing {})
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateRole {
    instance_id: String,
    iam_role: String,
}

pub(crate) async fn update_role(call: Call, input: UpdateRole) -> Result<Nothing, ApiError> {
    let id = input.instance_id.clone();
    let changed = call
        .server
        .store
        .write::<_, ApiError>(move |tx| {
            Ok(tx.execute(
                "UPDATE nodes SET iam_role = $2 WHERE id = $1",
                params![&id, &input.iam_role],
            )?)
        })
        .await?;
    if changed == 0 {
        return Err(unknown(&input.instance_id));
    }
    Ok(Nothing {})
}

pub(super) fn unknown(id: &str) -> ApiError {
    ApiError::new(
        "InvalidInstanceId",
        format!("There is no managed node {id}."),
    )
}
