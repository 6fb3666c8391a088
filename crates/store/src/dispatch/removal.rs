//! What is left of an endpoint that was removed. Nothing waits for it for ever: what it has not got is given up, in sight of
//! everybody, and a person hands it on to the endpoints that are there then. Where a removed endpoint comes back, which
//! only the configuration's can, so does what it had not got.

use std::collections::BTreeMap;

use matchpurse_domain::time::Timestamp;
use uuid::Uuid;

use super::fan_out::{New, line, make_in_tx};
use super::grants::{grant_of, settle_in_tx};
use super::{Endpoint, EndpointId};
use crate::redemptions::Audience;
use crate::time::At;
use crate::{Client, Result, Tx};

/// How many deliveries change in one transaction.
const AT_ONCE: i64 = 500;

/// Why a delivery ended without having been tried to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// Its endpoint was removed.
    EndpointRemoved,
    /// The endpoints that are there now got it.
    HandedOn,
}

impl Because {
    /// The word for it in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EndpointRemoved => "endpoint_removed",
            Self::HandedOn => "handed_on",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::EndpointRemoved, Self::HandedOn].into_iter().find(|because| because.as_str() == text)
    }
}

/// What of an endpoint was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftBehind {
    /// The endpoint's name.
    pub endpoint: String,
    /// How many deliveries; there may be more.
    pub deliveries: u64,
}

/// Gives up deliveries to one removed endpoint that has any left, but for what is being sent to it at this moment; rewards
/// that they tell of have failed then. None when no endpoint has.
///
/// # Errors
/// [`crate::Error`]; then nothing is written.
pub async fn give_up_removed(client: &mut Client, now: Timestamp) -> Result<Option<LeftBehind>> {
    // Most looks end here: there are few removed endpoints, and each has nothing in either index.
    let look = "SELECT endpoint_id FROM endpoint e
                 WHERE disabled = 'removed'
                   AND (EXISTS (SELECT FROM delivery d
                                 WHERE d.endpoint_id = e.endpoint_id AND d.state = 'waiting'
                                   AND (d.claimed_at IS NULL OR d.next_attempt_at <= $1))
                        OR EXISTS (SELECT FROM delivery d
                                    WHERE d.endpoint_id = e.endpoint_id AND d.state = 'behind'))
                 ORDER BY endpoint_id LIMIT 1";
    let Some(row) = client.query_opt(look, &[&At(now)]).await? else { return Ok(None) };
    let endpoint: i32 = row.try_get(0)?;
    let tx = client.begin().await?;
    // It may just be coming back.
    let lock = "SELECT name FROM endpoint WHERE endpoint_id = $1 AND disabled = 'removed' FOR NO KEY UPDATE";
    let rows = tx.query(lock, &[&endpoint]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let name = row.try_get(0)?;
    let sql = "WITH left_behind AS MATERIALIZED (
                 SELECT delivery_id, claims, claimed_at FROM delivery
                  WHERE delivery_id = ANY (ARRAY (
                          (SELECT delivery_id FROM delivery
                            WHERE endpoint_id = $1 AND state = 'waiting'
                              AND (claimed_at IS NULL OR next_attempt_at <= $2)
                            ORDER BY next_attempt_at LIMIT $3)
                          UNION ALL
                          (SELECT delivery_id FROM delivery
                            WHERE endpoint_id = $1 AND state = 'behind' ORDER BY delivery_id LIMIT $3)))
                    AND (state = 'behind' OR state = 'waiting' AND (claimed_at IS NULL OR next_attempt_at <= $2))
                    FOR UPDATE SKIP LOCKED),
               abandoned AS (
                 INSERT INTO delivery_attempt (delivery_id, claim, at, outcome)
                 SELECT delivery_id, claims, claimed_at, 'abandoned' FROM left_behind
                  WHERE claimed_at IS NOT NULL ORDER BY delivery_id
                 ON CONFLICT (delivery_id, claim) DO NOTHING)
               UPDATE delivery AS d
                  SET state = 'given_up', because = 'endpoint_removed', finished_at = $2, claimed_at = NULL,
                      unknown = d.unknown OR l.claimed_at IS NOT NULL
                 FROM left_behind l WHERE d.delivery_id = l.delivery_id
               RETURNING d.webhook_id";
    let rows = tx.query(sql, &[&endpoint, &At(now), &AT_ONCE]).await?;
    let notices: Vec<Uuid> = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<_>>()?;
    let grants = lock_grants(&tx, &notices).await?;
    let sql = "UPDATE reward_grant SET state = 'failed', updated_at = now()
                WHERE grant_id = ANY ($1) AND state IN ('granted', 'delivering')";
    tx.execute(sql, &[&grants.keys().copied().collect::<Vec<_>>()]).await?;
    tx.commit().await?;
    let deliveries = u64::try_from(notices.len()).unwrap_or(u64::MAX);
    Ok((deliveries > 0).then_some(LeftBehind { endpoint: name, deliveries }))
}

