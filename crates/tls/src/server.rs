//! The server's side: what is shown, and how it is changed while it is shown.

use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{Error, InconsistentKeys, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use crate::TlsError;
use crate::client::provider;

/// A connection on which both sides speak TLS.
pub type ServerStream<S> = tokio_rustls::server::TlsStream<S>;

/// What a server shows: a certificate with those that vouch for it, and proves by its key. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    config: Arc<ServerConfig>,
}

impl Identity {
    /// Of PEM: `certificates` begins with the server's own, and `key` is not encrypted. The connections are for
    /// `protocol`, as ALPN calls it; a client that asks for others only is refused.
    ///
    /// # Errors
    /// When either cannot be read, or the key is another certificate's. Nothing of what was given is in the error: who
    /// confuses the two would have the key in a log.
    pub fn from_pem(certificates: &str, key: &str, protocol: &str) -> Result<Self, TlsError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates.as_bytes()).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or(TlsError::Chain)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| TlsError::Key)?;
        let provider = provider();
        let key = provider.key_provider.load_private_key(key).map_err(|_| TlsError::Key)?;
        let shown = CertifiedKey::new(chain, key);
        match shown.keys_match() {
            Ok(()) => {}
            Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => return Err(TlsError::KeyMismatch),
            // It is the certificate that was looked into.
            Err(_) => return Err(TlsError::Chain),
        }
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Ok(Self { config: Arc::new(config) })
    }
}

/// Accepts connections over TLS, showing what can be changed meanwhile.
#[derive(Debug)]
pub struct Acceptor {
    shown: RwLock<Identity>,
}

impl Acceptor {
    /// Shows this from the first connection on.
    pub fn new(identity: Identity) -> Self {
        Self { shown: RwLock::new(identity) }
    }

    /// Shows this to every connection that begins from now on. Those that are there go on, and none that comes can resume a
    /// session of before: it proves itself by the new key.
    pub fn show(&self, identity: Identity) {
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = identity;
    }

    /// Shakes hands over `stream`, for as long as the other side takes: the caller limits the time.
    ///
    /// # Errors
    /// Of the kind `InvalidData` when the other side speaks no TLS, nothing that we speak, or does not believe us; otherwise
    /// when the connection breaks.
    pub async fn accept<S>(&self, stream: S) -> io::Result<ServerStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        TlsAcceptor::from(self.shown().config).accept(stream).await
    }

    fn shown(&self) -> Identity {
        // A panic elsewhere leaves a whole state behind: it is replaced by one assignment.
        self.shown.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}
