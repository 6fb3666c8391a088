//! What people do to endpoints and deliveries, each recorded with who and why.

use matchpurse_domain::time::Timestamp;
use matchpurse_domain::webhook::{EndpointName, TargetUrl};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::endpoints::{endpoints_in_tx, present_endpoints_in_tx, read_spec};
use super::removal::{Left, hand_on_in_tx, is_removed_in_tx};
use super::{Endpoint, EndpointId, EndpointSpec, grants};
use crate::outbox::{Notice, OUTBOX_CHANNEL, append_in_tx};
use crate::time::At;
use crate::{Result, Tx};

/// Who disables an endpoint that answers 410.
pub(super) const DISPATCHER: &str = "dispatcher";

/// What a change of an endpoint came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It is done and recorded.
    Done,
    /// It was so already.
    Unchanged,
    /// There is no such endpoint, or it was removed.
    Unknown,
    /// The endpoint is the configuration's: it is changed there.
    Configured,
}

/// What an operator's retry came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retried {
    /// It is due now. One that was given up has its whole schedule again.
    Done,
    /// It comes when those before it in its line have ended.
    Behind,
    /// It is being sent at this moment.
    InFlight,
    /// The endpoint has it already.
    Delivered,
    /// What it says was given has been taken back, and the endpoint has been told so.
    TakenBack,
    /// Its endpoint was removed: those that are there now and want it get it, or have it.
    HandedOn,
    /// Its endpoint was removed, and a person has handed it on before.
    HandedOnBefore,
    /// Its endpoint was removed, and none that is there now wants it.
    Unwanted,
    /// There is no such delivery.
    Unknown,
}

pub(super) struct Operation<'o> {
    pub(super) kind: &'static str,
    pub(super) endpoint: EndpointId,
    pub(super) delivery_id: Option<i64>,
    pub(super) actor: &'o str,
    pub(super) reason: &'o str,
    /// What exactly, a JSON object.
    pub(super) detail: Value,
}

pub(super) async fn record_in_tx(tx: &Tx<'_>, operation: &Operation<'_>) -> Result<()> {
    let sql = "INSERT INTO dispatch_operation (kind, endpoint_id, delivery_id, actor, reason, detail)
               VALUES ($1, $2, $3, $4, $5, $6)";
    let Operation { kind, endpoint, delivery_id, actor, reason, detail } = operation;
    tx.execute(sql, &[kind, &endpoint.0, delivery_id, actor, reason, detail]).await?;
    Ok(())
}

/// Adds an endpoint with its secrets. It gets the notices that are written from now on. None when the name is or was
/// another's.
///
/// # Errors
/// [`crate::Error`].
pub async fn add_in_tx(
    tx: &Tx<'_>,
    spec: &EndpointSpec,
    secrets: &[SecretString],
    actor: &str,
    reason: &str,
) -> Result<Option<EndpointId>> {
    let sql = "INSERT INTO endpoint (name, origin, url, events, sources, ordered, status_url)
               VALUES ($1, 'api', $2, $3, $4, $5, $6) ON CONFLICT (name) DO NOTHING RETURNING endpoint_id";
    let (name, url) = (spec.name.as_str(), spec.url.expose());
    let status_url = spec.status_url.as_ref().map(TargetUrl::expose);
    let (events, sources) = (spec.event_texts(), spec.source_texts());
    let parameters: crate::client::Params<'_> = &[&name, &url, &events, &sources, &spec.ordered, &status_url];
    let rows = tx.query(sql, parameters).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let endpoint = EndpointId(row.try_get(0)?);
    insert_secrets(tx, endpoint, secrets).await?;
    let detail = Value::Object(members(spec).into_iter().collect());
    record_in_tx(
        tx,
        &Operation { kind: "endpoint_added", endpoint, delivery_id: None, actor, reason, detail },
    )
    .await?;
    Ok(Some(endpoint))
}

