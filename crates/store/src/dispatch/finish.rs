use matchpurse_domain::time::Timestamp;
use uuid::Uuid;

use super::endpoints::read_health;
use super::operate::{DISPATCHER, Operation, none, record_in_tx};
use super::{AttemptOutcome, Claimed, EndpointId, Health, grants};
use crate::redemptions::Audience;
use crate::time::At;
use crate::words::storable;
use crate::{Client, Result, Tx};

/// The longest detail of an attempt, in characters.
const DETAIL_CHARS_MAX: usize = 500;

/// What was tried, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When it began.
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub took_ms: i32,
    /// What became of it.
    pub outcome: AttemptOutcome,
    /// The status of the answer, where there was one.
    pub status: Option<u16>,
    /// In words: why there was no answer, or the beginning of one that was no success.
    pub detail: String,
}

/// What becomes of the delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The endpoint has it.
    Delivered,
    /// It is tried again.
    Again {
        /// When.
        at: Timestamp,
        /// Whether this attempt was one of its schedule.
        counts: bool,
    },
    /// It was tried often enough; only an operator tries it again.
    GivenUp,
}

/// An attempt that has ended.
#[derive(Debug, Clone)]
pub struct Ended<'c> {
    /// The delivery, as it was claimed.
    pub claimed: &'c Claimed,
    /// What was tried.
    pub attempt: Attempt,
    /// What becomes of the delivery.
    pub next: Next,
}

/// What [`finish`] wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// False when the delivery was another's meanwhile and the result did not count.
    pub counted: bool,
    /// The endpoint's health before and after.
    pub health: (Health, Health),
}

/// Writes what came of a claimed delivery: its next state, its attempt, its grant's state, by `audience` whether the
/// provider is to be told of that, and by `fares` how the endpoint fares now. An answer of 410 disables the endpoint.
///
/// Writing it again changes nothing.
///
/// # Errors
/// [`crate::Error`]; then nothing is written, and the delivery is due again when its lease ends.
pub async fn finish(
    client: &mut Client,
    ended: &Ended<'_>,
    audience: &Audience,
    fares: impl Fn(Health) -> Health,
    now: Timestamp,
) -> Result<Finished> {
    let Ended { claimed, attempt, next } = ended;
    let tx = client.begin().await?;
    // Of an endpoint that is well and stays so the row is not locked: all its sends would wait for each other.
    let mut health = endpoint_health(&tx, claimed.endpoint, false).await?;
    let gone = attempt.outcome == AttemptOutcome::Gone;
    if gone || claimed.in_line || fares(health) != health {
        health = endpoint_health(&tx, claimed.endpoint, true).await?;
    }
    let after = fares(health);
    let counted =
        write_delivery(&tx, claimed, *next, attempt.outcome == AttemptOutcome::Unknown, now).await?;
    write_attempt(&tx, claimed, attempt).await?;
    if counted && !matches!(next, Next::Again { .. }) {
        if claimed.in_line {
            move_line(&tx, claimed.delivery_id, now).await?;
        }
        if let Some(grant) = grants::grant_of(&claimed.kind, &claimed.subject) {
            let callback = audience.of(&claimed.source);
            // Deliveries come before grants, as in a claim: the other way round the two could wait for each other.
            grants::let_reversal_go_in_tx(&tx, claimed.delivery_id, now).await?;
            grants::settle_in_tx(&tx, grant, claimed.webhook_id, callback, now).await?;
        }
    }
    if after != health {
        write_health(&tx, claimed.endpoint, after).await?;
    }
    if gone {
        disable_gone(&tx, claimed, now).await?;
    }
    tx.commit().await?;
    Ok(Finished { counted, health: (health, after) })
}

/// Ends a delivery without sending it: what it says was given has been taken back before the endpoint heard of it. False
/// when it was another's meanwhile.
///
/// # Errors
/// [`crate::Error`]; then it is claimed again when its lease ends, and withdrawn then.
pub async fn withdraw(client: &mut Client, claimed: &Claimed, now: Timestamp) -> Result<bool> {
    let tx = client.begin().await?;
    if claimed.in_line {
        endpoint_health(&tx, claimed.endpoint, true).await?;
    }
    let sql = "UPDATE delivery SET state = 'withdrawn', finished_at = $3
                WHERE delivery_id = $1 AND claims = $2 AND state = 'waiting' AND claimed_at IS NULL";
    let withdrawn = tx.execute(sql, &[&claimed.delivery_id, &claimed.claim, &At(now)]).await? > 0;
    if withdrawn {
        if claimed.in_line {
            move_line(&tx, claimed.delivery_id, now).await?;
        }
        if grants::grant_of(&claimed.kind, &claimed.subject).is_some() {
            grants::let_reversal_go_in_tx(&tx, claimed.delivery_id, now).await?;
        }
    }
    tx.commit().await?;
    Ok(withdrawn)
}

async fn endpoint_health(tx: &Tx<'_>, endpoint: EndpointId, locked: bool) -> Result<Health> {
    let look = "SELECT failures, openings, width, paused_until FROM endpoint WHERE endpoint_id = $1";
    let lock = "SELECT failures, openings, width, paused_until FROM endpoint WHERE endpoint_id = $1
                   FOR NO KEY UPDATE";
    read_health(&tx.query_one(if locked { lock } else { look }, &[&endpoint.0]).await?)
}

