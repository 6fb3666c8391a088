use matchpurse_domain::grants::ContestKind;
use matchpurse_domain::time::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::calls::{self, DETAIL_CHARS_MAX, Ended, Slot, Wanted};
use crate::dispatch::AttemptOutcome;
use crate::time::At;
use crate::words::{storable, word};
use crate::{Client, Result, Tx};

/// A call that the caller holds until the end of its lease, with a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The contest's key.
    pub contest_key: Uuid,
    /// The player's key.
    pub player_key: Uuid,
    /// Which of its claims this is.
    pub claim: i32,
    /// How many attempts of its schedule it has had.
    pub attempts: u32,
    /// What the rewards were given for.
    pub contest_kind: ContestKind,
    /// The provider's id of it.
    pub contest_id: String,
    /// The provider's id of the player.
    pub player_id: String,
    /// When the last of the rewards was given.
    pub redeemed_at: Timestamp,
    slot: Slot,
}

/// An attempt of a call that has ended.
pub type CallEnded<'c> = Ended<'c, Claimed>;

/// Which of these sources have a call that is due: one look, which most turns end with.
///
/// # Errors
/// [`crate::Error`].
pub async fn due(client: &Client, sources: &[&str], now: Timestamp) -> Result<Vec<String>> {
    let sql = "SELECT source FROM unnest($1::text[]) AS of (source)
                WHERE EXISTS (SELECT FROM redemption_call r WHERE r.source = of.source AND r.state = 'waiting'
                                 AND r.next_attempt_at <= $2)";
    client.query(sql, &[&sources, &At(now)]).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Takes calls that are due, the longest due first, as many as there are free slots and the caller can make. The calls
/// are the caller's until `lease_until`, their slots until `slot_until`: for as long as the provider may count them.
///
/// # Errors
/// [`crate::Error`]; then nothing is held, or it is given back when the times have passed.
pub async fn claim(
    client: &mut Client,
    wanted: &Wanted<'_>,
    now: Timestamp,
    lease_until: Timestamp,
    slot_until: Timestamp,
) -> Result<Vec<Claimed>> {
    let tx = client.begin().await?;
    let Wanted { source, budget, most } = wanted;
    let slots = calls::free_in_tx(&tx, *budget, now, slot_until, *most).await?;
    if slots.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "WITH due AS MATERIALIZED (
                 SELECT contest_key, player_key FROM redemption_call
                  WHERE source = $1 AND state = 'waiting' AND next_attempt_at <= $2
                  ORDER BY next_attempt_at LIMIT $4 FOR UPDATE SKIP LOCKED)
               UPDATE redemption_call AS r
                  SET claims = r.claims + 1, claimed_at = $2, next_attempt_at = $3,
                      last_at = coalesce(r.claimed_at, r.last_at),
                      last_outcome = CASE WHEN r.claimed_at IS NULL THEN r.last_outcome ELSE $5 END,
                      last_status = CASE WHEN r.claimed_at IS NULL THEN r.last_status END
                 FROM due JOIN contest c USING (contest_key) JOIN player p USING (player_key)
                WHERE (r.contest_key, r.player_key) = (due.contest_key, due.player_key)
               RETURNING r.contest_key, r.player_key, r.claims, r.attempts, r.redeemed_at, c.kind, c.contest_id,
                         p.player_id";
    let count = i64::try_from(slots.len()).unwrap_or(i64::MAX);
    let abandoned = AttemptOutcome::Abandoned.as_str();
    let rows = tx.query(sql, &[source, &At(now), &At(lease_until), &count, &abandoned]).await?;
    let claimed = rows.iter().zip(&slots).map(|(row, slot)| read(row, *slot)).collect::<Result<Vec<_>>>()?;
    let taken: Vec<Slot> = claimed.iter().map(|one| one.slot).collect();
    calls::take_in_tx(&tx, &taken).await?;
    tx.commit().await?;
    Ok(claimed)
}

fn read(row: &Row, slot: Slot) -> Result<Claimed> {
    Ok(Claimed {
        contest_key: row.try_get("contest_key")?,
        player_key: row.try_get("player_key")?,
        claim: row.try_get("claims")?,
        attempts: u32::try_from(row.try_get::<_, i32>("attempts")?).unwrap_or(0),
        contest_kind: word(row, "kind", ContestKind::parse)?,
        contest_id: row.try_get("contest_id")?,
        player_id: row.try_get("player_id")?,
        redeemed_at: row.try_get::<_, At>("redeemed_at")?.0,
        slot,
    })
}

/// Writes what came of a claimed call. False when the call was another's meanwhile, or withdrawn, and the result did
/// not count. Writing it again changes nothing.
///
/// # Errors
/// [`crate::Error`]; then nothing is written, and the call is due again when its lease ends.
pub async fn finish(client: &mut Client, ended: &CallEnded<'_>) -> Result<bool> {
    let CallEnded { claimed, slot_free_at, not_before, .. } = ended;
    let tx = client.begin().await?;
    let counted = write(&tx, ended).await?;
    calls::give_back_in_tx(&tx, claimed.slot, *slot_free_at, *not_before).await?;
    tx.commit().await?;
    Ok(counted)
}

async fn write(tx: &Tx<'_>, ended: &CallEnded<'_>) -> Result<bool> {
    let CallEnded { claimed, at, outcome, status, detail, next, .. } = ended;
    let (state, again, counts) = next.stored();
    // What the provider knows it knows, whoever holds the lease now and whatever was decided meanwhile.
    let sql = "UPDATE redemption_call
                  SET state = $4, next_attempt_at = coalesce($5, next_attempt_at), claimed_at = NULL,
                      attempts = attempts + $10, last_at = $6, last_outcome = $7, last_status = $8, last_detail = $9,
                      changed_at = now()
                WHERE (contest_key, player_key) = ($1, $2)
                  AND ($4 = 'told' AND state <> 'told'
                       OR claims = $3 AND state = 'waiting' AND claimed_at IS NOT NULL)";
    let detail = storable(detail, DETAIL_CHARS_MAX);
    let status = status.map(i32::from);
    let outcome = outcome.as_str();
    let parameters: crate::client::Params<'_> = &[
        &claimed.contest_key,
        &claimed.player_key,
        &claimed.claim,
        &state,
        &again,
        &At(*at),
        &outcome,
        &status,
        &detail.as_ref(),
        &counts,
    ];
    Ok(tx.execute(sql, parameters).await? > 0)
}
