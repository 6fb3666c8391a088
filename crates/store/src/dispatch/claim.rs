use std::collections::BTreeSet;

use bytes::Bytes;
use matchpurse_domain::time::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{AttemptOutcome, EndpointId, grants};
use crate::time::At;
use crate::{Client, Result, Tx};

/// How many deliveries of an endpoint may be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// At most so many.
    pub most: u32,
    /// Whether its circuit breaker is half open: of all dispatchers one gets one delivery, and the endpoint is paused
    /// for the others until that has ended, or its lease has.
    pub probe: bool,
}

/// A delivery that the caller holds until the end of its lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The delivery.
    pub delivery_id: i64,
    /// Which of its claims this is.
    pub claim: i32,
    /// Where it goes.
    pub endpoint: EndpointId,
    /// What it is sent under, on every attempt and to every endpoint.
    pub webhook_id: Uuid,
    /// The source that it comes from.
    pub source: String,
    /// What happened.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// How many attempts of its schedule it has had.
    pub attempts: u32,
    /// It may have arrived already: the last answer did not come, or the last sender died.
    pub unknown: bool,
    /// Others may wait behind it.
    pub in_line: bool,
    /// It says that something was given which has been taken back, and the endpoint has not heard of it: it must not
    /// be sent but withdrawn, by [`super::withdraw`].
    pub taken_back: bool,
    /// Whether it finds out for all whether the endpoint is back.
    pub probe: bool,
    /// What is sent.
    pub body: Bytes,
    /// When the notice was written.
    pub written_at: Timestamp,
    /// The place in a trace that it goes on from, as W3C's `traceparent`.
    pub traceparent: Option<String>,
}

/// Takes deliveries that are due, the longest due first, for the time until `lease_until`.
///
/// # Errors
/// [`crate::Error`]; then nothing is held, or it is given back when the lease ends.
pub async fn claim(
    client: &mut Client,
    wanted: &[Wanted],
    now: Timestamp,
    lease_until: Timestamp,
) -> Result<Vec<Claimed>> {
    let tx = client.begin().await?;
    let probes = lock_probes(&tx, wanted, now).await?;
    let allowed = |one: &&Wanted| one.most > 0 && (!one.probe || probes.contains(&one.endpoint));
    let most = |one: &Wanted| if one.probe { 1 } else { i64::from(one.most) };
    let endpoints: Vec<i32> = wanted.iter().filter(allowed).map(|one| one.endpoint.0).collect();
    let limits: Vec<i64> = wanted.iter().filter(allowed).map(most).collect();
    if endpoints.is_empty() {
        return Ok(Vec::new());
    }
    // An array and not a join: one plan serves all claims, and a planner that expects many rows would read the table.
    let sql = "WITH due AS MATERIALIZED (
                 SELECT d.* FROM unnest($1::integer[], $2::bigint[]) AS wanted (endpoint, most)
                  CROSS JOIN LATERAL (
                    SELECT delivery_id, claims AS last_claim, claimed_at AS last_claimed_at
                      FROM delivery
                     WHERE endpoint_id = wanted.endpoint AND state = 'waiting' AND next_attempt_at <= $3
                     ORDER BY next_attempt_at, position LIMIT wanted.most
                       FOR UPDATE SKIP LOCKED) AS d),
               taken AS (
                 UPDATE delivery AS d
                    SET claims = d.claims + 1, claimed_at = $3, next_attempt_at = $4,
                        unknown = d.unknown OR d.claimed_at IS NOT NULL
                  WHERE d.delivery_id = ANY (ARRAY (SELECT delivery_id FROM due))
                 RETURNING d.*)
               SELECT t.delivery_id, t.claims, t.endpoint_id, t.webhook_id, t.attempts, t.unknown, t.line,
                      due.last_claim, due.last_claimed_at, o.source, o.kind, o.subject, o.body, o.created_at AS written_at,
                      o.traceparent
                 FROM taken t JOIN due USING (delivery_id) JOIN outbox o ON o.webhook_id = t.webhook_id
                ORDER BY t.position, t.endpoint_id";
    let rows = tx.query(sql, &[&endpoints, &limits, &At(now), &At(lease_until)]).await?;
    record_abandoned(&tx, &rows).await?;
    let mut claimed = rows.iter().map(|row| read(row, &probes)).collect::<Result<Vec<_>>>()?;
    hold_back(&tx, &mut claimed, now).await?;
    let probed: Vec<i32> =
        claimed.iter().filter(|one| one.probe && !one.taken_back).map(|one| one.endpoint.0).collect();
    if !probed.is_empty() {
        let sql = "UPDATE endpoint SET paused_until = $2 WHERE endpoint_id = ANY ($1)";
        tx.execute(sql, &[&probed, &At(lease_until)]).await?;
    }
    tx.commit().await?;
    Ok(claimed)
}

