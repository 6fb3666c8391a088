use matchpurse_domain::time::Timestamp;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::calls::{self, DETAIL_CHARS_MAX, Slot, Wanted};
use crate::dispatch::AttemptOutcome;
use crate::time::At;
use crate::words::storable;
use crate::{Client, Result};

/// A report that the caller holds until the end of its lease, with a slot.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// The operation of the result.
    pub operation_id: Uuid,
    /// Which of its claims this is.
    pub claim: i32,
    /// How many attempts of its schedule it has had.
    pub attempts: u32,
    /// The provider's id of the match.
    pub match_id: String,
    /// What the operation says.
    pub detail: Value,
    slot: Slot,
}

/// An attempt of a report that has ended.
pub type Ended<'c> = calls::Ended<'c, Claimed>;

/// Which of these sources have a report that is due: one look, which most turns end with.
///
/// # Errors
/// [`crate::Error`].
pub async fn due(client: &Client, sources: &[&str], now: Timestamp) -> Result<Vec<String>> {
    let sql = "SELECT source FROM unnest($1::text[]) AS of (source)
                WHERE EXISTS (SELECT FROM result_report r WHERE r.source = of.source AND r.state = 'waiting'
                                 AND r.next_attempt_at <= $2)";
    client.query(sql, &[&sources, &At(now)]).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Takes reports that are due, the longest due first, as many as there are free slots and the caller can make. The reports
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
    let Wanted { source, budget, most } = wanted;
    let tx = client.begin().await?;
    let slots = calls::free_in_tx(&tx, *budget, now, slot_until, *most).await?;
    if slots.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "WITH due AS MATERIALIZED (
                 SELECT operation_id FROM result_report
                  WHERE source = $1 AND state = 'waiting' AND next_attempt_at <= $2
                  ORDER BY next_attempt_at LIMIT $4 FOR UPDATE SKIP LOCKED)
               UPDATE result_report AS r
                  SET claims = r.claims + 1, claimed_at = $2, next_attempt_at = $3,
                      last_at = coalesce(r.claimed_at, r.last_at),
                      last_outcome = CASE WHEN r.claimed_at IS NULL THEN r.last_outcome ELSE $5 END,
                      last_status = CASE WHEN r.claimed_at IS NULL THEN r.last_status END
                 FROM due JOIN operation o USING (operation_id)
                WHERE r.operation_id = due.operation_id
               RETURNING r.operation_id, r.claims, r.attempts, o.subject, o.detail";
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
        operation_id: row.try_get("operation_id")?,
        claim: row.try_get("claims")?,
        attempts: u32::try_from(row.try_get::<_, i32>("attempts")?).unwrap_or(0),
        match_id: row.try_get("subject")?,
        detail: row.try_get("detail")?,
        slot,
    })
}

/// Writes what came of a claimed report. False when it was another's meanwhile, or withdrawn, and this did not count.
/// Writing it again changes nothing.
///
/// # Errors
/// [`crate::Error`]; then nothing is written, and the report is due again when its lease ends.
pub async fn finish(client: &mut Client, ended: &Ended<'_>) -> Result<bool> {
    let Ended { claimed, at, outcome, status, detail, next, slot_free_at, not_before } = ended;
    let (state, again, counts) = next.stored();
    // What the provider knows it knows, whoever holds the lease now and whatever was decided meanwhile.
    let sql = "UPDATE result_report
                  SET state = $3, next_attempt_at = coalesce($4, next_attempt_at), claimed_at = NULL,
                      attempts = attempts + $9, last_at = $5, last_outcome = $6, last_status = $7, last_detail = $8,
                      changed_at = now()
                WHERE operation_id = $1
                  AND ($3 = 'told' AND state <> 'told'
                       OR claims = $2 AND state = 'waiting' AND claimed_at IS NOT NULL)";
    let detail = storable(detail, DETAIL_CHARS_MAX);
    let status = status.map(i32::from);
    let outcome = outcome.as_str();
    let parameters: crate::client::Params<'_> = &[
        &claimed.operation_id,
        &claimed.claim,
        &state,
        &again,
        &At(*at),
        &outcome,
        &status,
        &detail.as_ref(),
        &counts,
    ];
    let tx = client.begin().await?;
    let counted = tx.execute(sql, parameters).await? > 0;
    calls::give_back_in_tx(&tx, claimed.slot, *slot_free_at, *not_before).await?;
    tx.commit().await?;
    Ok(counted)
}
