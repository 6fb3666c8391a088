use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// An authority that a test has made up, with its certificate and those that it gives out as files in a folder that goes
/// with this value.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
    given: AtomicU32,
}

/// Files of PEM: a certificate and its key.
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    /// Makes one, with a key of its own.
    ///
    /// # Errors
    /// When the folder cannot be made or written to.
    pub fn new() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("matchpurse-ca-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, format!("an authority of a test {count}"));
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        std::fs::write(folder.join("ca.pem"), issuer.pem())?;
        Ok(Self { issuer, folder, given: AtomicU32::new(0) })
    }

    /// The file of its certificate.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The folder, for other files of the test.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Vouches for a server of these names, or addresses.
    ///
    /// # Errors
    /// When a name is none, or the files cannot be written.
    pub fn vouch_for(&self, names: &[&str]) -> Result<Identity> {
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(names)?.signed_by(&key, &self.issuer)?;
        let identity = Identity {
            certificate: self.folder.join(format!("{number}.pem")),
            key: self.folder.join(format!("{number}-key.pem")),
        };
        std::fs::write(&identity.certificate, certificate.pem())?;
        std::fs::write(&identity.key, key.serialize_pem())?;
        Ok(identity)
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        // What stays is in the system's folder for what need not stay.
        std::fs::remove_dir_all(&self.folder).ok();
    }
}