/// Changes what an endpoint of the API wants; its name in `spec` says which.
///
/// # Errors
/// [`crate::Error`].
pub async fn change_in_tx(
    tx: &Tx<'_>,
    spec: &EndpointSpec,
    actor: &str,
    reason: &str,
    now: Timestamp,
) -> Result<Changed> {
    let Some(found) = lock(tx, &spec.name).await? else { return Ok(Changed::Unknown) };
    if found.configured {
        return Ok(Changed::Configured);
    }
    let look = "SELECT name, url, events, sources, ordered, status_url FROM endpoint WHERE endpoint_id = $1";
    let before = read_spec(&tx.query_one(look, &[&found.endpoint.0]).await?)?;
    let sql = "UPDATE endpoint SET url = $2, events = $3, sources = $4, ordered = $5, status_url = $6
                WHERE endpoint_id = $1
                  AND (url, events, sources, ordered, status_url) IS DISTINCT FROM ($2, $3, $4, $5, $6)";
    let status_url = spec.status_url.as_ref().map(TargetUrl::expose);
    let (url, events, sources) = (spec.url.expose(), spec.event_texts(), spec.source_texts());
    let parameters: crate::client::Params<'_> =
        &[&found.endpoint.0, &url, &events, &sources, &spec.ordered, &status_url];
    if tx.execute(sql, parameters).await? == 0 {
        return Ok(Changed::Unchanged);
    }
    if !spec.ordered {
        // The row is locked, so nothing joins a line meanwhile.
        let sql = "UPDATE delivery SET state = 'waiting', next_attempt_at = $2
                    WHERE endpoint_id = $1 AND state = 'behind'";
        tx.execute(sql, &[&found.endpoint.0, &At(now)]).await?;
    }
    let (kind, detail) = ("endpoint_changed", differences(&before, spec));
    record_in_tx(tx, &Operation { kind, endpoint: found.endpoint, delivery_id: None, actor, reason, detail })
        .await?;
    Ok(Changed::Done)
}

/// Stops sending to an endpoint, of the configuration or not; what is for it waits, also what is still to come.
///
/// # Errors
/// [`crate::Error`].
pub async fn disable_in_tx(
    tx: &Tx<'_>,
    name: &EndpointName,
    actor: &str,
    reason: &str,
    now: Timestamp,
) -> Result<Changed> {
    let Some(found) = lock(tx, name).await? else { return Ok(Changed::Unknown) };
    let sql = "UPDATE endpoint SET disabled = 'operator', disabled_at = $2
                WHERE endpoint_id = $1 AND disabled IS DISTINCT FROM 'operator'";
    if tx.execute(sql, &[&found.endpoint.0, &At(now)]).await? == 0 {
        return Ok(Changed::Unchanged);
    }
    done(tx, "endpoint_disabled", found.endpoint, actor, reason).await
}

/// Sends to an endpoint again, as to one that is well: also where it is only paused by its circuit breaker.
///
/// # Errors
/// [`crate::Error`].
pub async fn enable_in_tx(tx: &Tx<'_>, name: &EndpointName, actor: &str, reason: &str) -> Result<Changed> {
    let Some(found) = lock(tx, name).await? else { return Ok(Changed::Unknown) };
    let sql = "UPDATE endpoint SET disabled = NULL, disabled_at = NULL, failures = 0, openings = 0, width = NULL,
                      paused_until = NULL
                WHERE endpoint_id = $1 AND (disabled IS NOT NULL OR openings > 0 OR paused_until IS NOT NULL)";
    if tx.execute(sql, &[&found.endpoint.0]).await? == 0 {
        return Ok(Changed::Unchanged);
    }
    wake(tx);
    done(tx, "endpoint_enabled", found.endpoint, actor, reason).await
}

/// Removes an endpoint of the API: nothing is for it any more, and its secrets go. What it has had stays to be seen; what
/// it has not got is given up by the dispatcher, which is woken.
///
/// # Errors
/// [`crate::Error`].
pub async fn remove_in_tx(
    tx: &Tx<'_>,
    name: &EndpointName,
    actor: &str,
    reason: &str,
    now: Timestamp,
) -> Result<Changed> {
    let Some(found) = lock(tx, name).await? else { return Ok(Changed::Unknown) };
    if found.configured {
        return Ok(Changed::Configured);
    }
    tx.execute("DELETE FROM endpoint_secret WHERE endpoint_id = $1", &[&found.endpoint.0]).await?;
    let sql = "UPDATE endpoint SET disabled = 'removed', disabled_at = $2 WHERE endpoint_id = $1";
    tx.execute(sql, &[&found.endpoint.0, &At(now)]).await?;
    wake(tx);
    done(tx, "endpoint_removed", found.endpoint, actor, reason).await
}

