//! What people and the clock did, done once more to a state that is rebuilt.
//!
//! Each is written as it was recorded, with its id, its author and its reason, and decided by the same rules as then.
//! Doing one again changes nothing, so a rebuild that was stopped goes on where it was.

use std::collections::BTreeSet;

use matchpurse_domain::escrow::expire;
use matchpurse_domain::event::MatchKind;
use matchpurse_domain::ids::{EventId, PlayerId, SourceName};
use matchpurse_domain::source::OnDeadline;
use matchpurse_domain::time::Timestamp;
use matchpurse_store::corrections::{Correction, CorrectionState};
use matchpurse_store::escrow::{MatchKey, lock_in_tx};
use matchpurse_store::links::{Identity, change_in_tx};
use matchpurse_store::operations::{Operation, OperationKind, find_in_tx, record_in_tx};
use matchpurse_store::rebuild::set_grant_state_in_tx;
use matchpurse_store::stats::StatsKey;
use matchpurse_store::{Store, funds};
use serde_json::Value;
use uuid::Uuid;

use crate::corrections::{Author, Request, approve, propose_as, reject};
use crate::{End, Error, results, rewards, stats, write_in_tx};

/// Why something could not be done again as it was.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The rules refuse it: what it stood on is not there, or came in another order.
    #[error("{what} of {about} by {actor} cannot be done again: {why}")]
    Refused {
        /// What it was.
        what: &'static str,
        /// The source and what it was about.
        about: String,
        /// Who did it.
        actor: String,
        /// Why not.
        why: String,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] matchpurse_store::Error),
}

/// Does an operation again, at the time `now` that it had.
///
/// # Errors
/// [`ReplayError`].
pub async fn operation(store: &Store, operation: &Operation, now: Timestamp) -> Result<(), ReplayError> {
    match operation.kind {
        OperationKind::Deposit | OperationKind::Withdrawal => moved(store, operation, now).await,
        OperationKind::Deadline => deadline(store, operation, now).await,
        OperationKind::RewardRelease | OperationKind::RewardReversal => decided(store, operation, now).await,
        OperationKind::StatsCorrection => numbers(store, operation, now).await,
        OperationKind::PlayerLinks => linked(store, operation).await,
        OperationKind::MatchResult => match results::accept_again(store, operation).await {
            Ok(()) => Ok(()),
            Err(Error::Store(error)) => Err(error.into()),
            Err(error) => Err(refused(operation, matchpurse_store::chain(&error))),
        },
        // A correction is done again as such, and who was told again was told outside: here is only the record.
        // What a link decided is an operation of its own.
        OperationKind::Correction | OperationKind::RewardRetry | OperationKind::MatchLink => {
            recorded(store, operation).await
        }
    }
}

/// Asks for a correction again; one that needed nobody else is applied.
///
/// # Errors
/// [`ReplayError`].
pub async fn proposal(store: &Store, correction: &Correction, now: Timestamp) -> Result<(), ReplayError> {
    let Correction { proposal, key, .. } = correction;
    let refused = |why: String| ReplayError::Refused {
        what: "the correction",
        about: format!("{}/{}", key.source, key.match_id),
        actor: proposal.proposed_by.clone(),
        why,
    };
    let end: End =
        serde_json::from_value(proposal.verdict.clone()).map_err(|error| refused(error.to_string()))?;
    let request =
        Request { source: key.source.clone(), match_id: key.match_id.clone(), kind: Some(key.kind), end };
    let author = Author {
        actor: proposal.proposed_by.clone(),
        reason: proposal.reason.clone(),
        // It has its id already.
        idempotency_key: String::new(),
        approvals: proposal.approvals,
    };
    match propose_as(store, proposal.id, &request, &author, now).await {
        Ok(_) => Ok(()),
        Err(Error::Store(error)) => Err(error.into()),
        Err(error) => Err(refused(matchpurse_store::chain(&error))),
    }
}

/// Decides about a correction again.
///
/// # Errors
/// [`ReplayError`].
pub async fn decision(store: &Store, correction: &Correction, now: Timestamp) -> Result<(), ReplayError> {
    let Correction { proposal, key, .. } = correction;
    let Some((actor, _)) = &correction.decided else { return Ok(()) };
    let reason = correction.decision_reason.as_deref().unwrap_or_default();
    let done = match correction.state {
        CorrectionState::Proposed => return Ok(()),
        CorrectionState::Applied => approve(store, proposal.id, actor, now).await,
        CorrectionState::Rejected => reject(store, proposal.id, actor, reason).await,
    };
    match done {
        Ok(_) => Ok(()),
        // It was decided before this rebuild was stopped.
        Err(Error::Decided(state)) if state == correction.state.as_str() => Ok(()),
        Err(Error::Store(error)) => Err(error.into()),
        Err(error) => Err(ReplayError::Refused {
            what: "the decision about the correction",
            about: format!("{}/{}", key.source, key.match_id),
            actor: actor.clone(),
            why: matchpurse_store::chain(&error),
        }),
    }
}

fn refused(operation: &Operation, why: impl Into<String>) -> ReplayError {
    ReplayError::Refused {
        what: operation.kind.as_str(),
        about: format!("{}/{}", operation.source, operation.subject),
        actor: operation.actor.clone(),
        why: why.into(),
    }
}

async fn recorded(store: &Store, operation: &Operation) -> Result<(), ReplayError> {
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    record_in_tx(&tx, operation).await?;
    Ok(tx.commit().await?)
}

