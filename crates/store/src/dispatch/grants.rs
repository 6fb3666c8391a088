//! What becomes of a grant while the studio is told of it, and what the studio is told of one that was taken back.
//!
//! A grant that somebody has taken back, or holds for review, is left alone.
//!
//! **Taken back before it was told.** The studio must not be told to give what it must not give. A grant's row decides
//! between a claim and a reversal: the claim locks it, so either the reversal is there and the delivery is withdrawn,
//! or it comes after the claim, and finds nothing to stop. A delivery that an endpoint may have got goes on until the
//! endpoint surely has it, and the notice of the reversal waits for that: it would make no sense before.

use std::collections::{BTreeMap, BTreeSet};

use matchpurse_domain::grants::ContestKind;
use matchpurse_domain::time::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::grants::tell::{GRANTED, REVERSED};
use crate::redemptions::given_in_tx;
use crate::time::At;
use crate::{Result, Tx};

/// The least time that a notice of a reversal waits for the grant's own, so that it is not looked at in every turn.
const LOOK_AGAIN_S: i64 = 1;

/// The grant that a notice fulfils.
pub(super) fn grant_of(kind: &str, subject: &str) -> Option<Uuid> {
    if kind == GRANTED { Uuid::parse_str(subject).ok() } else { None }
}

/// The studio is about to be told of these. Returns those that have been taken back; until the transaction ends none
/// of the others is.
pub(super) async fn begin_in_tx(tx: &Tx<'_>, grants: &[Uuid]) -> Result<BTreeSet<Uuid>> {
    if grants.is_empty() {
        return Ok(BTreeSet::new());
    }
    let sql = "SELECT grant_id, state FROM reward_grant WHERE grant_id = ANY ($1) ORDER BY grant_id FOR NO KEY UPDATE";
    let mut new: Vec<Uuid> = Vec::new();
    let mut taken_back = BTreeSet::new();
    for row in &tx.query(sql, &[&grants]).await? {
        match row.try_get(1)? {
            "granted" => new.push(row.try_get(0)?),
            "reversed" => drop(taken_back.insert(row.try_get(0)?)),
            _ => {}
        }
    }
    if !new.is_empty() {
        let sql =
            "UPDATE reward_grant SET state = 'delivering', updated_at = now() WHERE grant_id = ANY ($1)";
        tx.execute(sql, &[&new]).await?;
    }
    Ok(taken_back)
}

/// Whether a grant has been taken back. Until the transaction ends it is not, if it was not.
pub(super) async fn is_taken_back_in_tx(tx: &Tx<'_>, grant: Option<Uuid>) -> Result<bool> {
    let Some(grant) = grant else { return Ok(false) };
    let sql = "SELECT state = 'reversed' FROM reward_grant WHERE grant_id = $1 FOR NO KEY UPDATE";
    tx.query(sql, &[&grant]).await?.first().map_or(Ok(false), |row| Ok(row.try_get(0)?))
}

