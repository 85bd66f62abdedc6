//! What the services take and how they refuse it: the operations, shapes and errors of the AWS models.
//!
//! The models are built in (`host/server/model/`). [`Operation::check`] says of an input what AWS would say before
//! the operation itself looks at it: a value of the wrong type, or constraints that do not hold, in AWS's words.

mod check;
mod load;
mod pattern;
mod shape;
mod text;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

use shape::Shapes;

/// A service whose operations are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Service {
    /// Systems Manager, with the operations that only agents call.
    Ssm,
    /// The message delivery service that agents poll.
    Ec2Messages,
    /// Resource Groups, whose groups commands can have as targets.
    ResourceGroups,
}

impl Service {
    /// The service of an `X-Amz-Target` that begins with this prefix.
    #[must_use]
    pub fn of_target(prefix: &str) -> Option<Self> {
        match prefix {
            "AmazonSSM" => Some(Self::Ssm),
            "EC2WindowsMessageDeliveryService" => Some(Self::Ec2Messages),
            _ => None,
        }
    }

    const ALL: [Self; 3] = [Self::Ssm, Self::Ec2Messages, Self::ResourceGroups];

    /// The name by which requests are signed, which is also that in the models.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ssm => "ssm",
            Self::Ec2Messages => "ec2messages",
            Self::ResourceGroups => "resource-groups",
        }
    }
}

/// Why an input is refused before its operation has seen it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// A value is of the wrong JSON type: AWS's `SerializationException`.
    #[error("{0}")]
    Serialization(String),
    /// Constraints do not hold: AWS's `ValidationException`, with all of them in its message.
    #[error("{0}")]
    Validation(String),
}

/// The models of all services.
#[derive(Debug, Default)]
pub struct Model {
    services: [ServiceModel; Service::ALL.len()],
}

#[derive(Debug, Default)]
struct ServiceModel {
    operations: BTreeMap<&'static str, Operation>,
    errors: BTreeMap<&'static str, ErrorShape>,
}

/// The models, read on first use.
pub fn model() -> &'static Model {
    static MODEL: LazyLock<Model> = LazyLock::new(|| {
        load::load(&load::EMBEDDED).unwrap_or_else(|error| {
            // A test reads the same text, so this does not happen in what is released.
            tracing::error!(error, "the models of the services cannot be read");
            Model::default()
        })
    });
    &MODEL
}

impl Model {
    fn service(&self, service: Service) -> &ServiceModel {
        let [ssm, ec2messages, resource_groups] = &self.services;
        match service {
            Service::Ssm => ssm,
            Service::Ec2Messages => ec2messages,
            Service::ResourceGroups => resource_groups,
        }
    }

    /// The operation of this name, which is what follows the dot in `X-Amz-Target`.
    #[must_use]
    pub fn operation(&self, service: Service, name: &str) -> Option<&Operation> {
        self.service(service).operations.get(name)
    }

    /// All operations of a service, by name.
    pub fn operations(&self, service: Service) -> impl Iterator<Item = &Operation> {
        self.service(service).operations.values()
    }

    /// The error of this code. Errors that any service can answer are mostly in no model.
    #[must_use]
    pub fn error(&self, service: Service, code: &str) -> Option<&ErrorShape> {
        self.service(service).errors.get(code)
    }
}

/// An operation of a service.
#[derive(Debug)]
pub struct Operation {
    name: &'static str,
    input: Option<usize>,
    errors: Vec<&'static str>,
    shapes: Arc<Shapes>,
}

impl Operation {
    /// The name, as in `SendCommand`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The codes of the errors that the model lists for it.
    #[must_use]
    pub fn errors(&self) -> &[&'static str] {
        &self.errors
    }

    /// Checks an input against the model. `null` is the same as a member that is absent; members that the model
    /// does not have are passed over.
    ///
    /// # Errors
    ///
    /// The first value of the wrong type, or else all constraints that do not hold.
    pub fn check(&self, input: &Value) -> Result<(), ModelError> {
        self.check_except(input, &[])
    }

    /// The same without the constraints that the operation answers with errors of its own. Each is named by its
    /// shape (`InstanceId`) or by where it is in the input as the message would have it (`targets.1.member.key`).
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check); wrong types are never passed over.
    pub fn check_except(&self, input: &Value, except: &[&str]) -> Result<(), ModelError> {
        check::check(&self.shapes, self.input, input, except)
    }
}

/// An error that a model describes.
#[derive(Debug)]
pub struct ErrorShape {
    name: &'static str,
    status: Option<u16>,
    message: Option<&'static str>,
    members: Vec<&'static str>,
}

impl ErrorShape {
    /// Its code.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The HTTP status, where the model tells one; all others are answered with 400.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// How it spells the member that holds the message: `message`, `Message`, or not at all.
    #[must_use]
    pub fn message_member(&self) -> Option<&'static str> {
        self.message
    }

    /// The names of its other members.
    #[must_use]
    pub fn members(&self) -> &[&'static str] {
        &self.members
    }
}
