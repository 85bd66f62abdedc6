//! The server: what all parts share, and its life.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use capstan_clock::Clock;
use capstan_store::{Migration, Store};
use http::Method;
use http::request::Parts;
use serde_json::Value;
use tokio::sync::Notify;

use crate::api::{Access, Api, Call, denied};
use crate::auth::{self, AccessKey, Authenticator, Caller, NewAccessKey, Role};
use crate::delivery::Polls;
use crate::documents::Parsed;
use crate::error::{ApiError, ServerError};
use crate::keys::{MasterKey, Sealer};
use crate::master_key;
use crate::metrics::Metrics;
use crate::model::{ModelError, Service, model};
use crate::paging::Paging;
use crate::parameters::NodeParameters;

/// How the server is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// The account's id in ARNs: 12 digits.
    pub account: String,
    /// The region in ARNs.
    pub region: String,
    /// The largest body of a request, in bytes.
    pub max_body: usize,
    /// What nodes may read of Parameter Store; if there is nothing here, all of it.
    pub node_parameters: Vec<NodeParameters>,
    /// Days after which a node is asked to change its key; 0 for never.
    pub node_key_days: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            account: "000000000000".to_owned(),
            region: "us-east-1".to_owned(),
            max_body: 2 << 20,
            node_parameters: Vec::new(),
            node_key_days: 30,
        }
    }
}

/// The tables of all parts.
#[must_use]
pub fn migrations() -> Vec<Migration> {
    vec![
        master_key::FINGERPRINT,
        master_key::SEALED,
        auth::MIGRATION,
        crate::tags::MIGRATION,
        crate::groups::MIGRATION,
        crate::nodes::MIGRATION,
        crate::nodes::KEY_AGE,
        crate::documents::MIGRATION,
        crate::commands::MIGRATION,
        crate::delivery::MIGRATION,
        crate::parameters::MIGRATION,
    ]
}

/// The control plane.
#[derive(Debug)]
pub struct Server {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) authenticator: Authenticator,
    pub(crate) paging: Paging,
    pub(crate) documents: Parsed,
    /// For the values of SecureStrings.
    pub(crate) parameters: Sealer,
    pub(crate) metrics: Metrics,
    pub(crate) polls: Polls,
    api: Api,
    work: Notify,
    stopping: AtomicBool,
}

/// An answer: its HTTP status, its body, and the error's code if it is one.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// JSON.
    pub body: Bytes,
    /// The code of the error.
    pub code: Option<String>,
}

impl Server {
    /// With a store whose tables were made by [`migrations`].
    ///
    /// # Errors
    /// When the database belongs to another master key, or cannot be used.
    pub async fn new(
        config: Config,
        store: Store,
        master: &MasterKey,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, ServerError> {
        master_key::demand(master, &store).await?;
        Ok(Arc::new(Self {
            authenticator: Authenticator::new(master),
            paging: Paging::new(&master.derive("page tokens")),
            documents: Parsed::default(),
            parameters: master.sealer("parameters"),
            metrics: Metrics::new(),
            polls: Polls::default(),
            api: Api::new(),
            work: Notify::new(),
            stopping: AtomicBool::new(false),
            config,
            store,
            clock,
        }))
    }

    /// Does what the server does by itself, until it stops.
    pub async fn work(self: Arc<Self>) {
        crate::background::run(self).await;
    }

    /// There is something to do.
    pub(crate) fn wake(&self) {
        self.work.notify_one();
    }

    /// Returns when there is something to do.
    pub(crate) async fn woken(&self) {
        self.work.notified().await;
    }

    /// Polls are answered, and [`Self::work`] ends.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.polls.wake_all();
        self.wake();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Makes an access key.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub async fn create_access_key(
        self: &Arc<Self>,
        name: &str,
        role: Role,
    ) -> Result<NewAccessKey, ServerError> {
        let new = auth::generate(name, role, self.clock.now().as_millisecond())
            .map_err(|error| ServerError::Configuration(error.to_string()))?;
        let (server, stored) = (self.clone(), new.clone());
        self.store
            .write(move |tx| {
                auth::insert(
                    tx,
                    &server.authenticator.access_keys,
                    &stored.key,
                    &stored.secret,
                )
            })
            .await
            .map_err(|error: ApiError| ServerError::Configuration(error.message))?;
        Ok(new)
    }

    /// All access keys, those that were revoked among them.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn access_keys(&self) -> Result<Vec<AccessKey>, ServerError> {
        Ok(self.store.read(auth::list).await?)
    }

