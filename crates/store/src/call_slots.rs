//! How often a provider may be called: a number of slots in a time, whoever calls and whatever is killed.
//!
//! A call takes a slot, which rests for the limit's time after it; so the limit holds for all programs together that call
//! with the same key.

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
    budget: Uuid,
    number: i16,
    taken_until: Timestamp,
}

/// What came of wanting a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is the caller's.
    Slot(Slot),
    /// None is free before then.
    NoneBefore(Timestamp),
}

/// Makes the slots of a limit. To be done before the first call.
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

/// Takes a slot for one call, until then.
///
/// # Errors
/// [`crate::Error`]; then none is taken, or it is free again at `until`.
pub async fn take(client: &mut Client, budget: Budget, now: Timestamp, until: Timestamp) -> Result<Taken> {
    let tx = client.begin().await?;
    let slots = free_in_tx(&tx, budget, now, until, 1).await?;
    let Some(slot) = slots.first().copied() else {
        let sql = "SELECT min(free_at) FROM call_slot WHERE budget = $1 AND slot <= $2 AND free_at > $3";
        let row = tx.query_one(sql, &[&budget.id, &budget.slots, &At(now)]).await?;
        // None that rests: those that are free are just being taken.
        return Ok(Taken::NoneBefore(row.try_get::<_, Option<At>>(0)?.map_or(now, |At(at)| at)));
    };
    take_in_tx(&tx, &slots).await?;
    tx.commit().await?;
    Ok(Taken::Slot(slot))
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

/// Slots that are free now, at most so many, locked until the transaction's end, and not taken yet.
pub(crate) async fn free_in_tx(
    tx: &Tx<'_>,
    budget: Budget,
    now: Timestamp,
    taken_until: Timestamp,
    most: u32,
) -> Result<Vec<Slot>> {
    let sql = "SELECT slot FROM call_slot WHERE budget = $1 AND slot <= $2 AND free_at <= $3
                ORDER BY free_at, slot LIMIT $4 FOR UPDATE SKIP LOCKED";
    let rows = tx.query(sql, &[&budget.id, &budget.slots, &At(now), &i64::from(most)]).await?;
    let slot =
        |row: &tokio_postgres::Row| Ok(Slot { budget: budget.id, number: row.try_get(0)?, taken_until });
    rows.iter().map(slot).collect()
}

/// Takes slots that [`free_in_tx`] has given; all of one limit and until the same time.
pub(crate) async fn take_in_tx(tx: &Tx<'_>, slots: &[Slot]) -> Result<()> {
    let Some(Slot { budget, taken_until, .. }) = slots.first() else { return Ok(()) };
    let numbers: Vec<i16> = slots.iter().map(|slot| slot.number).collect();
    let sql = "UPDATE call_slot SET free_at = $3 WHERE budget = $1 AND slot = ANY ($2)";
    tx.execute(sql, &[budget, &numbers, &At(*taken_until)]).await?;
    Ok(())
}

/// As [`give_back`], in a transaction.
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
