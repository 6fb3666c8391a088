//! A notice by which an operator sees whether an endpoint works.

use matchpurse_domain::ids::SourceName;
use matchpurse_domain::time::Timestamp;
use matchpurse_domain::webhook::EndpointName;
use serde_json::json;
use uuid::Uuid;

use super::EndpointId;
use super::operate::{Operation, record_in_tx};
use crate::outbox::{Notice, append_in_tx};
use crate::{Error, Result, Tx};

/// The kind of such a notice. Its subject is the endpoint's name, and nobody else gets it, whatever he wants.
pub const TEST: &str = "endpoint.test";

/// What stands in it as the source: it comes from none.
const NO_SOURCE: &str = "matchpurse";

/// The notice that tries an endpoint, the same for the same key.
///
/// # Errors
/// None that can happen: the source's name is one.
pub fn test_notice(name: &EndpointName, key: &str, now: Timestamp) -> Result<Notice> {
    let unreadable = |error| Error::Stored { what: "test notice's source", source: Box::new(error) };
    Ok(Notice {
        source: SourceName::parse(NO_SOURCE).map_err(unreadable)?,
        kind: TEST,
        subject: name.as_str().to_owned(),
        discriminator: key.to_owned(),
        payload: json!({ "endpoint": name.as_str(), "test": true }),
        occurred_at: now,
        cause: None,
    })
}

/// Writes the notice that tries an endpoint, and records who wanted it. It goes the way of every other.
///
/// # Errors
/// [`crate::Error`].
pub async fn test_in_tx(
    tx: &Tx<'_>,
    endpoint: EndpointId,
    notice: &Notice,
    actor: &str,
    reason: &str,
) -> Result<Uuid> {
    let webhook_id = notice.webhook_id();
    let operation = Operation {
        kind: "endpoint_tested",
        endpoint,
        delivery_id: None,
        actor,
        reason,
        detail: json!({ "webhook_id": webhook_id.to_string() }),
    };
    record_in_tx(tx, &operation).await?;
    append_in_tx(tx, std::slice::from_ref(notice)).await?;
    Ok(webhook_id)
}
