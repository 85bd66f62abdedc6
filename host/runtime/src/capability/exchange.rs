//! One HTTP request of a component to a host, whichever interface it came through: checked against the grant,
//! connected by the supervisor, encrypted here.

use capstan_policy::{Destination, HostVerdict};
use hyper::Method;
use hyper::body::Body;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio_rustls::rustls::pki_types::ServerName;
use url::Url;

use super::scripted;
use crate::bindings::capstan::host::types::Error;
use crate::broker::ConnectRequest;
use crate::shared::StepShared;

/// Where a URL leads.
pub(crate) struct Target<'a> {
    url: &'a Url,
    /// As it stands in the URL: an IPv6 address has brackets.
    host: &'a str,
    port: u16,
}

impl<'a> Target<'a> {
    pub(crate) fn of(url: &'a Url) -> Result<Self, Error> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Error::Invalid(format!(
                "{url}: the scheme {} is neither http nor https",
                url.scheme()
            )));
        }
        match (url.host_str(), url.port_or_known_default()) {
            (Some(host), Some(port)) => Ok(Self { url, host, port }),
            _ => Err(Error::Invalid(format!("{url} names no host"))),
        }
    }

    fn name(&self) -> String {
        self.host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned()
    }

    /// For the header `Host`.
    pub(crate) fn authority(&self) -> String {
        match self.url.port() {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.to_owned(),
        }
    }

    /// The path and query, as they stand in the request.
    pub(crate) fn path_and_query(&self) -> String {
        match self.url.query() {
            Some(query) => format!("{}?{query}", self.url.path()),
            None => self.url.path().to_owned(),
        }
    }

    /// For the places of secrets.
    pub(crate) fn destination(&self) -> Destination {
        Destination {
            scheme: self.url.scheme().to_owned(),
            host: self.name(),
            port: self.port,
            path: self.url.path().to_owned(),
        }
    }

    /// Whether the component may send such a request.
    pub(crate) fn check(&self, shared: &StepShared, method: &Method) -> Result<(), Error> {
        let (scheme, path) = (self.url.scheme(), self.url.path());
        let verdict = shared.component.allows_host(
            scheme,
            &self.name(),
            self.port,
            Some(method.as_str()),
            Some(path),
        );
        if verdict == HostVerdict::Refused {
            let target = format!("{scheme}://{}:{}{path}", self.host, self.port);
            let hint = format!("grants: {{ hosts: [\"{target}\"] }}");
            return Err(shared.deny("hosts", &target, hint));
        }
        Ok(())
    }

    /// Notes the host for the receipt.
    fn contacted(&self, shared: &StepShared) {
        let host = format!("{}://{}:{}", self.url.scheme(), self.host, self.port);
        shared.record().hosts.insert(host);
    }

    /// A connection that is good for one request of this method.
    pub(crate) async fn open<B>(
        &self,
        shared: &StepShared,
        method: &Method,
    ) -> Result<SendRequest<B>, Error>
    where
        B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        let name = self.name();
        let connect = ConnectRequest {
            scheme: self.url.scheme().into(),
            host: name.clone(),
            port: self.port,
        };
        let failed = |error: &dyn std::fmt::Display| Error::Io(format!("{}: {error}", self.url));
        if let Some(world) = &shared.world {
            crate::network::check_literal(&shared.component, &connect)
                .map_err(|error| shared.broker_error(error))?;
            self.contacted(shared);
            let stream = scripted::connect(world, method.as_str(), self.url)?;
            let (sender, connection) = handshake(TokioIo::new(stream))
                .await
                .map_err(|error| failed(&error))?;
            tokio::spawn(connection);
            return Ok(sender);
        }
        let connected = shared
            .broker
            .connect(shared.id, connect)
            .await
            .map_err(|error| shared.broker_error(error))?;
        let stream =
            crate::network::tokio_stream(connected).map_err(|error| shared.broker_error(error))?;
        self.contacted(shared);
        if self.url.scheme() == "https" {
            let server = ServerName::try_from(name).map_err(|error| failed(&error))?;
            let tls = crate::network::connector().map_err(|error| failed(&error))?;
            let stream = tls
                .connect(server, stream)
                .await
                .map_err(|error| failed(&error))?;
            let (sender, connection) = handshake(TokioIo::new(stream))
                .await
                .map_err(|error| failed(&error))?;
            tokio::spawn(connection);
            Ok(sender)
        } else {
            let (sender, connection) = handshake(TokioIo::new(stream))
                .await
                .map_err(|error| failed(&error))?;
            tokio::spawn(connection);
            Ok(sender)
        }
    }
}
