//! The operations: one table from an operation's name to its handler and to what its caller has to be.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::auth::{Caller, Role};
use crate::error::ApiError;
use crate::model::Service;
use crate::server::Server;

/// What a caller has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// An access key of this role or one that may do more.
    Role(Role),
    /// A node with the credentials that it got for an hour; an access key of this role may do it as well.
    NodeOr(Role),
    /// A node with such credentials.
    Node,
    /// A node that signed with its own key.
    NodeKey,
    /// Anybody: the request is not signed.
    Anybody,
}

/// Looking.
pub(crate) const READ: Access = Access::Role(Role::ReadOnly);
/// Running and changing.
pub(crate) const OPERATE: Access = Access::Role(Role::Operator);
/// What changes who belongs to the installation.
pub(crate) const ADMINISTER: Access = Access::Role(Role::Admin);

impl Access {
    pub(crate) fn allows(self, caller: &Caller) -> bool {
        let has = |needed: Role| match caller {
            Caller::Key { role, .. } => *role >= needed,
            Caller::Server => true,
            Caller::Node(_) | Caller::NodeKey(_) | Caller::Nobody => false,
        };
        match self {
            Self::Role(needed) => has(needed),
            Self::NodeOr(needed) => has(needed) || matches!(caller, Caller::Node(_)),
            Self::Node => matches!(caller, Caller::Node(_)),
            Self::NodeKey => matches!(caller, Caller::NodeKey(_)),
            Self::Anybody => true,
        }
    }
}

/// A call of an operation.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The server.
    pub(crate) server: Arc<Server>,
    /// The operation's name.
    pub(crate) operation: &'static str,
    /// Who calls.
    pub(crate) caller: Caller,
    /// When.
    pub(crate) now: Timestamp,
}

impl Call {
    /// When, in milliseconds since 1970, as the store has it.
    pub(crate) fn millis(&self) -> i64 {
        self.now.as_millisecond()
    }

    /// Goes on after a page: see [`crate::paging`].
    pub(crate) fn cursor<T: DeserializeOwned>(
        &self,
        token: Option<&str>,
    ) -> Result<Option<T>, ApiError> {
        self.server.paging.cursor(self.operation, token)
    }

    /// The token of the next page.
    pub(crate) fn token(&self, cursor: Option<impl Serialize>) -> Result<Option<String>, ApiError> {
        cursor
            .map(|cursor| self.server.paging.token(self.operation, &cursor))
            .transpose()
    }

    /// Refuses a caller of a lesser role, where the operation's own access does not decide alone.
    pub(crate) fn demand(&self, role: Role, what: &str) -> Result<(), ApiError> {
        if Access::NodeOr(role).allows(&self.caller) {
            return Ok(());
        }
        Err(denied(&self.caller, &self.server.config.account, what))
    }
}

/// The caller may not do that.
pub(crate) fn denied(caller: &Caller, account: &str, action: &str) -> ApiError {
    ApiError::new(
        "AccessDeniedException",
        format!(
            "User: {} is not authorized to perform: {action}",
            caller.arn(account)
        ),
    )
}

type Answer = Pin<Box<dyn Future<Output = Result<Vec<u8>, ApiError>> + Send>>;

/// An operation.
pub(crate) struct Operation {
    pub(crate) service: Service,
    pub(crate) name: &'static str,
    pub(crate) access: Access,
    /// Of operations that are told by the path of the request (AWS's REST-JSON), not by a header.
    pub(crate) path: Option<&'static str>,
    handler: Box<dyn Fn(Call, Value) -> Answer + Send + Sync>,
}

impl std::fmt::Debug for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({:?})", self.name, self.access)
    }
}

impl Operation {
    pub(crate) async fn run(&self, call: Call, input: Value) -> Result<Vec<u8>, ApiError> {
        (self.handler)(call, input).await
    }
}

/// An operation of `ssm`, the service of nearly all.
pub(crate) fn operation<I, O, F, R>(name: &'static str, access: Access, handler: F) -> Operation
where
    I: DeserializeOwned + Send + 'static,
    O: Serialize,
    F: Fn(Call, I) -> R + Send + Sync + 'static,
    R: Future<Output = Result<O, ApiError>> + Send + 'static,
{
    operation_of(Service::Ssm, name, access, handler)
}

/// An operation of a service.
pub(crate) fn operation_of<I, O, F, R>(
    service: Service,
    name: &'static str,
    access: Access,
    handler: F,
) -> Operation
where
    I: DeserializeOwned + Send + 'static,
    O: Serialize,
    F: Fn(Call, I) -> R + Send + Sync + 'static,
    R: Future<Output = Result<O, ApiError>> + Send + 'static,
{
    let handler = Arc::new(handler);
    Operation {
        service,
        name,
        access,
        path: None,
        handler: Box::new(move |call, input| {
            let handler = handler.clone();
            Box::pin(async move {
                // The model has been through it: what is left are times and the like.
                let input = serde_json::from_value(input)
                    .map_err(|error| ApiError::new("SerializationException", error.to_string()))?;
                let output = handler(call, input).await?;
                serde_json::to_vec(&output).map_err(|error| {
                    tracing::error!(%error, "an answer cannot be written");
                    ApiError::internal()
                })
            })
        }),
    }
}

/// An operation that is told by its path.
pub(crate) fn operation_at<I, O, F, R>(
    service: Service,
    name: &'static str,
    path: &'static str,
    access: Access,
    handler: F,
) -> Operation
where
    I: DeserializeOwned + Send + 'static,
    O: Serialize,
    F: Fn(Call, I) -> R + Send + Sync + 'static,
    R: Future<Output = Result<O, ApiError>> + Send + 'static,
{
    Operation {
        path: Some(path),
        ..operation_of(service, name, access, handler)
    }
}

/// All operations, by service and name.
#[derive(Debug)]
pub(crate) struct Api {
    operations: HashMap<Service, HashMap<&'static str, Operation>>,
    paths: HashMap<&'static str, (Service, &'static str)>,
}

impl Api {
    pub(crate) fn new() -> Self {
        let mut operations: HashMap<Service, HashMap<&'static str, Operation>> = HashMap::new();
        let mut paths = HashMap::new();
        for operation in crate::table::operations() {
            if let Some(path) = operation.path {
                paths.insert(path, (operation.service, operation.name));
            }
            operations
                .entry(operation.service)
                .or_default()
                .insert(operation.name, operation);
        }
        Self { operations, paths }
    }

    pub(crate) fn find(&self, service: Service, name: &str) -> Option<&Operation> {
        self.operations.get(&service)?.get(name)
    }

    /// The operation at a path.
    pub(crate) fn at(&self, path: &str) -> Option<&Operation> {
        let (service, name) = self.paths.get(path)?;
        self.find(*service, name)
    }
}