/// What was claimed and must not be sent now: notices of grants that have been taken back, and those of reversals
/// before the grants' own have ended, which are not the caller's any more.
async fn hold_back(tx: &Tx<'_>, claimed: &mut Vec<Claimed>, now: Timestamp) -> Result<()> {
    let grant = |one: &Claimed| grants::grant_of(&one.kind, &one.subject);
    let grants: Vec<Uuid> = claimed.iter().filter_map(grant).collect();
    let taken_back = grants::begin_in_tx(tx, &grants).await?;
    if !taken_back.is_empty() {
        let of_these = |one: &&Claimed| grant(one).is_some_and(|grant| taken_back.contains(&grant));
        let told: Vec<i64> = claimed.iter().filter(of_these).map(|one| one.delivery_id).collect();
        let unheard = grants::unheard_in_tx(tx, &told).await?;
        // Nobody sends it; who dies before it is withdrawn leaves it to the next one, and no trace of an attempt.
        let sql = "UPDATE delivery SET claimed_at = NULL WHERE delivery_id = ANY ($1)";
        tx.execute(sql, &[&unheard.iter().copied().collect::<Vec<_>>()]).await?;
        for one in claimed.iter_mut().filter(|one| unheard.contains(&one.delivery_id)) {
            one.taken_back = true;
        }
    }
    let reversals = claimed.iter().filter(|one| grants::is_reversal(&one.kind));
    let reversals: Vec<i64> = reversals.map(|one| one.delivery_id).collect();
    let early = grants::too_early_in_tx(tx, &reversals, now).await?;
    if !early.is_empty() {
        let sql = "UPDATE delivery SET claimed_at = NULL, claims = claims - 1, next_attempt_at = until
                     FROM unnest($1::bigint[], $2::timestamptz[]) AS early (id, until) WHERE delivery_id = id";
        let (ids, until): (Vec<i64>, Vec<At>) = early.iter().map(|(id, until)| (*id, At(*until))).unzip();
        tx.execute(sql, &[&ids, &until]).await?;
        let early: BTreeSet<i64> = early.into_keys().collect();
        claimed.retain(|one| !early.contains(&one.delivery_id));
    }
    Ok(())
}

/// The endpoints among those to probe that nobody else probes.
async fn lock_probes(tx: &Tx<'_>, wanted: &[Wanted], now: Timestamp) -> Result<Vec<EndpointId>> {
    let probes: Vec<i32> = wanted.iter().filter(|one| one.probe).map(|one| one.endpoint.0).collect();
    if probes.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT endpoint_id FROM endpoint
                WHERE endpoint_id = ANY ($1) AND openings > 0 AND (paused_until IS NULL OR paused_until <= $2)
                ORDER BY endpoint_id FOR NO KEY UPDATE SKIP LOCKED";
    let rows = tx.query(sql, &[&probes, &At(now)]).await?;
    rows.iter().map(|row| Ok(EndpointId(row.try_get(0)?))).collect()
}

/// A delivery that was somebody's until its lease ran out: that attempt gets its line now.
async fn record_abandoned(tx: &Tx<'_>, rows: &[Row]) -> Result<()> {
    let mut left: (Vec<i64>, Vec<i32>, Vec<At>) = Default::default();
    for row in rows {
        if let Some(at) = row.try_get("last_claimed_at")? {
            left.0.push(row.try_get("delivery_id")?);
            left.1.push(row.try_get("last_claim")?);
            left.2.push(at);
        }
    }
    if left.0.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO delivery_attempt (delivery_id, claim, at, outcome)
               SELECT d, c, at, $4 FROM unnest($1::bigint[], $2::integer[], $3::timestamptz[]) AS left_over (d, c, at)
                ORDER BY d
               ON CONFLICT (delivery_id, claim) DO NOTHING";
    tx.execute(sql, &[&left.0, &left.1, &left.2, &AttemptOutcome::Abandoned.as_str()]).await?;
    Ok(())
}

fn read(row: &Row, probes: &[EndpointId]) -> Result<Claimed> {
    let endpoint = EndpointId(row.try_get("endpoint_id")?);
    let body: Vec<u8> = row.try_get("body")?;
    Ok(Claimed {
        delivery_id: row.try_get("delivery_id")?,
        claim: row.try_get("claims")?,
        endpoint,
        webhook_id: row.try_get("webhook_id")?,
        source: row.try_get("source")?,
        kind: row.try_get("kind")?,
        subject: row.try_get("subject")?,
        attempts: u32::try_from(row.try_get::<_, i32>("attempts")?).unwrap_or(0),
        unknown: row.try_get("unknown")?,
        in_line: row.try_get::<_, Option<Uuid>>("line")?.is_some(),
        taken_back: false,
        probe: probes.contains(&endpoint),
        body: body.into(),
        written_at: row.try_get::<_, At>("written_at")?.0,
        traceparent: row.try_get("traceparent")?,
    })
}
