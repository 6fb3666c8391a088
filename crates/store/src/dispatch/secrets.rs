//! What notices to an endpoint of the API are signed with. Who shows secrets shows their ids.

use matchpurse_domain::time::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::EndpointId;
use super::operate::{Operation, insert_secrets, record_in_tx};
use crate::time::At;
use crate::{Client, Result, Tx};

/// The length of an id: enough to tell the secrets of an endpoint apart, and far too little to find one.
const ID_CHARS: usize = 16;

/// A secret as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretLine {
    /// What stands for it: the beginning of its SHA-256 in hexadecimal digits.
    pub id: String,
    /// Since when it signs.
    pub added_at: Timestamp,
}

/// What stands for a secret where secrets are shown.
pub fn secret_id(secret: &SecretString) -> String {
    let digest = Sha256::digest(secret.expose_secret().as_bytes());
    let mut id: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    id.truncate(ID_CHARS);
    id
}

/// The secrets of an endpoint of the API, the oldest first.
///
/// # Errors
/// [`crate::Error`].
pub async fn secret_lines(client: &Client, endpoint: EndpointId) -> Result<Vec<SecretLine>> {
    let sql = "SELECT secret, added_at FROM endpoint_secret WHERE endpoint_id = $1 ORDER BY added_at, secret";
    let rows = client.query(sql, &[&endpoint.0]).await?;
    let line = |row: &tokio_postgres::Row| {
        let secret: String = row.try_get(0)?;
        Ok(SecretLine { id: secret_id(&secret.into()), added_at: row.try_get::<_, At>(1)?.0 })
    };
    rows.iter().map(line).collect()
}

/// The secrets of an endpoint whose row is locked, the oldest first.
///
/// # Errors
/// [`crate::Error`].
pub async fn secrets_in_tx(tx: &Tx<'_>, endpoint: EndpointId) -> Result<Vec<SecretString>> {
    let sql = "SELECT secret FROM endpoint_secret WHERE endpoint_id = $1 ORDER BY added_at, secret";
    let rows = tx.query(sql, &[&endpoint.0]).await?;
    rows.iter().map(|row| Ok(row.try_get::<_, String>(0)?.into())).collect()
}

/// Makes these the secrets of an endpoint of the API whose row is locked; those that it has already stay as they are.
/// To rotate: the old and a new one, and the new one alone when the studio knows it. False when nothing changes.
///
/// # Errors
/// [`crate::Error`].
pub async fn set_secrets_in_tx(
    tx: &Tx<'_>,
    endpoint: EndpointId,
    secrets: &[SecretString],
    actor: &str,
    reason: &str,
) -> Result<bool> {
    let before = secrets_in_tx(tx, endpoint).await?;
    let (mut kept, mut removed): (Vec<String>, Vec<String>) = Default::default();
    for secret in &before {
        let stays = secrets.iter().any(|other| other.expose_secret() == secret.expose_secret());
        if stays { kept.push(secret_id(secret)) } else { removed.push(secret_id(secret)) }
    }
    let mut added: Vec<String> = secrets.iter().map(secret_id).filter(|id| !kept.contains(id)).collect();
    added.dedup();
    if added.is_empty() && removed.is_empty() {
        return Ok(false);
    }
    let stay: Vec<&str> = secrets.iter().map(|secret| secret.expose_secret()).collect();
    let sql = "DELETE FROM endpoint_secret WHERE endpoint_id = $1 AND secret <> ALL ($2)";
    tx.execute(sql, &[&endpoint.0, &stay]).await?;
    insert_secrets(tx, endpoint, secrets).await?;
    let operation = Operation {
        kind: "endpoint_secrets_changed",
        endpoint,
        delivery_id: None,
        actor,
        reason,
        detail: json!({ "kept": kept, "added": added, "removed": removed }),
    };
    record_in_tx(tx, &operation).await?;
    Ok(true)
}
