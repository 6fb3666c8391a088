//! What people do to grants: they give what was held for review, take back what was given, and have the studio told
//! again.
//!
//! | what | from | to | the studio hears |
//! | --- | --- | --- | --- |
//! | [`release`] | held for review | granted | `reward.granted` |
//! | [`reverse`] | held, granted, on its way, given, not deliverable | reversed, for ever | `reward.reversed` |
//! | [`retry`] | any, with deliveries that have not arrived | on its way again | the same notices, under the same ids |
//!
//! A retry is also that of the call by which the provider learns that the player has got the rewards. What was for an
//! endpoint that is removed by now, and what no endpoint wanted at its time, is for those that want it now.
//!
//! A grant is released once and taken back once in its life, so these two need no idempotency key: who asks again
//! learns that it was done. What a person releases is not counted against limits.

use matchpurse_domain::grants::{AnomalyKind, GrantState};
use matchpurse_domain::ids::{EventId, derived_uuid};
use matchpurse_domain::time::Timestamp;
use matchpurse_store::dispatch::{self, DeliveryFilter, DeliveryState, Retried};
use matchpurse_store::grants::{GrantLine, find, lock_in_tx, resolve_anomalies_in_tx, set_state_in_tx, tell};
use matchpurse_store::operations::{self, Operation, OperationKind, find_in_tx, record_in_tx};
use matchpurse_store::{Store, Tx, outbox, redemptions};
use serde_json::json;
use uuid::Uuid;

use crate::funds::operation_id;

/// The most deliveries of one grant that a retry looks at: one an endpoint and notice.
const DELIVERIES_MAX: i64 = 1000;

/// What this module's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why nothing was done to a grant; nothing is written then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such grant.
    #[error("there is no such grant")]
    NoGrant,
    /// Only what is held for review can be released.
    #[error("the grant is {}, not held for review", .0.as_str())]
    NotHeld(GrantState),
    /// There is nothing that could be taken back: it was never given, or the provider gives it.
    #[error("the grant is {}, so there is nothing to take back", .0.as_str())]
    NotGiven(GrantState),
    /// Everything that the studio was to be told has arrived, is being sent, or is wanted by no endpoint; and the provider
    /// is to be told nothing, or knows.
    #[error("no notice of the grant waits to be delivered")]
    NothingToRetry,
    /// What waits is for an endpoint that was removed, or for none, and none that is there wants it.
    #[error("no endpoint wants the grant's notices: add one that does, and retry then")]
    Unwanted,
    /// The idempotency key was used for something else.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The database; see [`matchpurse_store::Error::is_transient`] for whether to try again.
    #[error(transparent)]
    Store(#[from] matchpurse_store::Error),
}

/// Who does something, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// Who.
    pub actor: String,
    /// Why: a support case, what was found out.
    pub reason: String,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The grant as it is now.
    pub grant: GrantLine,
    /// The operation that was recorded.
    pub operation: EventId,
    /// True when it had been done before and nothing was done now.
    pub repeated: bool,
}

/// Gives a grant that is held for review, whatever it is held for.
///
/// # Errors
/// [`Error`].
pub async fn release(store: &Store, grant: Uuid, author: &Author, now: Timestamp) -> Result<Done> {
    change(store, grant, Change::Release, author, now).await
}

/// Takes a grant back. What is still held or on its way is not given; where the studio has given it already, it must
/// take it back by itself when it hears of it.
///
/// # Errors
/// [`Error`].
pub async fn reverse(store: &Store, grant: Uuid, author: &Author, now: Timestamp) -> Result<Done> {
    change(store, grant, Change::Reverse, author, now).await
}

#[derive(Clone, Copy)]
enum Change {
    Release,
    Reverse,
}

impl Change {
    /// The operation by which a grant is changed so: there is only one in its life.
    fn operation(self, grant: Uuid) -> EventId {
        let word = match self {
            Self::Release => "release",
            Self::Reverse => "reverse",
        };
        EventId::from_uuid(derived_uuid("reward", &[word, &grant.to_string()]))
    }

    /// Why a grant in this state cannot be changed so.
    fn objection(self, state: GrantState) -> Option<Error> {
        match self {
            Self::Release => (state != GrantState::NeedsReview).then_some(Error::NotHeld(state)),
            Self::Reverse => {
                let given = state.is_revocable() || state == GrantState::Fulfilled;
                (!given).then_some(Error::NotGiven(state))
            }
        }
    }
}

async fn change(store: &Store, id: Uuid, change: Change, author: &Author, now: Timestamp) -> Result<Done> {
    let operation = change.operation(id);
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    let line = lock_in_tx(&tx, id).await?.ok_or(Error::NoGrant)?;
    if find_in_tx(&tx, operation).await?.is_some() {
        return Ok(Done { grant: line, operation, repeated: true });
    }
    if let Some(objection) = change.objection(line.grant.state) {
        return Err(objection);
    }
    let (kind, state, notice) = match change {
        Change::Release => (OperationKind::RewardRelease, GrantState::Granted, tell::GRANTED),
        Change::Reverse => (OperationKind::RewardReversal, GrantState::Reversed, tell::REVERSED),
    };
    record_in_tx(&tx, &recorded(operation, kind, &line, author)).await?;
    let grant = set_state_in_tx(&tx, &line, state, operation).await?;
    let told = tell::notice(notice, &line.contest, &line.slot, &grant, now);
    outbox::append_in_tx(&tx, &[told]).await?;
    if matches!(change, Change::Reverse) {
        answer_anomalies(&tx, &line, operation, author).await?;
    }
    tx.commit().await?;
    let grant = find(&client, id).await?.ok_or(Error::NoGrant)?;
    Ok(Done { grant, operation, repeated: false })
}

