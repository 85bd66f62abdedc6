//! TLS: the machine's own certificates, and one more file for those of an installation.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::connect::Stream;
use crate::error::ClientError;

/// How TLS connections are made.
#[derive(Clone)]
pub(crate) struct Tls {
    connector: TlsConnector,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Trusts the machine's roots, and those in `ca` (PEM) besides.
    pub(crate) fn new(ca: Option<&Path>) -> Result<Self, ClientError> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = ca {
            let wrong = |why: String| ClientError::Tls(format!("{}: {why}", path.display()));
            let certificates = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| wrong(format!("no certificates in PEM: {error}")))?;
            if certificates.is_empty() {
                return Err(wrong("there is no certificate in it".to_owned()));
            }
            for certificate in certificates {
                roots
                    .add(certificate)
                    .map_err(|error| wrong(format!("a certificate is no root: {error}")))?;
            }
        }
        let own = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(own.certs);
        if roots.is_empty() {
            return Err(ClientError::Tls(
                "this machine has no root certificates (the package ca-certificates); name a file of them".to_owned(),
            ));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| ClientError::Tls(format!("TLS: {error}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
        })
    }

    /// Speaks TLS over a connection.
    pub(crate) async fn over(
        &self,
        host: &str,
        stream: Box<dyn Stream>,
    ) -> std::io::Result<Box<dyn Stream>> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error))?;
        let connected = self.connector.connect(name, stream).await;
        Ok(Box::new(connected.map_err(with_help)?))
    }
}

/// Says what to do about an authority that nobody here knows, as that of an installation's own certificates.
fn with_help(error: std::io::Error) -> std::io::Error {
    let reason = error.to_string();
    if !reason.contains("UnknownIssuer") && !reason.contains("CaUsedAsEndEntity") {
        return error;
    }
    std::io::Error::new(
        error.kind(),
        format!(
            "{reason}: this machine does not know the authority of its certificate; name a file with that in --ca or in \
             SSL_CERT_FILE"
        ),
    )
}