async fn moved(store: &Store, operation: &Operation, now: Timestamp) -> Result<(), ReplayError> {
    let Some(amount) = &operation.amount else { return Err(refused(operation, "it has no amount")) };
    let player = PlayerId::new(operation.subject.clone());
    let outward = operation.kind == OperationKind::Withdrawal;
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    if !record_in_tx(&tx, operation).await? {
        return Ok(());
    }
    match funds::lock_in_tx(&tx, &operation.source, &player, amount).await? {
        None => return Err(refused(operation, "the player's account only records what a provider did")),
        Some(balance) if outward && balance < amount.minor_units => {
            return Err(refused(operation, format!("the player has {balance} minor units")));
        }
        Some(_) => {}
    }
    funds::move_in_tx(&tx, &operation.source, &player, amount, outward, operation.id, now).await?;
    Ok(tx.commit().await?)
}

/// A text of an operation's detail.
fn detail<'o>(operation: &'o Operation, name: &str) -> Option<&'o str> {
    operation.detail.get(name).and_then(Value::as_str)
}

async fn deadline(store: &Store, operation: &Operation, now: Timestamp) -> Result<(), ReplayError> {
    let kind = detail(operation, "match_kind").and_then(MatchKind::parse);
    let kind = kind.ok_or_else(|| refused(operation, "its kind of match is not known"))?;
    let key = MatchKey { source: operation.source.clone(), kind, match_id: operation.subject.clone() };
    let gave_back = detail(operation, "outcome") == Some("refund");
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    if find_in_tx(&tx, operation.id).await?.is_some() {
        return Ok(());
    }
    let loaded = lock_in_tx(&tx, std::slice::from_ref(&key)).await?.remove(&key);
    let Some((loaded, state)) = loaded.and_then(|loaded| Some((loaded.clone(), loaded.state?))) else {
        return Err(refused(operation, "there is no such match"));
    };
    if state.deadline.is_none() {
        return Err(refused(operation, "the match waits for no deadline"));
    }
    let outcome = expire(state, if gave_back { OnDeadline::Refund } else { OnDeadline::Arbitrate });
    if outcome.state.settlement.is_some() != gave_back {
        return Err(refused(operation, "the stakes would not go the same way"));
    }
    let here = Operation { match_no: Some(loaded.match_no), ..operation.clone() };
    record_in_tx(&tx, &here).await?;
    match write_in_tx(&tx, loaded, outcome, operation.id, now).await {
        Ok(()) => Ok(tx.commit().await?),
        Err(Error::Store(error)) => Err(error.into()),
        Err(error) => Err(refused(operation, matchpurse_store::chain(&error))),
    }
}

async fn decided(store: &Store, operation: &Operation, now: Timestamp) -> Result<(), ReplayError> {
    let grant = detail(operation, "grant_id").and_then(|id| Uuid::parse_str(id).ok());
    let grant = grant.ok_or_else(|| refused(operation, "its grant is not known"))?;
    // How far the studio had been told by then is the dispatcher's doing, and stands in the record.
    if let Some(state @ ("delivering" | "fulfilled" | "failed")) = detail(operation, "state") {
        let mut client = store.client().await?;
        let tx = client.begin().await?;
        if find_in_tx(&tx, operation.id).await?.is_none() {
            set_grant_state_in_tx(&tx, grant, state).await?;
            tx.commit().await?;
        }
    }
    let author = rewards::Author { actor: operation.actor.clone(), reason: operation.reason.clone() };
    let done = match operation.kind {
        OperationKind::RewardRelease => rewards::release(store, grant, &author, now).await,
        _ => rewards::reverse(store, grant, &author, now).await,
    };
    match done {
        Ok(_) => Ok(()),
        Err(rewards::Error::Store(error)) => Err(error.into()),
        Err(error) => Err(refused(operation, matchpurse_store::chain(&error))),
    }
}

async fn numbers(store: &Store, operation: &Operation, now: Timestamp) -> Result<(), ReplayError> {
    let key = StatsKey { source: operation.source.clone(), match_id: operation.subject.clone() };
    let choice = match (detail(operation, "action"), detail(operation, "event_id")) {
        (Some("keep"), _) => stats::Choice::Keep,
        (_, Some(event)) => match Uuid::parse_str(event) {
            Ok(event) => stats::Choice::Event(EventId::from_uuid(event)),
            Err(_) => return Err(refused(operation, "its event is not known")),
        },
        _ => return Err(refused(operation, "what was decided is not known")),
    };
    let author = stats::Author {
        actor: operation.actor.clone(),
        reason: operation.reason.clone(),
        // It has its id already.
        idempotency_key: String::new(),
    };
    match stats::correct_as(store, operation.id, &key, choice, &author, now).await {
        Ok(_) => Ok(()),
        Err(stats::Error::Store(error)) => Err(error.into()),
        Err(error) => Err(refused(operation, matchpurse_store::chain(&error))),
    }
}

async fn linked(store: &Store, operation: &Operation) -> Result<(), ReplayError> {
    let (Some(before), Some(after)) = (identities(operation, "before"), identities(operation, "after"))
    else {
        return Err(refused(operation, "whom it was about is not known"));
    };
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    if record_in_tx(&tx, operation).await? {
        change_in_tx(&tx, &before, &after).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// A set of identities in an operation's detail.
fn identities(operation: &Operation, name: &str) -> Option<BTreeSet<Identity>> {
    let identity = |value: &Value| {
        let source = SourceName::parse(value.get("source")?.as_str()?).ok()?;
        Some(Identity { source, player_id: PlayerId::new(value.get("player_id")?.as_str()?) })
    };
    operation.detail.get(name)?.as_array()?.iter().map(identity).collect()
}