async fn write_delivery(
    tx: &Tx<'_>,
    claimed: &Claimed,
    next: Next,
    unknown: bool,
    now: Timestamp,
) -> Result<bool> {
    let written = match next {
        // The studio has it, whoever holds the lease now.
        Next::Delivered => {
            let sql = "UPDATE delivery SET state = 'delivered', finished_at = $2, claimed_at = NULL, unknown = false,
                              attempts = attempts + 1
                        WHERE delivery_id = $1 AND state IN ('waiting', 'given_up')";
            tx.execute(sql, &[&claimed.delivery_id, &At(now)]).await?
        }
        Next::Again { at, counts } => {
            let sql = "UPDATE delivery SET next_attempt_at = $3, claimed_at = NULL, unknown = unknown OR $4,
                              attempts = attempts + $5
                        WHERE delivery_id = $1 AND claims = $2 AND state = 'waiting' AND claimed_at IS NOT NULL";
            let more = i32::from(counts);
            tx.execute(sql, &[&claimed.delivery_id, &claimed.claim, &At(at), &unknown, &more]).await?
        }
        Next::GivenUp => {
            let sql = "UPDATE delivery SET state = 'given_up', finished_at = $3, claimed_at = NULL,
                              unknown = unknown OR $4, attempts = attempts + 1
                        WHERE delivery_id = $1 AND claims = $2 AND state = 'waiting' AND claimed_at IS NOT NULL";
            tx.execute(sql, &[&claimed.delivery_id, &claimed.claim, &At(now), &unknown]).await?
        }
    };
    Ok(written > 0)
}

async fn write_attempt(tx: &Tx<'_>, claimed: &Claimed, attempt: &Attempt) -> Result<()> {
    // An attempt that was believed to be abandoned has ended after all.
    let sql = "INSERT INTO delivery_attempt AS a (delivery_id, claim, at, took_ms, outcome, status, detail)
               VALUES ($1, $2, $3, $4, $5, $6, $7)
               ON CONFLICT (delivery_id, claim) DO UPDATE
                  SET at = EXCLUDED.at, took_ms = EXCLUDED.took_ms, outcome = EXCLUDED.outcome,
                      status = EXCLUDED.status, detail = EXCLUDED.detail
                WHERE a.outcome = 'abandoned'";
    let detail = storable(&attempt.detail, DETAIL_CHARS_MAX);
    let status = attempt.status.map(i32::from);
    let outcome = attempt.outcome.as_str();
    let parameters: crate::client::Params<'_> = &[
        &claimed.delivery_id,
        &claimed.claim,
        &At(attempt.at),
        &attempt.took_ms,
        &outcome,
        &status,
        &detail.as_ref(),
    ];
    tx.execute(sql, parameters).await?;
    Ok(())
}

/// Makes the first that is unfinished in the line due. The endpoint's row is locked, so nobody joins meanwhile.
async fn move_line(tx: &Tx<'_>, finished: i64, now: Timestamp) -> Result<()> {
    let row =
        tx.query_one("SELECT endpoint_id, line FROM delivery WHERE delivery_id = $1", &[&finished]).await?;
    let (endpoint, line): (i32, Option<Uuid>) = (row.try_get(0)?, row.try_get(1)?);
    let sql = "UPDATE delivery SET state = 'waiting', next_attempt_at = $3
                WHERE state = 'behind' AND delivery_id = (
                  SELECT delivery_id FROM delivery
                   WHERE endpoint_id = $1 AND line = $2 AND state IN ('waiting', 'behind')
                   ORDER BY position LIMIT 1)";
    tx.execute(sql, &[&endpoint, &line, &At(now)]).await?;
    Ok(())
}

async fn write_health(tx: &Tx<'_>, endpoint: EndpointId, health: Health) -> Result<()> {
    let number = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    let sql = "UPDATE endpoint SET failures = $2, openings = $3, width = $4, paused_until = $5
                WHERE endpoint_id = $1";
    let paused_until = health.paused_until.map(At);
    let (failures, openings) = (number(health.failures), number(health.openings));
    let width = health.width.map(number);
    tx.execute(sql, &[&endpoint.0, &failures, &openings, &width, &paused_until]).await?;
    Ok(())
}

async fn disable_gone(tx: &Tx<'_>, claimed: &Claimed, now: Timestamp) -> Result<()> {
    let sql =
        "UPDATE endpoint SET disabled = 'gone', disabled_at = $2 WHERE endpoint_id = $1 AND disabled IS NULL";
    if tx.execute(sql, &[&claimed.endpoint.0, &At(now)]).await? > 0 {
        let reason = format!("it answered 410 to {}", claimed.webhook_id);
        let disabled = Operation {
            kind: "endpoint_disabled",
            endpoint: claimed.endpoint,
            delivery_id: None,
            actor: DISPATCHER,
            reason: &reason,
            detail: none(),
        };
        record_in_tx(tx, &disabled).await?;
    }
    Ok(())
}
