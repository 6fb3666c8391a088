//! Deliveries that a person has sent again.

use matchpurse_domain::ids::derived_uuid;
use matchpurse_domain::time::Timestamp;
use matchpurse_store::Store;
use matchpurse_store::dispatch::{
    Asked, DeliveryLine, DeliveryState, RequestKind, Retried, ask_in_tx, delivery, place_in_tx, retry_in_tx,
};

pub use crate::rewards::Author;

/// What this module's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a delivery was not sent again; nothing is written then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such delivery, or it ended so long ago that it is not kept.
    #[error("there is no such delivery")]
    NoDelivery,
    /// It is being sent at this moment.
    #[error("it is being sent at this moment")]
    InFlight,
    /// The endpoint has it.
    #[error("the endpoint has it already")]
    Delivered,
    /// What it says was given has been taken back, and the endpoint has been told so.
    #[error("what it says was given has been taken back")]
    TakenBack,
    /// Its endpoint was removed, and none that is there wants it.
    #[error("its endpoint was removed, and no other wants it: add one that does, and retry then")]
    Unwanted,
    /// Its endpoint was removed, and a person has handed it on.
    #[error("its endpoint was removed, and it was handed on to those that want it")]
    HandedOn,
    /// It waits for another one of its subject, which is the one to send.
    #[error("it waits for an earlier delivery of its subject: retry that one")]
    Behind,
    /// The idempotency key was used for something else.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The database; see [`matchpurse_store::Error::is_transient`] for whether to try again.
    #[error(transparent)]
    Store(#[from] matchpurse_store::Error),
}

/// A delivery that is due again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The delivery as it is now.
    pub delivery: DeliveryLine,
    /// True when it had been asked for before and nothing was done now.
    pub repeated: bool,
}

/// Makes a delivery due now that was given up, or whose next attempt is far. It keeps its `webhook-id`, so an endpoint
/// that has it knows it. One that was given up has its whole schedule again; one whose endpoint was removed is handed on to
/// those that want it now.
///
/// # Errors
/// [`Error`].
pub async fn retry(
    store: &Store,
    delivery_id: i64,
    author: &Author,
    idempotency_key: &str,
    now: Timestamp,
) -> Result<Done> {
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    let (endpoint, state) = place_in_tx(&tx, delivery_id).await?.ok_or(Error::NoDelivery)?;
    let request = derived_uuid("delivery retry", &[&delivery_id.to_string()]);
    let asked = ask_in_tx(&tx, endpoint, idempotency_key, RequestKind::Retry, request).await?;
    match asked {
        Asked::Other => return Err(Error::KeyReused),
        Asked::Again => tx.rollback().await?,
        Asked::First => match retry_in_tx(&tx, delivery_id, &author.actor, &author.reason, now).await? {
            Retried::Behind if state == DeliveryState::Behind => return Err(Error::Behind),
            Retried::Done | Retried::Behind | Retried::HandedOn => tx.commit().await?,
            Retried::HandedOnBefore => return Err(Error::HandedOn),
            Retried::Unwanted => return Err(Error::Unwanted),
            Retried::InFlight => return Err(Error::InFlight),
            Retried::Delivered => return Err(Error::Delivered),
            Retried::TakenBack => return Err(Error::TakenBack),
            Retried::Unknown => return Err(Error::NoDelivery),
        },
    }
    let delivery = delivery(&client, delivery_id).await?.ok_or(Error::NoDelivery)?;
    Ok(Done { delivery, repeated: asked == Asked::Again })
}
