//! What all calls to providers have in common: the slots of a provider's limit, and what becomes of a call.
//!
//! A slot is taken for a call and rests for as long as the provider may count it, so no two calls that had the same slot
//! ever fall into one window of the limit, whichever program made them.

use matchpurse_domain::time::Timestamp;
use uuid::Uuid;

use crate::time::At;
use crate::{Client, Result, Tx};

/// A provider's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// What it is about: sources that share a key have one.
    pub id: Uuid,
    /// How many slots it has: calls in the time that a slot is kept after its call.
    pub slots: i16,
}

/// A slot that was taken: until `taken_until` it is nobody else's, even if its holder dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    pub(crate) budget: Uuid,
    pub(crate) number: i16,
    pub(crate) taken_until: Timestamp,
}

/// What came of wanting a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is the caller's.
    Slot(Slot),
    /// None is free before then.
    NoneBefore(Timestamp),
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallNext {
    /// The provider knows.
    Told,
    /// It is made again at this time.
    Again(Timestamp),
    /// The same, and this attempt was none of its schedule.
    Later(Timestamp),
    /// The provider does not want it; only an operator makes it again.
    Refused,
    /// It was tried often enough; only an operator makes it again.
    GivenUp,
}

impl CallNext {
    /// The state that the call has then, when it is made again, and by how much its attempts grow.
    pub(crate) const fn stored(self) -> (&'static str, Option<At>, i32) {
        match self {
            Self::Told => ("told", None, 1),
            Self::Again(at) => ("waiting", Some(At(at)), 1),
            Self::Later(at) => ("waiting", Some(At(at)), 0),
            Self::Refused => ("refused", None, 1),
            Self::GivenUp => ("given_up", None, 1),
        }
    }
}

/// Makes the slots of a limit. To be done before the first claim.
///
/// # Errors
/// [`crate::Error`].
pub async fn prepare(client: &Client, budget: Budget) -> Result<()> {
    let sql = "INSERT INTO call_slot (budget, slot) SELECT $1, n::smallint FROM generate_series(1, $2::integer) AS n
                WHERE NOT EXISTS (SELECT FROM call_slot WHERE budget = $1 AND slot = n)
                ORDER BY n ON CONFLICT DO NOTHING";
    client.execute(sql, &[&budget.id, &i32::from(budget.slots)]).await?;
    Ok(())
}

/// Slots that are free, locked; at most so many.
pub(crate) async fn free_in_tx(tx: &Tx<'_>, budget: Budget, now: Timestamp, most: u32) -> Result<Vec<i16>> {
    let free = "SELECT slot FROM call_slot WHERE budget = $1 AND slot <= $2 AND free_at <= $3
                 ORDER BY free_at, slot LIMIT $4 FOR UPDATE SKIP LOCKED";
    let rows = tx.query(free, &[&budget.id, &budget.slots, &At(now), &i64::from(most)]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Takes slots that [`free_in_tx`] has found.
pub(crate) async fn take_in_tx(tx: &Tx<'_>, budget: Budget, slots: &[i16], until: Timestamp) -> Result<()> {
    let sql = "UPDATE call_slot SET free_at = $3 WHERE budget = $1 AND slot = ANY ($2)";
    tx.execute(sql, &[&budget.id, &slots, &At(until)]).await?;
    Ok(())
}

/// Gives a slot back for later. Nobody makes a call of the limit before `not_before`.
pub(crate) async fn give_back_in_tx(
    tx: &Tx<'_>,
    slot: Slot,
    free_at: Timestamp,
    not_before: Option<Timestamp>,
) -> Result<()> {
    if not_before.is_some() {
        // All of them are to be written, and whoever else does so holds one already: in one order, from the first on.
        let sql = "SELECT FROM call_slot WHERE budget = $1 ORDER BY slot FOR UPDATE";
        tx.query(sql, &[&slot.budget]).await?;
    }
    let sql = "UPDATE call_slot SET free_at = $3 WHERE budget = $1 AND slot = $2 AND free_at = $4";
    tx.execute(sql, &[&slot.budget, &slot.number, &At(free_at), &At(slot.taken_until)]).await?;
    if let Some(not_before) = not_before {
        let sql = "UPDATE call_slot SET free_at = $2 WHERE budget = $1 AND free_at < $2";
        tx.execute(sql, &[&slot.budget, &At(not_before)]).await?;
    }
    Ok(())
}

/// Takes a slot for one call, until then.
///
/// # Errors
/// [`crate::Error`]; then none is taken, or it is free again at `until`.
pub async fn take(client: &mut Client, budget: Budget, now: Timestamp, until: Timestamp) -> Result<Taken> {
    let tx = client.begin().await?;
    let slots = free_in_tx(&tx, budget, now, 1).await?;
    let Some(number) = slots.first().copied() else {
        let sql = "SELECT min(free_at) FROM call_slot WHERE budget = $1 AND slot <= $2 AND free_at > $3";
        let row = tx.query_one(sql, &[&budget.id, &budget.slots, &At(now)]).await?;
        // None that rests: those that are free are just being taken.
        return Ok(Taken::NoneBefore(row.try_get::<_, Option<At>>(0)?.map_or(now, |At(at)| at)));
    };
    take_in_tx(&tx, budget, &slots, until).await?;
    tx.commit().await?;
    Ok(Taken::Slot(Slot { budget: budget.id, number, taken_until: until }))
}

/// Takes one slot until then, for a call that is no claim's own: a request for a token. False when none is free.
///
/// # Errors
/// [`crate::Error`].
pub async fn take_one(client: &mut Client, budget: Budget, now: Timestamp, until: Timestamp) -> Result<bool> {
    Ok(matches!(take(client, budget, now, until).await?, Taken::Slot(_)))
}

/// Gives a slot back, which may be used again from `free_at` on; with `not_before`, none of its limit before then.
///
/// # Errors
/// [`crate::Error`]; then it is free when it was taken until.
pub async fn give_back(
    client: &mut Client,
    slot: Slot,
    free_at: Timestamp,
    not_before: Option<Timestamp>,
) -> Result<()> {
    let tx = client.begin().await?;
    give_back_in_tx(&tx, slot, free_at, not_before).await?;
    tx.commit().await?;
    Ok(())
}
