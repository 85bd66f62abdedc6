//! Calls, and the connections that they use.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use capstan_clock::{Clock, SystemClock};
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use crate::connect::{Connect, TcpConnector};
use crate::endpoint::Endpoint;
use crate::error::{ClientError, ServiceError};
use crate::sign::{Credentials, Signer, Unsigned};
use crate::tls::Tls;

/// Connections that are kept for later calls: one for a poll, one for what happens beside it.
const KEPT: usize = 2;
/// Bytes of an answer.
const LARGEST: usize = 16 * 1024 * 1024;
/// How long a call may take unless it says so.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

type Sender = SendRequest<Full<Bytes>>;

/// What a client is made of.
#[derive(Debug, Clone)]
pub struct Options {
    /// The region that requests are signed for.
    pub region: String,
    /// Certificates (PEM) that are trusted besides those of the machine.
    pub ca: Option<PathBuf>,
    /// What the client calls itself.
    pub user_agent: String,
    /// The network.
    pub connector: Arc<dyn Connect>,
    /// The time, for signatures.
    pub clock: Arc<dyn Clock>,
    /// How long a call may take.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            region: "us-east-1".to_owned(),
            ca: None,
            user_agent: concat!("capstan/", env!("CARGO_PKG_VERSION")).to_owned(),
            connector: Arc::new(TcpConnector),
            clock: Arc::new(SystemClock),
            timeout: TIMEOUT,
        }
    }
}