/// Makes due what was given up because its endpoint was removed, where the endpoint is there again.
///
/// # Errors
/// [`crate::Error`]; what was not done is done by the next one who brings the endpoints.
pub(super) async fn bring_back(client: &mut Client, now: Timestamp) -> Result<u64> {
    let mut all = 0;
    loop {
        let tx = client.begin().await?;
        let lock = "SELECT endpoint_id, ordered FROM endpoint e
                     WHERE disabled IS DISTINCT FROM 'removed'
                       AND EXISTS (SELECT FROM delivery d
                                    WHERE d.because = 'endpoint_removed' AND d.endpoint_id = e.endpoint_id
                                      AND d.state = 'given_up')
                     ORDER BY endpoint_id LIMIT 1 FOR NO KEY UPDATE";
        let rows = tx.query(lock, &[]).await?;
        let Some(row) = rows.first() else { return Ok(all) };
        let (endpoint, ordered): (i32, bool) = (row.try_get(0)?, row.try_get(1)?);
        let sql = "WITH back AS MATERIALIZED (
                     SELECT delivery_id, line, position FROM delivery
                      WHERE because = 'endpoint_removed' AND endpoint_id = $1 AND state = 'given_up'
                      ORDER BY position LIMIT $4 FOR UPDATE)
                   UPDATE delivery AS d
                      SET because = NULL, finished_at = NULL, next_attempt_at = $3,
                          state = CASE WHEN $2 AND d.line IS NOT NULL
                                        AND (EXISTS (SELECT FROM delivery o
                                                      WHERE o.endpoint_id = d.endpoint_id AND o.line = d.line
                                                        AND o.state IN ('waiting', 'behind'))
                                             OR EXISTS (SELECT FROM back b
                                                         WHERE b.line = d.line AND b.position < d.position))
                                       THEN 'behind' ELSE 'waiting' END
                     FROM back WHERE d.delivery_id = back.delivery_id
                   RETURNING d.webhook_id";
        let rows = tx.query(sql, &[&endpoint, &ordered, &At(now), &AT_ONCE]).await?;
        let notices: Vec<Uuid> = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<_>>()?;
        let grants = lock_grants(&tx, &notices).await?;
        let (ids, notices_of): (Vec<Uuid>, Vec<Uuid>) = grants.into_iter().unzip();
        let sql = "UPDATE reward_grant SET state = 'delivering', updated_at = now()
                     FROM unnest($1::uuid[], $2::uuid[]) AS told (id, notice)
                    WHERE grant_id = id AND state = 'failed'
                      AND NOT EXISTS (SELECT FROM delivery WHERE webhook_id = notice AND state = 'given_up')";
        tx.execute(sql, &[&ids, &notices_of]).await?;
        tx.commit().await?;
        all += u64::try_from(notices.len()).unwrap_or(u64::MAX);
    }
}

/// The grants of which these notices tell, locked in the order of their ids, each with its notice.
async fn lock_grants(tx: &Tx<'_>, notices: &[Uuid]) -> Result<BTreeMap<Uuid, Uuid>> {
    let sql = "SELECT webhook_id, kind, subject FROM outbox WHERE webhook_id = ANY ($1)";
    let mut grants = BTreeMap::new();
    for row in &tx.query(sql, &[&notices]).await? {
        if let Some(grant) = grant_of(row.try_get("kind")?, row.try_get("subject")?) {
            grants.insert(grant, row.try_get("webhook_id")?);
        }
    }
    let ids: Vec<Uuid> = grants.keys().copied().collect();
    let sql = "SELECT FROM reward_grant WHERE grant_id = ANY ($1) ORDER BY grant_id FOR NO KEY UPDATE";
    tx.query(sql, &[&ids]).await?;
    Ok(grants)
}