/// Makes a delivery due now that was given up, or whose next attempt is far. It keeps its `webhook-id`, and a grant
/// that had failed is on its way again. What was for an endpoint that was removed is handed on to those that want it now.
///
/// # Errors
/// [`crate::Error`].
pub async fn retry_in_tx(
    tx: &Tx<'_>,
    delivery_id: i64,
    actor: &str,
    reason: &str,
    now: Timestamp,
) -> Result<Retried> {
    let place = "SELECT d.endpoint_id, d.line, d.webhook_id, d.position, o.kind, o.source, o.subject,
                        coalesce(e.disabled = 'removed', false) AS removed
                   FROM delivery d JOIN outbox o USING (webhook_id) JOIN endpoint e USING (endpoint_id)
                  WHERE d.delivery_id = $1";
    let rows = tx.query(place, &[&delivery_id]).await?;
    let Some(row) = rows.first() else { return Ok(Retried::Unknown) };
    let endpoint = EndpointId(row.try_get("endpoint_id")?);
    let line: Option<Uuid> = row.try_get("line")?;
    // Endpoints come before deliveries.
    let removed = row.try_get("removed")? && is_removed_in_tx(tx, endpoint).await?;
    if line.is_some() && !removed {
        let sql = "SELECT FROM endpoint WHERE endpoint_id = $1 FOR NO KEY UPDATE";
        tx.query(sql, &[&endpoint.0]).await?;
    }
    let grant = grants::grant_of(row.try_get("kind")?, row.try_get("subject")?);
    let look = "SELECT state, claimed_at IS NOT NULL AND next_attempt_at > $2 AS in_flight,
                       coalesce(because = 'handed_on', false) AS handed_on
                  FROM delivery WHERE delivery_id = $1 FOR NO KEY UPDATE";
    let found = tx.query_one(look, &[&delivery_id, &At(now)]).await?;
    match found.try_get("state")? {
        "delivered" => return Ok(Retried::Delivered),
        _ if found.try_get("handed_on")? => return Ok(Retried::HandedOnBefore),
        "withdrawn" => return Ok(Retried::TakenBack),
        "behind" if !removed => return Ok(Retried::Behind),
        "waiting" if found.try_get("in_flight")? => return Ok(Retried::InFlight),
        // The notice of the reversal went on when this one was given up; it must not be the last word.
        "given_up" if grants::is_taken_back_in_tx(tx, grant).await? => return Ok(Retried::TakenBack),
        _ => {}
    }
    if removed {
        let left = Left {
            delivery_id,
            webhook_id: row.try_get("webhook_id")?,
            position: row.try_get("position")?,
            source: row.try_get("source")?,
            kind: row.try_get("kind")?,
            subject: row.try_get("subject")?,
        };
        let handed_to = hand_on_in_tx(tx, &left, &endpoints_in_tx(tx).await?, now).await?;
        if handed_to.is_empty() {
            return Ok(Retried::Unwanted);
        }
        retried_in_tx(tx, endpoint, delivery_id, actor, reason, json!({ "handed_to": handed_to })).await?;
        return Ok(Retried::HandedOn);
    }
    let sql = "UPDATE delivery AS d
                  SET next_attempt_at = $2, finished_at = NULL,
                      attempts = CASE WHEN d.state = 'given_up' THEN 0 ELSE d.attempts END,
                      state = CASE WHEN d.state = 'given_up' AND d.line IS NOT NULL AND EXISTS (
                                     SELECT FROM delivery other
                                      WHERE other.endpoint_id = d.endpoint_id AND other.line = d.line
                                        AND other.state = 'waiting')
                                   THEN 'behind' ELSE 'waiting' END
                WHERE delivery_id = $1 RETURNING state";
    let behind = tx.query_one(sql, &[&delivery_id, &At(now)]).await?.try_get::<_, &str>(0)? == "behind";
    if let Some(grant) = grant {
        // What waits again has not been given, so there is nothing to tell the provider.
        grants::settle_in_tx(tx, grant, row.try_get("webhook_id")?, &[], now).await?;
    }
    retried_in_tx(tx, endpoint, delivery_id, actor, reason, none()).await?;
    Ok(if behind { Retried::Behind } else { Retried::Done })
}

async fn retried_in_tx(
    tx: &Tx<'_>,
    endpoint: EndpointId,
    delivery_id: i64,
    actor: &str,
    reason: &str,
    detail: Value,
) -> Result<()> {
    let kind = "delivery_retried";
    let retried = Operation { kind, endpoint, delivery_id: Some(delivery_id), actor, reason, detail };
    record_in_tx(tx, &retried).await?;
    wake(tx);
    Ok(())
}

