//! From a state folder and a few settings to a server that runs.

use std::fs;
use std::future::Future;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use capstan_clock::Clock;
use capstan_store::{Location, Options, Store};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::error::ServerError;
use crate::http;
use crate::master_key::{self, KeyService, KeySource};
use crate::server::{Config, Server, migrations};

/// The name of the database in the state folder.
const DATABASE: &str = "server.db";
/// Where a server keeps what it keeps.
#[derive(Debug, Clone)]
pub struct Place {
    /// The state folder.
    pub state: PathBuf,
    /// `postgres://…`; a database in the state folder if there is none.
    pub store: Option<String>,
    /// The master key.
    pub master_key: KeySource,
    /// What keeps the master key, sealed, in the database: then `master_key` is only asked for the one that a database
    /// had before.
    pub key_service: Option<Arc<dyn KeyService>>,
}

impl Place {
    /// Opens the server; nothing runs yet.
    ///
    /// # Errors
    /// When the folder, the key or the database cannot be used.
    pub async fn open(
        &self,
        config: Config,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Server>, ServerError> {
        if !self.state.is_dir() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&self.state)
                .map_err(ServerError::io(format!(
                    "making the state folder {}",
                    self.state.display()
                )))?;
        }
        let location = match &self.store {
            Some(url) => Location::parse(url)?,
            None => Location::Sqlite(self.state.join(DATABASE)),
        };
        // Opening waits for the database.
        let store = tokio::task::spawn_blocking(move || {
            Store::open(&location, &migrations(), Options::default())
        })
        .await
        .map_err(|error| ServerError::Configuration(format!("opening the store: {error}")))??;
        let service = self.key_service.as_ref();
        let master = master_key::find(&self.master_key, service, &self.state, &store).await?;
        Server::new(config, store, &master, clock).await
    }
}

/// TLS with a certificate chain and its key, both PEM.
///
/// # Errors
/// When a file cannot be read or the two do not fit.
pub fn tls(certificate: &Path, key: &Path) -> Result<TlsAcceptor, ServerError> {
    let wrong =
        |path: &Path, why: String| ServerError::Configuration(format!("{}: {why}", path.display()));
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(certificate, format!("no certificates in PEM: {error}")))?;
    if chain.is_empty() {
        return Err(wrong(
            certificate,
            "it holds no certificate in PEM".to_owned(),
        ));
    }
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| wrong(key, format!("no private key in PEM: {error}")))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ServerError::Configuration(format!("TLS: {error}")))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| {
            wrong(
                certificate,
                format!("it cannot be used with {}: {error}", key.display()),
            )
        })?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves until `stop` is ready, and does the server's own work beside.
///
/// # Errors
/// When the server's own work broke off.
pub async fn run(
    server: Arc<Server>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    stop: impl Future<Output = ()>,
) -> Result<(), ServerError> {
    let work = tokio::spawn(server.clone().work());
    http::serve(server, listener, tls, stop).await;
    work.await.map_err(|error| {
        ServerError::Configuration(format!("the server's own work broke off: {error}"))
    })
}