/// Of deliveries that this transaction has claimed, those that the endpoint cannot have got: whatever was tried did not
/// reach it.
pub(super) async fn unheard_in_tx(tx: &Tx<'_>, deliveries: &[i64]) -> Result<BTreeSet<i64>> {
    let sql = "SELECT delivery_id FROM delivery d
                WHERE delivery_id = ANY ($1) AND NOT unknown
                  AND NOT EXISTS (SELECT FROM delivery_attempt a
                                   WHERE a.delivery_id = d.delivery_id AND a.outcome <> 'not_sent')";
    tx.query(sql, &[&deliveries]).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Which of these claimed notices of reversals are too early, and until when: the endpoint may have got the grant's own
/// notice, or will, and that has not ended.
pub(super) async fn too_early_in_tx(
    tx: &Tx<'_>,
    reversals: &[i64],
    now: Timestamp,
) -> Result<BTreeMap<i64, Timestamp>> {
    if reversals.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sql = "SELECT d.delivery_id, max(told.next_attempt_at)
                 FROM delivery d
                 JOIN outbox o ON o.webhook_id = d.webhook_id
                 JOIN outbox given ON (given.source, given.subject) = (o.source, o.subject) AND given.kind = $2
                 JOIN delivery told ON told.webhook_id = given.webhook_id AND told.endpoint_id = d.endpoint_id
                                   AND told.state IN ('waiting', 'behind')
                WHERE d.delivery_id = ANY ($1)
                  AND (told.claimed_at IS NOT NULL OR told.unknown
                       OR EXISTS (SELECT FROM delivery_attempt a
                                   WHERE a.delivery_id = told.delivery_id AND a.outcome <> 'not_sent'))
                GROUP BY d.delivery_id";
    let at_least = now.plus_seconds(LOOK_AGAIN_S);
    let until = |row: &Row| Ok((row.try_get(0)?, row.try_get::<_, At>(1)?.0.max(at_least)));
    tx.query(sql, &[&reversals, &GRANTED]).await?.iter().map(until).collect()
}

/// The kind of notice that must not come before the grant's own.
pub(super) fn is_reversal(kind: &str) -> bool {
    kind == REVERSED
}

/// A delivery of the grant's notice has changed: every endpoint has it, or one has been given up, or neither. When all
/// have it, those to whom it was not handed on apart, and `callback` has its contest's kind, the provider is to be told.
pub(super) async fn settle_in_tx(
    tx: &Tx<'_>,
    grant: Uuid,
    webhook_id: Uuid,
    callback: &[ContestKind],
    now: Timestamp,
) -> Result<()> {
    // Two endpoints that finish at once must not each see the other still waiting: the grant's row makes them take
    // turns, and the statement after the wait sees what was committed. So must two grants of a player, where the
    // provider is told once all are given.
    let lock = if callback.is_empty() {
        "SELECT FROM reward_grant WHERE grant_id = $1 FOR NO KEY UPDATE"
    } else {
        "SELECT FROM reward_grant
          WHERE (contest_key, player_key) = (SELECT contest_key, player_key FROM reward_grant WHERE grant_id = $1)
          ORDER BY grant_id FOR NO KEY UPDATE"
    };
    tx.query(lock, &[&grant]).await?;
    let sql = "UPDATE reward_grant AS g SET state = told.state, updated_at = now()
                 FROM (SELECT CASE WHEN bool_or(state = 'given_up') THEN 'failed'
                                   WHEN bool_and(state = 'delivered') FILTER (WHERE state <> 'withdrawn')
                                     THEN 'fulfilled'
                                   ELSE 'delivering' END AS state
                         FROM delivery WHERE webhook_id = $2) AS told
                WHERE g.grant_id = $1 AND g.state IN ('granted', 'delivering', 'failed')
                  AND g.state <> told.state
               RETURNING g.state";
    let given = match tx.query(sql, &[&grant, &webhook_id]).await?.first() {
        Some(row) => row.try_get::<_, &str>(0)? == "fulfilled",
        None => false,
    };
    if given && !callback.is_empty() {
        given_in_tx(tx, grant, callback, now).await?;
    }
    Ok(())
}

/// The grant's own notice has ended at an endpoint: the notice that it was taken back, if it waits for that, is due. To
/// be done before anything of the grant is locked.
pub(super) async fn let_reversal_go_in_tx(tx: &Tx<'_>, delivery_id: i64, now: Timestamp) -> Result<()> {
    let sql = "UPDATE delivery AS d SET next_attempt_at = $2
                 FROM delivery told JOIN outbox given ON given.webhook_id = told.webhook_id
                 JOIN outbox o ON (o.source, o.subject) = (given.source, given.subject) AND o.kind = $3
                WHERE told.delivery_id = $1 AND d.webhook_id = o.webhook_id AND d.endpoint_id = told.endpoint_id
                  AND d.state = 'waiting' AND d.claimed_at IS NULL AND d.attempts = 0 AND d.next_attempt_at > $2";
    tx.execute(sql, &[&delivery_id, &At(now), &REVERSED]).await?;
    Ok(())
}
