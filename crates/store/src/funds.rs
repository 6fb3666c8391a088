//! Players' own money, where the studio holds the stakes: what comes in from outside, and what goes out again.

use std::collections::BTreeSet;

use matchpurse_domain::ids::{EventId, PlayerId, SourceName};
use matchpurse_domain::money::Money;
use matchpurse_domain::source::Custody;
use matchpurse_domain::time::Timestamp;

use crate::escrow::ledger::{AccountKey, Posting, lock, post};
use crate::{Result, Tx, players};

/// 8 deposit, 9 withdrawal: part of the transfers' permanent keys.
const DEPOSIT: i16 = 8;
const WITHDRAWAL: i16 = 9;

/// Locks the player's account and returns what is on it, in minor units; none when it only records what a provider
/// did, so that there is nothing to pay in to or out of.
///
/// # Errors
/// [`crate::Error`].
pub async fn lock_in_tx(
    tx: &Tx<'_>,
    source: &SourceName,
    player: &PlayerId,
    amount: &Money,
) -> Result<Option<i64>> {
    let (own, outside) = accounts(source, player, amount);
    // Both at once, so that no two movements wait for each other in a circle.
    let locked = lock(tx, &BTreeSet::from([own.clone(), outside])).await?;
    Ok(locked.get(&own).and_then(|account| account.funds()))
}

/// Moves money from outside to the player, or with `outward` the other way. The caller has seen by
/// [`lock_in_tx`] that there is enough.
///
/// # Errors
/// [`crate::Error`]; also when the operation's transfer is there already.
pub async fn move_in_tx(
    tx: &Tx<'_>,
    source: &SourceName,
    player: &PlayerId,
    amount: &Money,
    outward: bool,
    operation: EventId,
    at: Timestamp,
) -> Result<()> {
    players::remember_in_tx(tx, &[(source.clone(), player.clone())]).await?;
    let (own, outside) = accounts(source, player, amount);
    let (debit, credit) = if outward { (own, outside) } else { (outside, own) };
    let posting = Posting {
        match_no: 0,
        subject: operation.uuid(),
        kind: if outward { WITHDRAWAL } else { DEPOSIT },
        generation: 0,
        debit,
        credit,
        amount: amount.minor_units,
        event_id: operation,
        at,
    };
    post(tx, &[posting]).await
}

fn accounts(source: &SourceName, player: &PlayerId, amount: &Money) -> (AccountKey, AccountKey) {
    let own = AccountKey::of_player(source, player, &amount.currency, Custody::Studio);
    (own, AccountKey::external(source, &amount.currency))
}
