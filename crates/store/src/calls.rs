//! What all calls to providers have in common: the slots of a provider's limit, and what becomes of a call.
//!
//! A slot is taken for a call and rests for as long as the provider may count it, so no two calls that had the same slot
//! ever fall into one window of the limit, whichever program made them.

use matchpurse_domain::time::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::dispatch::AttemptOutcome;
use crate::time::At;
use crate::{Client, Result, Tx};

/// How far the clocks of two programs may be apart, in seconds: a slot is kept so much longer than the provider's limit
/// says, so that it holds even then.
pub const CLOCKS_APART_S: i64 = 2;

/// The longest detail of an attempt that is kept, in characters.
pub(crate) const DETAIL_CHARS_MAX: usize = 500;

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

/// How many calls of a source may be claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted<'w> {
    /// The source.
    pub source: &'w str,
    /// The limit that it is under.
    pub budget: Budget,
    /// At most so many.
    pub most: u32,
}

/// An attempt of a claimed call that has ended.
#[derive(Debug, Clone)]
pub struct Ended<'c, Claimed> {
    /// The call, as it was claimed.
    pub claimed: &'c Claimed,
    /// When the attempt began.
    pub at: Timestamp,
    /// What became of it.
    pub outcome: AttemptOutcome,
    /// The status of the answer, where there was one.
    pub status: Option<u16>,
    /// In words: why there was no answer, or the beginning of one that was no success.
    pub detail: String,
    /// What becomes of the call.
    pub next: CallNext,
    /// When its slot may be used again.
    pub slot_free_at: Timestamp,
    /// The provider wants no call of this budget before then.
    pub not_before: Option<Timestamp>,
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

/// Slots that are free, locked until the transaction's end, and not taken yet; at most so many. Who takes them has them
/// until `taken_until`.
pub(crate) async fn free_in_tx(
    tx: &Tx<'_>,
    budget: Budget,
    now: Timestamp,
    taken_until: Timestamp,
    most: u32,
) -> Result<Vec<Slot>> {
    let free = "SELECT slot FROM call_slot WHERE budget = $1 AND slot <= $2 AND free_at <= $3
                 ORDER BY free_at, slot LIMIT $4 FOR UPDATE SKIP LOCKED";
    let rows = tx.query(free, &[&budget.id, &budget.slots, &At(now), &i64::from(most)]).await?;
    let slot = |row: &Row| Ok(Slot { budget: budget.id, number: row.try_get(0)?, taken_until });
    rows.iter().map(slot).collect()
}

/// Takes slots that one [`free_in_tx`] has found.
pub(crate) async fn take_in_tx(tx: &Tx<'_>, slots: &[Slot]) -> Result<()> {
    let Some(Slot { budget, taken_until, .. }) = slots.first() else { return Ok(()) };
    let numbers: Vec<i16> = slots.iter().map(|slot| slot.number).collect();
    let sql = "UPDATE call_slot SET free_at = $3 WHERE budget = $1 AND slot = ANY ($2)";
    tx.execute(sql, &[budget, &numbers, &At(*taken_until)]).await?;
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
    let Some(slot) = free_in_tx(&tx, budget, now, until, 1).await?.pop() else {
        let sql = "SELECT min(free_at) FROM call_slot WHERE budget = $1 AND slot <= $2 AND free_at > $3";
        let row = tx.query_one(sql, &[&budget.id, &budget.slots, &At(now)]).await?;
        // None that rests: those that are free are just being taken.
        return Ok(Taken::NoneBefore(row.try_get::<_, Option<At>>(0)?.map_or(now, |At(at)| at)));
    };
    take_in_tx(&tx, &[slot]).await?;
    tx.commit().await?;
    Ok(Taken::Slot(slot))
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
