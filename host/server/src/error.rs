//! Errors: those of a call, which clients see, and those of the server, which its operator sees.

use std::borrow::Cow;

use capstan_store::StoreError;
use serde_json::{Map, Value, json};

use crate::model::Service;

/// Why a call failed, as clients of AWS know it.
///
/// On the wire it is `{"__type": CODE, "message": …, "Message": …}`: error shapes of the model have the one or the
/// other spelling, and clients take either.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// The code, which is the name of the model's error shape where there is one.
    pub code: Cow<'static, str>,
    /// The status of the HTTP response.
    pub status: u16,
    /// What is wrong and what to do.
    pub message: String,
    /// Further members of the error's shape, which few have.
    pub members: Option<Box<Map<String, Value>>>,
}

impl ApiError {
    /// An error of the caller's, with HTTP status 400.
    #[must_use]
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code: Cow::Borrowed(code),
            status: 400,
            message: message.into(),
            members: None,
        }
    }

    /// Input that breaks a rule which the model does not tell.
    #[must_use]
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message)
    }

    /// A page token that this server did not make for this operation.
    #[must_use]
    pub fn next_token() -> Self {
        Self::new(
            "InvalidNextToken",
            "The specified token is not valid: give back the NextToken of the page before, as it is.",
        )
    }

    /// Nothing that the caller could mend. What it was is in the log, under the request's id.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(
            "InternalServerError",
            "An internal error occurred; the server's log says more under the id of this request.",
        )
        .with_status(500)
    }

    /// In the words of a service: Resource Groups has its own for what all services may answer.
    #[must_use]
    pub(crate) fn of_service(mut self, service: Service) -> Self {
        if service != Service::ResourceGroups {
            return self;
        }
        let (code, status) = match self.code.as_ref() {
            "InternalServerError" => ("InternalServerErrorException", 500),
            "AccessDeniedException" => ("ForbiddenException", 403),
            "ValidationException" | "InvalidNextToken" => ("BadRequestException", 400),
            _ => return self,
        };
        self.code = Cow::Borrowed(code);
        self.status = status;
        self
    }

    /// With another HTTP status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// With one more member of the error's shape.
    #[must_use]
    pub fn with_member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members
            .get_or_insert_default()
            .insert(name.to_owned(), value.into());
        self
    }

    /// The body of the response.
    #[must_use]
    pub fn body(&self) -> Value {
        let mut body = json!({
            "__type": self.code,
            "message": self.message,
            "Message": self.message,
        });
        if let (Value::Object(body), Some(members)) = (&mut body, &self.members) {
            body.extend((**members).clone());
        }
        body
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = %error, "the store failed");
        Self::internal()
    }
}

/// What keeps the server from starting or from running on.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The store cannot be opened or used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something in the configuration is wrong.
    #[error("{0}")]
    Configuration(String),
    /// A file or a socket.
    #[error("{what}: {source}")]
    Io {
        /// What was to be done with what.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl ServerError {
    /// For `map_err`: an error of the system about `what`.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
