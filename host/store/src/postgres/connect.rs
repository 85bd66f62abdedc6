//! Connecting: time-outs, and TLS when the URL asks for it.

use std::sync::Arc;
use std::time::Duration;

use postgres::config::SslMode;
use postgres::{Client, Config, NoTls};
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::outage::Outage;
use super::session::{self, Session};
use crate::{Location, StoreError};

const CONNECT_TIME: Duration = Duration::from_secs(10);
/// A server that is gone without a word is noticed within about a minute.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// What a session begins with. Nothing that this program does takes near as long as these times.
const SETTINGS: &str = "
    SET statement_timeout = '30s';
    SET lock_timeout = '10s';
    SET idle_in_transaction_session_timeout = '60s';
    SET default_transaction_isolation = 'read committed';
    SET timezone = 'UTC'";

/// Makes connections to one database.
#[derive(Clone)]
pub(super) struct Connector {
    location: Location,
    config: Config,
    tls: Option<MakeRustlsConnect>,
    pub(super) outage: Outage,
}

impl Connector {
    pub(super) fn new(location: &Location, url: &str) -> Result<Connector, StoreError> {
        let failed = |reason: String| StoreError::Open {
            location: location.to_string(),
            reason,
        };
        // Certificates are always checked, so that these ask for nothing more.
        let url = url
            .replace("sslmode=verify-full", "sslmode=require")
            .replace("sslmode=verify-ca", "sslmode=require");
        let mut config: Config = url
            .parse()
            .map_err(|error: postgres::Error| failed(session::message(&error)))?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIME);
        }
        if !url.contains("keepalives_idle") {
            config
                .keepalives_idle(KEEPALIVE)
                .keepalives_interval(KEEPALIVE / 3)
                .keepalives_retries(3);
        }
        if config.get_application_name().is_none() {
            config.application_name("capstan");
        }
        let tls = match config.get_ssl_mode() {
            SslMode::Disable => None,
            _ => Some(tls().map_err(failed)?),
        };
        Ok(Connector {
            location: location.clone(),
            config,
            tls,
            outage: Outage::default(),
        })
    }

    pub(super) fn connect(&self) -> Result<Session, StoreError> {
        let connected = match &self.tls {
            Some(tls) => self.config.connect(tls.clone()),
            None => self.config.connect(NoTls),
        };
        let connected = connected
            .and_then(|mut client: Client| client.batch_execute(SETTINGS).map(|()| client));
        match connected {
            Ok(client) => {
                self.outage.is_over();
                Ok(Session::new(client))
            }
            Err(error) => {
                let error = self.failed(hint(session::message(&error)));
                self.outage.failed(&error.to_string());
                Err(error)
            }
        }
    }

    pub(super) fn failed(&self, reason: String) -> StoreError {
        StoreError::Open {
            location: self.location.to_string(),
            reason,
        }
    }
}

fn hint(reason: String) -> String {
    if reason.contains("certificate") {
        return format!(
            "{reason}; add the authority of its certificate to those of this machine, \
             name its file in SSL_CERT_FILE, or do without TLS by sslmode=disable in the URL"
        );
    }
    reason
}

fn tls() -> Result<MakeRustlsConnect, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (_, unusable) = roots.add_parsable_certificates(found.certs);
    if unusable > 0 || !found.errors.is_empty() {
        tracing::debug!(unusable, errors = ?found.errors, "some of this machine's certificates cannot be used");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
