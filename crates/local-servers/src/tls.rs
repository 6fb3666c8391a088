//! What a private server shows over TLS.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use crate::account::Account;
use crate::error::Error;
use crate::folder::{Folder, set_mode};

/// Files of PEM: the certificate with those that vouch for it, and its key.
#[derive(Clone, Debug)]
pub struct ServerTls {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl ServerTls {
    /// Copies both into the server's folder, where its user can read them and nobody else: PostgreSQL refuses a key that
    /// others can read.
    pub(crate) fn settle(&self, folder: &Folder, account: Option<&Account>) -> Result<Self, Error> {
        let settled = Self {
            certificate: folder.path().join("server-certificate.pem"),
            key: folder.path().join("server-key.pem"),
        };
        for (from, to) in [(&self.certificate, &settled.certificate), (&self.key, &settled.key)] {
            copy(from, to, account)?;
        }
        Ok(settled)
    }
}

fn copy(from: &Path, to: &Path, account: Option<&Account>) -> Result<(), Error> {
    fs::copy(from, to).map_err(Error::file("copy", from))?;
    set_mode(to, 0o600)?;
    if let Some(account) = account {
        chown(to, Some(account.uid), Some(account.gid)).map_err(Error::file("change the owner of", to))?;
    }
    Ok(())
}