/// A delivery to an endpoint that was removed, locked.
pub(super) struct Left<'l> {
    pub(super) delivery_id: i64,
    pub(super) webhook_id: Uuid,
    pub(super) position: i64,
    pub(super) source: &'l str,
    pub(super) kind: &'l str,
    pub(super) subject: &'l str,
}

/// Gives it to those of `endpoints` that want it and have not got it; those that want order are locked. The dispatcher
/// ends it, and says what that means for a reward. Returns the names of all that want it; where there are none, nothing
/// is done.
pub(super) async fn hand_on_in_tx(
    tx: &Tx<'_>,
    left: &Left<'_>,
    endpoints: &[Endpoint],
    now: Timestamp,
) -> Result<Vec<String>> {
    let wants = |endpoint: &&Endpoint| endpoint.wants(left.source, left.kind, left.subject);
    let wanting: Vec<&Endpoint> = endpoints.iter().filter(wants).collect();
    if wanting.is_empty() {
        return Ok(Vec::new());
    }
    let new = |endpoint: &&Endpoint| New {
        endpoint: endpoint.id,
        webhook_id: left.webhook_id,
        position: left.position,
        line: endpoint.spec.ordered.then(|| line(left.source, left.subject)),
    };
    make_in_tx(tx, &wanting.iter().map(new).collect::<Vec<_>>(), now).await?;
    let sql = "UPDATE delivery SET state = 'given_up', because = 'handed_on', claimed_at = NULL,
                      finished_at = coalesce(finished_at, $2)
                WHERE delivery_id = $1";
    tx.execute(sql, &[&left.delivery_id, &At(now)]).await?;
    Ok(wanting.iter().map(|endpoint| endpoint.spec.name.to_string()).collect())
}

/// Ends deliveries that a person has handed on: rewards go by what became of the others from now on. Returns how many
/// there were.
///
/// # Errors
/// [`crate::Error`]; what was not done is done the next time.
pub async fn end_handed_on(client: &mut Client, audience: &Audience, now: Timestamp) -> Result<u64> {
    let look = "SELECT d.delivery_id, d.webhook_id, o.kind, o.source, o.subject
                  FROM delivery d JOIN outbox o USING (webhook_id)
                 WHERE d.because = 'handed_on' AND d.state = 'given_up' ORDER BY d.delivery_id LIMIT $1";
    let rows = client.query(look, &[&AT_ONCE]).await?;
    let mut ended = 0;
    // Each for itself: it may lock all that a player has in a contest.
    for row in &rows {
        let delivery_id: i64 = row.try_get("delivery_id")?;
        let tx = client.begin().await?;
        let sql = "UPDATE delivery SET state = 'withdrawn'
                    WHERE delivery_id = $1 AND because = 'handed_on' AND state = 'given_up'";
        if tx.execute(sql, &[&delivery_id]).await? == 0 {
            continue;
        }
        if let Some(grant) = grant_of(row.try_get("kind")?, row.try_get("subject")?) {
            let callback = audience.of(row.try_get("source")?);
            settle_in_tx(&tx, grant, row.try_get("webhook_id")?, callback, now).await?;
        }
        tx.commit().await?;
        ended += 1;
    }
    Ok(ended)
}

/// Locks an endpoint with all those that want order, in their order, and tells whether it is removed.
pub(super) async fn is_removed_in_tx(tx: &Tx<'_>, endpoint: EndpointId) -> Result<bool> {
    let sql = "SELECT endpoint_id = $1 AND coalesce(disabled = 'removed', false) FROM endpoint
                WHERE ordered OR endpoint_id = $1 ORDER BY endpoint_id FOR NO KEY UPDATE";
    let rows = tx.query(sql, &[&endpoint.0]).await?;
    rows.iter().try_fold(false, |removed, row| Ok(removed || row.try_get::<_, bool>(0)?))
}