/// Has the dispatcher hand out a notice again that no endpoint wanted when it was written, if one wants it now; it may be so
/// long ago that it is not kept. False when nobody wants it, or it was or will be handed out anyway.
///
/// # Errors
/// [`crate::Error`].
pub async fn hand_out_again_in_tx(tx: &Tx<'_>, notice: &Notice) -> Result<bool> {
    let wants = |endpoint: &Endpoint| endpoint.wants(notice.source.as_str(), notice.kind, &notice.subject);
    // Whoever comes here holds the grant, and endpoints come before it: so they are looked at, not locked.
    if !present_endpoints_in_tx(tx).await?.iter().any(wants) {
        return Ok(false);
    }
    let sql = "UPDATE outbox SET fanned_out_at = NULL
                WHERE webhook_id = $1 AND fanned_out_at IS NOT NULL AND body IS NULL";
    if tx.execute(sql, &[&notice.webhook_id()]).await? > 0 {
        wake(tx);
        return Ok(true);
    }
    let kept = tx.query("SELECT FROM outbox WHERE webhook_id = $1", &[&notice.webhook_id()]).await?;
    if kept.is_empty() {
        append_in_tx(tx, std::slice::from_ref(notice)).await?;
    }
    Ok(kept.is_empty())
}

struct Found {
    endpoint: EndpointId,
    configured: bool,
}

async fn lock(tx: &Tx<'_>, name: &EndpointName) -> Result<Option<Found>> {
    let sql = "SELECT endpoint_id, origin = 'configuration' AS configured FROM endpoint
                WHERE name = $1 AND disabled IS DISTINCT FROM 'removed' FOR NO KEY UPDATE";
    let rows = tx.query(sql, &[&name.as_str()]).await?;
    let found = |row: &tokio_postgres::Row| {
        Ok(Found {
            endpoint: EndpointId(row.try_get("endpoint_id")?),
            configured: row.try_get("configured")?,
        })
    };
    rows.first().map(found).transpose()
}

pub(super) async fn insert_secrets(
    tx: &Tx<'_>,
    endpoint: EndpointId,
    secrets: &[SecretString],
) -> Result<()> {
    let secrets: Vec<&str> = secrets.iter().map(|secret| secret.expose_secret()).collect();
    let sql = "INSERT INTO endpoint_secret (endpoint_id, secret) SELECT $1, s FROM unnest($2::text[]) AS s
               ON CONFLICT DO NOTHING";
    tx.execute(sql, &[&endpoint.0, &secrets]).await?;
    Ok(())
}

async fn done(
    tx: &Tx<'_>,
    kind: &'static str,
    endpoint: EndpointId,
    actor: &str,
    reason: &str,
) -> Result<Changed> {
    record_in_tx(tx, &Operation { kind, endpoint, delivery_id: None, actor, reason, detail: none() }).await?;
    Ok(Changed::Done)
}

/// The operation says all by itself.
pub(super) fn none() -> Value {
    Value::Object(Map::new())
}

/// What an endpoint wants, to be recorded: its URLs without what their queries may hold.
fn members(spec: &EndpointSpec) -> [(String, Value); 5] {
    [
        ("url".to_owned(), json!(spec.url.shown())),
        ("events".to_owned(), json!(spec.event_texts())),
        ("sources".to_owned(), json!(spec.source_texts())),
        ("ordered".to_owned(), json!(spec.ordered)),
        ("status_url".to_owned(), json!(spec.status_url.as_ref().map(TargetUrl::shown))),
    ]
}

/// What a change changes, to be recorded: each member from what to what.
fn differences(before: &EndpointSpec, after: &EndpointSpec) -> Value {
    let hidden = [("url", before.url != after.url), ("status_url", before.status_url != after.status_url)];
    let mut changed = Map::new();
    for ((name, from), (_, to)) in members(before).into_iter().zip(members(after)) {
        if from != to {
            changed.insert(name, json!({ "from": from, "to": to }));
        } else if hidden.contains(&(name.as_str(), true)) {
            changed.insert(name, json!("another query"));
        }
    }
    Value::Object(changed)
}

fn wake(tx: &Tx<'_>) {
    tx.tell(OUTBOX_CHANNEL);
}