    /// Revokes an access key. Whether there was one to revoke.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn revoke_access_key(&self, id: &str) -> Result<bool, ServerError> {
        let (id, now) = (id.to_owned(), self.clock.now().as_millisecond());
        Ok(self
            .store
            .write(move |tx| auth::revoke(tx, &id, now))
            .await?)
    }

    /// Calls an operation of `ssm` for the server's own operator, who needs no access key.
    ///
    /// # Errors
    /// As the operation's.
    pub async fn call_own(
        self: &Arc<Self>,
        operation: &str,
        input: Value,
    ) -> Result<Value, ApiError> {
        let operation = self.api.find(Service::Ssm, operation).ok_or_else(|| {
            ApiError::new(
                "UnknownOperationException",
                format!("There is no operation {operation}."),
            )
        })?;
        let answer = self
            .call(Service::Ssm, operation, Caller::Server, input)
            .await?;
        serde_json::from_slice(&answer).map_err(|_| ApiError::internal())
    }

    /// Whether an operation is told by this path.
    pub(crate) fn has_path(&self, path: &str) -> bool {
        self.api.at(path).is_some()
    }

    /// Answers a request, whose head and body are there.
    pub async fn answer(self: &Arc<Self>, parts: &Parts, body: &[u8]) -> Answer {
        let started = tokio::time::Instant::now();
        let (result, operation) = match find(&self.api, parts) {
            Ok(operation) => {
                let result = self.run(operation, parts, body).await;
                (
                    result.map_err(|error| error.of_service(operation.service)),
                    Some(operation),
                )
            }
            Err(error) => (Err(error), None),
        };
        let name = operation.map_or("unknown", |operation| operation.name);
        // Polls take as long as nothing happens, which says nothing of the server.
        let duration = (name != "GetMessages").then(|| started.elapsed());
        let answer = match result {
            Ok(body) => Answer {
                status: 200,
                body: body.into(),
                code: None,
            },
            Err(error) => Answer {
                status: error.status,
                body: error.body().to_string().into(),
                code: Some(error.code.into_owned()),
            },
        };
        self.metrics
            .request(name, answer.code.as_deref().unwrap_or("200"), duration);
        answer
    }

    async fn run(
        self: &Arc<Self>,
        operation: &crate::api::Operation,
        parts: &Parts,
        body: &[u8],
    ) -> Result<Vec<u8>, ApiError> {
        let now = self.clock.now();
        let service = operation.service;
        let caller = match operation.access {
            Access::Anybody => Caller::Nobody,
            _ => {
                self.authenticator
                    .caller(&self.store, parts, body, service.name(), now)
                    .await?
            }
        };
        if !operation.access.allows(&caller) {
            let action = format!("{}:{}", service.name(), operation.name);
            return Err(denied(&caller, &self.config.account, &action));
        }
        let mut input: Value = if body.is_empty() {
            Value::Object(serde_json::Map::new())
        } else {
            serde_json::from_slice(body).map_err(|error| {
                ApiError::new(
                    "SerializationException",
                    format!("the body is not JSON: {error}"),
                )
            })?
        };
        if operation.path.is_some() {
            add_query(&mut input, parts.uri.query().unwrap_or_default());
        }
        self.call(service, operation, caller, input).await
    }

    async fn call(
        self: &Arc<Self>,
        service: Service,
        operation: &crate::api::Operation,
        caller: Caller,
        input: Value,
    ) -> Result<Vec<u8>, ApiError> {
        if let Some(shape) = model().operation(service, operation.name) {
            shape.check(&input).map_err(|error| match error {
                ModelError::Serialization(message) => {
                    ApiError::new("SerializationException", message)
                }
                ModelError::Validation(message) => ApiError::validation(message),
            })?;
        }
        let call = Call {
            server: self.clone(),
            operation: operation.name,
            caller,
            now: self.clock.now(),
        };
        operation.run(call, input).await
    }
}

/// Adds the members that operations told by their path take from the query: `maxResults` and `nextToken`.
fn add_query(input: &mut Value, query: &str) {
    let Value::Object(input) = input else { return };
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
        match name {
            "maxResults" => {
                let number = value
                    .parse::<i64>()
                    .map_or_else(|_| Value::from(value.as_ref()), Value::from);
                input.insert("MaxResults".to_owned(), number);
            }
            "nextToken" => {
                input.insert("NextToken".to_owned(), Value::from(value.as_ref()));
            }
            _ => {}
        }
    }
}

/// The operation of a request: at a path of its own, or of an `X-Amz-Target`.
fn find<'a>(api: &'a Api, parts: &Parts) -> Result<&'a crate::api::Operation, ApiError> {
    let unknown = |message: String| ApiError::new("UnknownOperationException", message);
    let path = parts.uri.path();
    if path != "/" {
        if api.at(path).is_some() && parts.method != Method::POST {
            return Err(ApiError::new(
                "MethodNotAllowedException",
                format!("{path} is called with POST, not {}.", parts.method),
            )
            .with_status(405));
        }
        return api
            .at(path)
            .ok_or_else(|| unknown(format!("There is no operation at {path}.")).with_status(404));
    }
    let target = parts
        .headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok());
    let Some(target) = target else {
        return Err(unknown(
            "The request has no X-Amz-Target header, which names its operation.".to_owned(),
        ));
    };
    let found = target
        .split_once('.')
        .and_then(|(prefix, name)| Some((Service::of_target(prefix)?, name)));
    let Some((service, name)) = found else {
        return Err(unknown(format!(
            "{target} is no operation of a service that is known here."
        )));
    };
    api.find(service, name).ok_or_else(|| {
        unknown(if model().operation(service, name).is_some() {
            format!("The operation {name} is not served by this version.")
        } else {
            format!("There is no operation {name}.")
        })
    })
}