/// Calls the services at one endpoint.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    options: Options,
    tls: Option<Tls>,
    credentials: Mutex<Option<Credentials>>,
    idle: Mutex<Vec<Sender>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Client {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// When the certificates cannot be read.
    pub fn new(endpoint: Endpoint, options: Options) -> Result<Self, ClientError> {
        let tls = endpoint
            .is_secure
            .then(|| Tls::new(options.ca.as_deref()))
            .transpose()?;
        Ok(Self {
            endpoint,
            options,
            tls,
            credentials: Mutex::default(),
            idle: Mutex::default(),
        })
    }

    /// With the credentials that [`Self::call`] signs with.
    #[must_use]
    pub fn with_credentials(self, credentials: Credentials) -> Self {
        self.set_credentials(Some(credentials));
        self
    }

    /// Changes the credentials that [`Self::call`] signs with.
    pub fn set_credentials(&self, credentials: Option<Credentials>) {
        *lock(&self.credentials) = credentials;
    }

    /// Where the calls go.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Calls an operation, signed with the client's credentials. `service` is the name that is signed (`ssm`),
    /// `target` the prefix of the operation's name in the header `X-Amz-Target` (`AmazonSSM`).
    ///
    /// # Errors
    /// What the service refuses, and what keeps it from being asked.
    pub async fn call(
        &self,
        service: &str,
        target: &str,
        operation: &str,
        input: &Value,
    ) -> Result<Value, ClientError> {
        let credentials = lock(&self.credentials).clone();
        let signer = Signer::Credentials(credentials.ok_or_else(|| {
            ClientError::Sign(format!("{operation} needs credentials, and there are none"))
        })?);
        self.call_as(&signer, service, target, operation, input, None)
            .await
    }

    /// Calls an operation that is for everybody.
    ///
    /// # Errors
    /// As for [`Self::call`].
    pub async fn call_unsigned(
        &self,
        service: &str,
        target: &str,
        operation: &str,
        input: &Value,
    ) -> Result<Value, ClientError> {
        self.call_as(&Signer::Nobody, service, target, operation, input, None)
            .await
    }

    /// Calls an operation as somebody, within another time than usual if one is given.
    ///
    /// # Errors
    /// As for [`Self::call`].
    pub async fn call_as(
        &self,
        signer: &Signer,
        service: &str,
        target: &str,
        operation: &str,
        input: &Value,
        timeout: Option<Duration>,
    ) -> Result<Value, ClientError> {
        let body = Bytes::from(input.to_string());
        let headers = [
            ("host", self.endpoint.authority.clone()),
            ("content-type", "application/x-amz-json-1.1".to_owned()),
            ("x-amz-target", format!("{target}.{operation}")),
        ];
        let endpoint = self.endpoint.to_string();
        let signature = signer.sign(
            &Unsigned {
                endpoint: &endpoint,
                headers: &headers,
                body: &body,
                region: &self.options.region,
                service,
            },
            self.options.clock.now(),
        )?;
        let mut request = Request::post("/").header(header::USER_AGENT, &self.options.user_agent);
        for (name, value) in &headers {
            request = request.header(*name, value);
        }
        for (name, value) in &signature {
            request = request.header(name, value);
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| ClientError::Sign(error.to_string()))?;
        let timeout = timeout.unwrap_or(self.options.timeout);
        match tokio::time::timeout(timeout, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::Timeout {
                endpoint,
                operation: operation.to_owned(),
                seconds: timeout.as_secs(),
            }),
        }
    }

    /// Sends a request and reads its answer. A connection that was kept may have been closed meanwhile: as long as
    /// the request was not sent, another is taken.
    async fn exchange(&self, mut request: Request<Full<Bytes>>) -> Result<Value, ClientError> {
        loop {
            let kept = self.kept();
            let was_kept = kept.is_some();
            let mut sender = match kept {
                Some(sender) => sender,
                None => self.connect().await?,
            };
            if was_kept {
                // A runtime that slept since the last call has not seen yet that the other end has gone.
                for _ in 0..2 {
                    tokio::task::yield_now().await;
                }
                if sender.ready().await.is_err() {
                    continue;
                }
            }
            let response = match sender.try_send_request(request).await {
                Ok(response) => response,
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) if was_kept => {
                        request = unsent;
                        continue;
                    }
                    _ => return Err(self.broken(failed.into_error())),
                },
            };
            let answer = self.read(response).await?;
            if !sender.is_closed() {
                let mut idle = lock(&self.idle);
                if idle.len() >= KEPT {
                    idle.remove(0);
                }
                idle.push(sender);
            }
            return answer.map_err(ClientError::from);
        }
    }

    /// A connection that is still open. The one that was used last comes first.
    fn kept(&self) -> Option<Sender> {
        let mut idle = lock(&self.idle);
        while let Some(sender) = idle.pop() {
            if !sender.is_closed() {
                return Some(sender);
            }
        }
        None
    }

    pub(crate) fn broken(
        &self,
        error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> ClientError {
        ClientError::Connection {
            endpoint: self.endpoint.to_string(),
            reason: std::io::Error::other(error),
        }
    }

    pub(crate) async fn connect<B>(&self) -> Result<SendRequest<B>, ClientError>
    where
        B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
            + Send
            + Unpin
            + 'static,
    {
        let failed = |reason| ClientError::Connection {
            endpoint: self.endpoint.to_string(),
            reason,
        };
        let connect = async {
            let (host, port) = (self.endpoint.host.as_str(), self.endpoint.port);
            let stream = self.options.connector.connect(host, port).await?;
            match &self.tls {
                Some(tls) => tls.over(host, stream).await,
                None => Ok(stream),
            }
        };
        let stream = match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
            Ok(stream) => stream.map_err(failed)?,
            Err(_) => return Err(failed(std::io::ErrorKind::TimedOut.into())),
        };
        let (sender, connection) = http1::Builder::new()
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broken(error))?;
        // Ends with the connection, which ends when nobody can send over it any more.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }

    /// Whether a response is a success; what it says is of no interest.
    pub(crate) async fn refusal(&self, response: Response<Incoming>) -> Result<(), ClientError> {
        if response.status().is_success() {
            return Ok(());
        }
        self.read(response).await?.map(drop).map_err(Into::into)
    }

    async fn read(
        &self,
        response: Response<Incoming>,
    ) -> Result<Result<Value, ServiceError>, ClientError> {
        let (head, body) = response.into_parts();
        let body = match Limited::new(body, LARGEST).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return Err(self.strange(format!("the answer has more than {LARGEST} bytes")));
            }
            Err(error) => return Err(self.broken(error)),
        };
        if !head.status.is_success() {
            return Ok(Err(ServiceError::of(
                head.status.as_u16(),
                &head.headers,
                &body,
            )));
        }
        if body.is_empty() {
            return Ok(Ok(Value::Object(serde_json::Map::new())));
        }
        serde_json::from_slice(&body)
            .map(Ok)
            .map_err(|error| self.strange(format!("the answer is not JSON: {error}")))
    }

    fn strange(&self, why: String) -> ClientError {
        ClientError::Response {
            endpoint: self.endpoint.to_string(),
            why,
        }
    }
}
