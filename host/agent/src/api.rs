//! The calls of the control plane, as this node.

use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use capstan_client::{Client, ClientError, Connect, Credentials, Endpoint, Options, Signer};
use capstan_clock::Clock;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::backoff::{Backoff, Chance, pause};
use crate::error::AgentError;
use crate::folder::AgentFolder;
use crate::identity::Identity;
use crate::key::Key;

/// The signing name of a service, and how its operations' names begin.
type Service = (&'static str, &'static str);

pub(crate) const SSM: Service = ("ssm", "AmazonSSM");
const MESSAGES: Service = ("ec2messages", "EC2WindowsMessageDeliveryService");

/// A poll is held for twenty seconds; after this long it has got lost.
const POLL_TIMEOUT: Duration = Duration::from_secs(60);
/// Seconds that the control plane waits for an acknowledgement before it gives out a message again.
const VISIBILITY: u32 = 10;
/// How often a call is tried that something waits for.
const TRIES: u32 = 6;

/// Credentials for a while.
#[derive(Debug, Clone)]
struct Session {
    credentials: Credentials,
    /// Half of its life: from here on there should be another.
    renew: Timestamp,
    expires: Timestamp,
}

/// The calls of the control plane, as this node.
#[derive(Debug)]
pub struct Api {
    client: Client,
    folder: AgentFolder,
    identity: Mutex<Identity>,
    node_id: String,
    session: tokio::sync::Mutex<Option<Session>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) chance: Chance,
}

impl Api {
    /// As the node that this identity is.
    ///
    /// # Errors
    /// When the endpoint or the certificates cannot be used.
    pub fn new(
        folder: AgentFolder,
        identity: Identity,
        connector: Arc<dyn Connect>,
        clock: Arc<dyn Clock>,
        seed: Option<u64>,
    ) -> Result<Self, AgentError> {
        let options = Options {
            region: identity.region.clone(),
            ca: identity.ca.clone(),
            connector,
            clock: Arc::clone(&clock),
            ..Options::default()
        };
        Ok(Self {
            client: Client::new(Endpoint::from_str(&identity.endpoint)?, options)?,
            folder,
            node_id: identity.node_id.clone(),
            identity: Mutex::new(identity),
            session: tokio::sync::Mutex::default(),
            clock,
            chance: Chance::new(seed),
        })
    }

    /// The node's id.
    #[must_use]
    pub fn node_id(&self) -> &str {
        &self.node_id
    }

