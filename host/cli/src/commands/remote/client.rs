//! Which server, and calls to it.

use std::path::PathBuf;

use anyhow::{Error, Result, bail};
use capstan_client::{Client, ClientError, Credentials, Endpoint, Options};
use capstan_runner::find_credentials;
use capstan_runtime::BrokerError;
use clap::Args;
use serde_json::{Map, Value, json};

use super::table::text;
use crate::arguments::Output;

/// Where a server listens unless it is told otherwise.
const DEFAULT: &str = "http://127.0.0.1:8400";

/// Which server is meant, and how to print what it answers.
#[derive(Debug, Clone, Args)]
pub(crate) struct EndpointArguments {
    /// Where the server is [default of command and node: $AWS_ENDPOINT_URL_SSM, else $AWS_ENDPOINT_URL, else
    /// http://127.0.0.1:8400; document and parameter work on this machine without it].
    #[arg(
        long,
        value_name = "URL",
        env = "CAPSTAN_ENDPOINT",
        global = true,
        help_heading = "Server"
    )]
    endpoint: Option<String>,
    /// The region that requests are signed for [default: $AWS_REGION, else $AWS_DEFAULT_REGION, else us-east-1].
    #[arg(long, value_name = "REGION", global = true, help_heading = "Server")]
    region: Option<String>,
    /// Certificates (PEM) that are trusted besides those of this machine.
    #[arg(long, value_name = "FILE", global = true, help_heading = "Server")]
    ca: Option<PathBuf>,
    /// How to print.
    #[arg(long, value_enum, default_value_t, global = true)]
    output: Output,
}

/// A variable that says something.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The credentials of AWS's tools: of the environment, or of a profile.
pub(crate) fn credentials() -> Result<Credentials, BrokerError> {
    let found = find_credentials()?;
    Ok(Credentials {
        access_key_id: found.access_key_id().to_owned(),
        secret_access_key: found.secret_access_key().to_owned(),
        session_token: found.session_token().map(str::to_owned),
    })
}

/// Who has none is told how to come by some.
fn no_credentials(error: BrokerError) -> Error {
    match error {
        BrokerError::NotFound(_) => ClientError::Sign(
            "there are no credentials; `capstan access-key create --name NAME` on the server makes an access key, which \
             AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY take, or a profile of the shared credentials file that \
             AWS_PROFILE names"
                .to_owned(),
        )
        .into(),
        other => other.into(),
    }
}

impl EndpointArguments {
    fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref().filter(|url| !url.is_empty())
    }

    /// Whether a server was named to this program, and not just to all that speak to AWS.
    pub(crate) fn is_named(&self) -> bool {
        self.endpoint().is_some()
    }

    /// How to print.
    pub(crate) fn output(&self) -> Output {
        self.output
    }

    /// Nothing is sent yet.
    pub(super) fn connect(&self) -> Result<Remote> {
        let url = self
            .endpoint()
            .map(str::to_owned)
            .or_else(|| variable("AWS_ENDPOINT_URL_SSM"))
            .or_else(|| variable("AWS_ENDPOINT_URL"))
            .unwrap_or_else(|| DEFAULT.to_owned());
        let endpoint: Endpoint = url.parse()?;
        let region = self
            .region
            .clone()
            .or_else(|| variable("AWS_REGION"))
            .or_else(|| variable("AWS_DEFAULT_REGION"))
            .unwrap_or_else(|| "us-east-1".to_owned());
        let credentials = credentials().map_err(no_credentials)?;
        let options = Options {
            region: region.clone(),
            ca: self.ca.clone(),
            ..Options::default()
        };
        Ok(Remote {
            client: Client::new(endpoint, options)?.with_credentials(credentials),
            region,
            ca: self.ca.clone(),
            output: self.output,
        })
    }
}

/// A server, as its API.
#[derive(Debug)]
pub(super) struct Remote {
    client: Client,
    pub(super) region: String,
    pub(super) ca: Option<PathBuf>,
    pub(super) output: Output,
}

impl Remote {
    pub(super) fn endpoint(&self) -> &Endpoint {
        self.client.endpoint()
    }

    /// Calls an operation of Systems Manager.
    pub(super) async fn call(&self, operation: &str, input: &Value) -> Result<Value> {
        match self.client.call("ssm", "AmazonSSM", operation, input).await {
            Ok(answer) => Ok(answer),
            Err(ClientError::Connection { endpoint, reason })
                if reason.kind() != std::io::ErrorKind::InvalidData =>
            {
                Err(ClientError::Response {
                    endpoint,
                    why: format!(
                        "{reason}; is `capstan server` running there, and is --endpoint right?"
                    ),
                }
                .into())
            }
            Err(ClientError::Service(mut refused)) if refused.message.is_empty() => {
                refused.message = format!("{operation} was refused");
                Err(ClientError::Service(refused).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Calls an operation for all of its pages: one answer with all that is listed, up to a number.
    pub(super) async fn pages(
        &self,
        operation: &str,
        mut input: Value,
        member: &str,
        limit: Option<usize>,
    ) -> Result<Value> {
        let mut all: Vec<Value> = Vec::new();
        loop {
            let mut answer = self.call(operation, &input).await?;
            if let Some(Value::Array(page)) = answer.get_mut(member) {
                all.append(page);
            }
            let is_enough = limit.is_some_and(|limit| all.len() >= limit);
            match answer.get("NextToken").and_then(Value::as_str) {
                Some(token) if !token.is_empty() && !is_enough => {
                    if input.get("NextToken").and_then(Value::as_str) == Some(token) {
                        bail!("{operation}: the server gives the same page again and again");
                    }
                    input["NextToken"] = token.into();
                }
                _ => break,
            }
        }
        all.truncate(limit.unwrap_or(usize::MAX));
        Ok(Value::Object(Map::from_iter([(
            member.to_owned(),
            Value::Array(all),
        )])))
    }

    /// The tags of a resource.
    pub(super) async fn tags(&self, kind: &str, id: &str) -> Result<Value> {
        self.call(
            "ListTagsForResource",
            &json!({ "ResourceType": kind, "ResourceId": id }),
        )
        .await
    }

    /// Prints an answer: as it is, or as people want it.
    pub(super) fn print(&self, answer: &Value, people: impl FnOnce(&Value)) {
        print(self.output, answer, people);
    }
}

/// Prints an answer, of a server or in the form of one.
pub(crate) fn print(output: Output, answer: &Value, people: impl FnOnce(&Value)) {
    match output {
        Output::Json => outln!("{answer:#}"),
        Output::Text => people(answer),
    }
}

/// What is listed in an answer.
pub(super) fn items<'a>(answer: &'a Value, member: &str) -> &'a [Value] {
    answer
        .get(member)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// `Key=Value, …` of a list of tags.
pub(super) fn tags_text(tags: &[Value]) -> String {
    let each: Vec<String> = tags
        .iter()
        .map(|tag| format!("{}={}", text(tag, "Key"), text(tag, "Value")))
        .collect();
    each.join(", ")
}
