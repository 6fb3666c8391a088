//! The client's side: which certificates are believed.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::TlsError;
use crate::names::AnyName;

/// A connection on which both sides speak TLS.
pub type ClientStream<S> = tokio_rustls::client::TlsStream<S>;

/// Whether the server's certificate must be for the name by which it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Yes: nobody else with a certificate of the same authority can stand in its place.
    Checked,
    /// No: whoever has one of the authority's certificates will do.
    Unchecked,
}

/// Makes connections over TLS. There is no way to make one that believes everybody. Cheap to clone.
#[derive(Clone)]
pub struct Connector {
    connector: TlsConnector,
}

impl Connector {
    /// Believes the authorities of this file (PEM, one or more), or without one those of the system. The file is read once,
    /// here.
    ///
    /// # Errors
    /// When the file cannot be read or has no certificate, or the system has none.
    pub fn new(authorities: Option<&Path>, names: Names) -> Result<Self, TlsError> {
        let roots = Arc::new(match authorities {
            Some(path) => of_file(path)?,
            None => of_system()?,
        });
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::setup)?;
        let config = match names {
            Names::Checked => builder.with_root_certificates(roots).with_no_client_auth(),
            Names::Unchecked => {
                let chains = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
                let verifier = AnyName::new(chains.map_err(TlsError::setup)?);
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
            }
        };
        Ok(Self { connector: Arc::new(config).into() })
    }

    /// Shakes hands over `stream` with the server that is reached by this name, or address.
    ///
    /// # Errors
    /// When the name is none, the certificate is not believed, or the connection breaks.
    pub async fn connect<S>(&self, host: &str, stream: S) -> io::Result<ClientStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // An address of version 6 stands in brackets in a URL.
        let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        self.connector.connect(name, stream).await
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The certificates of a file, at least one.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |error: rustls::pki_types::pem::Error| TlsError::Certificates {
        path: path.to_owned(),
        source: error.into(),
    };
    let found = CertificateDer::pem_file_iter(path).map_err(unreadable)?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(unreadable)?;
    if found.is_empty() { Err(TlsError::NoCertificate { path: path.to_owned() }) } else { Ok(found) }
}

fn of_file(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        let added = roots.add(certificate);
        added.map_err(|error| TlsError::Certificates { path: path.to_owned(), source: error.into() })?;
    }
    Ok(roots)
}

fn of_system() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    // Among a system's hundred and more there may be one that this library does not take; the others will do.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TlsError::NoSystemCertificates) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_or_has_no_certificate_is_named() {
        let missing = Connector::new(Some(Path::new("/nonexistent/ca.pem")), Names::Checked).unwrap_err();
        assert_eq!(missing.to_string(), "/nonexistent/ca.pem holds no certificates that can be read");
        let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let none = Connector::new(Some(&other), Names::Checked).unwrap_err();
        assert!(matches!(none, TlsError::NoCertificate { path } if path == other));
    }
}