    fn identity(&self) -> Identity {
        self.identity
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Calls with the credentials for a while. Those that are refused are replaced once.
    async fn call(
        &self,
        (service, target): Service,
        operation: &str,
        input: &Value,
        timeout: Option<Duration>,
    ) -> Result<Value, AgentError> {
        let mut fresh = false;
        loop {
            let credentials = self.credentials(fresh).await?;
            let signer = Signer::Credentials(credentials);
            let result = self
                .client
                .call_as(&signer, service, target, operation, input, timeout)
                .await;
            match result {
                Err(error) if !fresh && is_of_credentials(&error) => fresh = true,
                result => return Ok(result?),
            }
        }
    }

    async fn credentials(&self, fresh: bool) -> Result<Credentials, AgentError> {
        let mut session = self.session.lock().await;
        let now = self.clock.now();
        let old = session.as_ref().filter(|_| !fresh);
        if let Some(old) = old.filter(|old| now < old.renew) {
            return Ok(old.credentials.clone());
        }
        match (self.new_session().await, old) {
            (Ok(new), _) => {
                let credentials = new.credentials.clone();
                *session = Some(new);
                Ok(credentials)
            }
            // What is there is good for a while yet.
            (Err(error), Some(old)) if !error.is_lasting() && now < old.expires => {
                tracing::debug!(%error, "no new credentials yet");
                Ok(old.credentials.clone())
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn new_session(&self) -> Result<Session, AgentError> {
        let identity = self.identity();
        let input = json!({"Fingerprint": identity.fingerprint.id});
        let operation = "RequestManagedInstanceRoleToken";
        let answer = match (
            self.call_by_key(&identity, &identity.key, operation, &input)
                .await,
            &identity.next_key,
        ) {
            // A key was to be replaced, and it is not known whether it was.
            (Err(error), Some(next)) if error.code() == Some("InvalidSignatureException") => {
                let answer = self.call_by_key(&identity, next, operation, &input).await?;
                self.turn_to(next.clone())?;
                answer
            }
            (answer, _) => answer?,
        };
        let text = |name: &str| {
            let found = answer[name].as_str().map(str::to_owned);
            found.ok_or_else(|| AgentError::Damaged(format!("the answer has no {name}")))
        };
        let now = self.clock.now();
        // Seconds, perhaps with a fraction.
        let expires = answer["TokenExpirationDate"]
            .as_f64()
            .and_then(|seconds| Timestamp::from_second(seconds as i64).ok())
            .ok_or_else(|| {
                AgentError::Damaged("the answer has no TokenExpirationDate".to_owned())
            })?;
        let session = Session {
            credentials: Credentials {
                access_key_id: text("AccessKeyId")?,
                secret_access_key: text("SecretAccessKey")?,
                session_token: Some(text("SessionToken")?),
            },
            renew: now
                .checked_add(expires.duration_since(now) / 2)
                .unwrap_or(expires),
            expires,
        };
        if answer["UpdateKeyPair"].as_bool() == Some(true)
            && let Err(error) = self.replace_key().await
        {
            tracing::warn!(%error, "the node's key could not be replaced; it is tried again with the next credentials");
        }
        Ok(session)
    }

    async fn call_by_key(
        &self,
        identity: &Identity,
        key: &Key,
        operation: &str,
        input: &Value,
    ) -> Result<Value, AgentError> {
        let signer = Signer::Node(identity.signing(key)?);
        let result = self
            .client
            .call_as(&signer, SSM.0, SSM.1, operation, input, None)
            .await;
        result.map_err(|error| match &error {
            ClientError::Service(service) => {
                let (node, message) = (self.node_id.clone(), service.message.clone());
                match service.code.as_str() {
                    "UnrecognizedClientException" => AgentError::Deregistered { node, message },
                    "MachineFingerprintDoesNotMatch" => {
                        AgentError::NotThisMachine { node, message }
                    }
                    _ => error.into(),
                }
            }
            _ => error.into(),
        })
    }

    /// Makes a new key and tells it, signed with the old one. Both are kept until it is known that the new one is
    /// in force.
    async fn replace_key(&self) -> Result<(), AgentError> {
        let mut identity = self.identity();
        let new = match &identity.next_key {
            Some(key) => key.clone(),
            None => Key::generate().await?,
        };
        identity.next_key = Some(new.clone());
        self.keep(identity.clone())?;
        let input = json!({"NewPublicKey": new.public()?, "NewPublicKeyType": "Rsa"});
        let operation = "UpdateManagedInstancePublicKey";
        self.call_by_key(&identity, &identity.key, operation, &input)
            .await?;
        self.turn_to(new)?;
        tracing::info!("the node has a new key");
        Ok(())
    }

    fn turn_to(&self, key: Key) -> Result<(), AgentError> {
        let mut identity = self.identity();
        identity.key = key;
        identity.next_key = None;
        self.keep(identity)
    }

    fn keep(&self, identity: Identity) -> Result<(), AgentError> {
        identity.save(&self.folder)?;
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = identity;
        Ok(())
    }

    /// Messages, when there are any, or none after a while.
    pub(crate) async fn messages(&self) -> Result<Vec<Value>, AgentError> {
        let input = json!({
            "Destination": self.node_id,
            "MessagesRequestId": self.chance.uuid(),
            "VisibilityTimeoutInSeconds": VISIBILITY,
        });
        let mut answer = self
            .call(MESSAGES, "GetMessages", &input, Some(POLL_TIMEOUT))
            .await?;
        match answer.get_mut("Messages").map(Value::take) {
            Some(Value::Array(messages)) => Ok(messages),
            _ => Ok(Vec::new()),
        }
    }

    pub(crate) async fn acknowledge(&self, message: &str) -> Result<(), AgentError> {
        let input = json!({"MessageId": message});
        self.call(MESSAGES, "AcknowledgeMessage", &input, None)
            .await?;
        Ok(())
    }

    pub(crate) async fn fail(&self, message: &str, failure: &str) -> Result<(), AgentError> {
        let input = json!({"MessageId": message, "FailureType": failure});
        self.call(MESSAGES, "FailMessage", &input, None).await?;
        Ok(())
    }

    pub(crate) async fn reply(&self, message: &str, payload: &Value) -> Result<(), AgentError> {
        let input = json!({
            "MessageId": message,
            "ReplyId": self.chance.uuid(),
            "Payload": payload.to_string(),
        });
        self.call(MESSAGES, "SendReply", &input, None).await?;
        Ok(())
    }

    pub(crate) async fn delete(&self, message: &str) -> Result<(), AgentError> {
        let input = json!({"MessageId": message});
        self.call(MESSAGES, "DeleteMessage", &input, None).await?;
        Ok(())
    }

    pub(crate) async fn heartbeat(&self, input: &Value) -> Result<(), AgentError> {
        self.call(SSM, "UpdateInstanceInformation", input, None)
            .await?;
        Ok(())
    }

    /// Reads a parameter with its value, which is tried a few times: a step waits for it. Nothing if there is none.
    pub(crate) async fn parameter(&self, name: &str) -> Result<Option<Value>, AgentError> {
        let input = json!({"Names": [name], "WithDecryption": true});
        let mut backoff = Backoff::default();
        let mut tries = 0;
        let mut answer = loop {
            tries += 1;
            match self.call(SSM, "GetParameters", &input, None).await {
                Err(AgentError::Client(error)) if error.is_transient() && tries < TRIES => {
                    pause(&*self.clock, backoff.next(&self.chance)).await;
                }
                result => break result?,
            }
        };
        Ok(answer["Parameters"].get_mut(0).map(Value::take))
    }
}

/// Whether it was the credentials that were refused: they may have run out on the server's clock before they did on
/// this machine's, or the server has another key now.
fn is_of_credentials(error: &ClientError) -> bool {
    matches!(
        error.code(),
        Some(
            "UnrecognizedClientException"
                | "ExpiredTokenException"
                | "InvalidClientTokenId"
                | "InvalidSignatureException"
        )
    )
}
