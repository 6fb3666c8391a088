//! Deposits and withdrawals: players' own money, where the studio holds the stakes.

use matchpurse_domain::ids::{EventId, PlayerId, SourceName, derived_uuid};
use matchpurse_domain::money::{MAX_MINOR_UNITS, Money};
use matchpurse_domain::source::{Custody, SourcePolicy};
use matchpurse_domain::time::Timestamp;
use matchpurse_store::funds::{lock_in_tx, move_in_tx};
use matchpurse_store::operations::{Operation, OperationKind, find_in_tx, record_in_tx};
use matchpurse_store::{Client, Store};
use serde_json::json;

use crate::{Error, Result};

/// Which way money goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the player.
    Deposit,
    /// From the player.
    Withdrawal,
}

/// A movement that the studio asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// Which way.
    pub direction: Direction,
    /// Whose money.
    pub player: PlayerId,
    /// How much.
    pub amount: Money,
    /// Who asks.
    pub actor: String,
    /// Why: a payment's reference, a support case.
    pub reason: String,
    /// The same for a repeat, and for no other movement of the source.
    pub idempotency_key: String,
}

/// A movement that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The operation.
    pub operation: EventId,
    /// When it was recorded.
    pub at: Timestamp,
    /// True when it had been done before and nothing moved now.
    pub repeated: bool,
}

/// The id of the operation that a key stands for.
pub(crate) fn operation_id(source: &SourceName, idempotency_key: &str) -> EventId {
    EventId::from_uuid(derived_uuid("operation", &[source.as_str(), idempotency_key]))
}

/// Moves money in or out, once a key. A withdrawal of more than the player has is refused, and may be asked for again
/// with the same key.
///
/// # Errors
/// [`Error`].
pub async fn move_funds(
    store: &Store,
    policy: &SourcePolicy,
    movement: &Movement,
    now: Timestamp,
) -> Result<Moved> {
    check(policy, movement)?;
    let operation = operation(policy, movement);
    let mut client = store.client().await?;
    if let Some(moved) = insert(&mut client, policy, movement, &operation, now).await? {
        return Ok(moved);
    }
    let tx = client.begin().await?;
    let (found, at) = find_in_tx(&tx, operation.id).await?.ok_or(Error::KeyReused)?;
    // Who repeats a request, and in which words, does not make it another one.
    let same = |o: &Operation| (o.kind, o.source.clone(), o.subject.clone(), o.amount.clone());
    if same(&found) != same(&operation) {
        return Err(Error::KeyReused);
    }
    Ok(Moved { operation: operation.id, at, repeated: true })
}

fn check(policy: &SourcePolicy, movement: &Movement) -> Result<()> {
    if policy.custody != Custody::Studio {
        return Err(Error::NotOurs);
    }
    if movement.amount.currency != policy.currency.code {
        return Err(Error::Currency(policy.currency.code.clone()));
    }
    if !(1..=MAX_MINOR_UNITS).contains(&movement.amount.minor_units) {
        return Err(Error::Amount { max: MAX_MINOR_UNITS });
    }
    Ok(())
}

fn operation(policy: &SourcePolicy, movement: &Movement) -> Operation {
    let kind = match movement.direction {
        Direction::Deposit => OperationKind::Deposit,
        Direction::Withdrawal => OperationKind::Withdrawal,
    };
    Operation {
        id: operation_id(&policy.source, &movement.idempotency_key),
        kind,
        source: policy.source.clone(),
        subject: movement.player.as_str().to_owned(),
        match_no: None,
        actor: movement.actor.clone(),
        approved_by: None,
        reason: movement.reason.clone(),
        amount: Some(movement.amount.clone()),
        detail: json!({ "idempotency_key": movement.idempotency_key }),
    }
}

/// None when there is an operation of this key.
async fn insert(
    client: &mut Client,
    policy: &SourcePolicy,
    movement: &Movement,
    operation: &Operation,
    now: Timestamp,
) -> Result<Option<Moved>> {
    let (source, player, amount) = (&policy.source, &movement.player, &movement.amount);
    let tx = client.begin().await?;
    if !record_in_tx(&tx, operation).await? {
        return Ok(None);
    }
    let balance = lock_in_tx(&tx, source, player, amount).await?.ok_or(Error::Recorded)?;
    let outward = movement.direction == Direction::Withdrawal;
    if outward && balance < amount.minor_units {
        return Err(Error::Insufficient { balance });
    }
    move_in_tx(&tx, source, player, amount, outward, operation.id, now).await?;
    tx.commit().await?;
    Ok(Some(Moved { operation: operation.id, at: now, repeated: false }))
}
