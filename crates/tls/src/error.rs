use std::error::Error;
use std::path::PathBuf;

/// Why there can be no TLS. No variant holds a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file of certificates cannot be read, or is none.
    #[error("{} holds no certificates that can be read", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A file of certificates has none in it.
    #[error("{} holds no certificate as PEM", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The system has no certificates of authorities.
    #[error("this system has no certificates of authorities; name the authority's file")]
    NoSystemCertificates,
    /// A server's certificate is none.
    #[error(
        "the certificate cannot be read: it must be PEM, the server's own first, then those that vouch for it"
    )]
    Chain,
    /// Its key is none.
    #[error("the key cannot be read: it must be PEM, and not encrypted")]
    Key,
    /// They do not belong together.
    #[error("the key is not that of the first certificate")]
    KeyMismatch,
    /// What was read does not make a configuration.
    #[error("TLS cannot be set up")]
    Setup(#[source] Box<dyn Error + Send + Sync>),
}

impl TlsError {
    pub(crate) fn setup(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Setup(Box::new(error))
    }
}