fn recorded(id: EventId, kind: OperationKind, line: &GrantLine, author: &Author) -> Operation {
    Operation {
        id,
        kind,
        source: line.contest.source.clone(),
        subject: line.contest.contest_id.clone(),
        match_no: None,
        actor: author.actor.clone(),
        approved_by: None,
        reason: author.reason.clone(),
        amount: None,
        detail: json!({
            "grant_id": line.id,
            "player_id": line.slot.player_id.as_str(),
            "state": line.grant.state.as_str(),
            "held_for": line.grant.reason.map(|reason| reason.as_str()),
            "detail": line.grant.detail,
        }),
    }
}

/// The offerwall took it back after it was given, and a person was asked: this is the answer.
async fn answer_anomalies(tx: &Tx<'_>, line: &GrantLine, operation: EventId, author: &Author) -> Result<()> {
    let (source, contest_id) = (&line.contest.source, &line.contest.contest_id);
    let kinds = [AnomalyKind::ReversedTooLate.as_str()];
    resolve_anomalies_in_tx(tx, source, contest_id, &kinds, operation, &author.actor).await?;
    Ok(())
}

/// Has the studio told of a grant now, by every delivery of its notices that was given up or waits for its next
/// attempt, and its provider of what was given, where that was refused or given up or waits. Deliveries keep their
/// `webhook-id`s, so an endpoint that has one of them already knows it.
///
/// # Errors
/// [`Error`].
pub async fn retry(
    store: &Store,
    grant: Uuid,
    author: &Author,
    idempotency_key: &str,
    now: Timestamp,
) -> Result<Done> {
    let mut client = store.client().await?;
    let line = find(&client, grant).await?.ok_or(Error::NoGrant)?;
    let operation = operation_id(&line.contest.source, idempotency_key);
    if let Some((earlier, _)) = operations::find(&client, operation).await? {
        return repeated(earlier, line, operation);
    }
    let subject = line.id.to_string();
    let filter = DeliveryFilter {
        subject: Some((line.contest.source.as_str(), &subject)),
        ..DeliveryFilter::default()
    };
    let mut deliveries = dispatch::deliveries(&client, &filter, DELIVERIES_MAX).await?;
    let was_told = deliveries.iter().any(|d| d.kind == tell::GRANTED);
    deliveries.retain(|d| matches!(d.state, DeliveryState::GivenUp | DeliveryState::Waiting));
    let mut done = false;
    let mut unwanted = false;
    // The oldest first, and each in a transaction of its own: a delivery is locked before its grant, so who holds the
    // grant may not ask for another delivery.
    for delivery in deliveries.iter().rev() {
        let tx = client.begin().await?;
        if !done
            && !record_in_tx(&tx, &recorded(operation, OperationKind::RewardRetry, &line, author)).await?
        {
            let earlier = find_in_tx(&tx, operation).await?.ok_or(Error::KeyReused)?.0;
            return repeated(earlier, line, operation);
        }
        let id = delivery.delivery_id;
        match dispatch::retry_in_tx(&tx, id, &author.actor, &author.reason, now).await? {
            Retried::Done | Retried::Behind | Retried::HandedOn => {
                tx.commit().await?;
                done = true;
            }
            Retried::Unwanted => {
                tx.rollback().await?;
                unwanted = true;
            }
            Retried::InFlight
            | Retried::Delivered
            | Retried::TakenBack
            | Retried::HandedOnBefore
            | Retried::Unknown => tx.rollback().await?,
        }
    }
    let tx = client.begin().await?;
    let is_ours =
        done || record_in_tx(&tx, &recorded(operation, OperationKind::RewardRetry, &line, author)).await?;
    if !is_ours {
        let earlier = find_in_tx(&tx, operation).await?.ok_or(Error::KeyReused)?.0;
        return repeated(earlier, line, operation);
    }
    let untold = line.grant.state == GrantState::Granted && !was_told;
    let handed_out = untold && tell_again(&tx, &line, now).await?;
    if redemptions::retry_in_tx(&tx, line.id, now).await? || handed_out {
        tx.commit().await?;
        done = true;
    } else {
        tx.rollback().await?;
    }
    if !done {
        return Err(if unwanted || untold { Error::Unwanted } else { Error::NothingToRetry });
    }
    let grant = find(&client, grant).await?.ok_or(Error::NoGrant)?;
    Ok(Done { grant, operation, repeated: false })
}

/// Has the studio told of a grant whose notice no endpoint wanted at its time, which may be so long ago that it is not kept.
/// It is the same notice.
async fn tell_again(tx: &Tx<'_>, line: &GrantLine, now: Timestamp) -> Result<bool> {
    let line = lock_in_tx(tx, line.id).await?.ok_or(Error::NoGrant)?;
    if line.grant.state != GrantState::Granted {
        return Ok(false);
    }
    let notice = tell::notice(tell::GRANTED, &line.contest, &line.slot, &line.grant, now);
    Ok(dispatch::hand_out_again_in_tx(tx, &notice).await?)
}

fn repeated(earlier: Operation, line: GrantLine, operation: EventId) -> Result<Done> {
    let same =
        earlier.kind == OperationKind::RewardRetry && earlier.detail.get("grant_id") == Some(&json!(line.id));
    if same { Ok(Done { grant: line, operation, repeated: true }) } else { Err(Error::KeyReused) }
}
