//! Deliveries page by page, and what else belongs to them. Whatever is asked for, a page costs no more than looking at
//! [`LOOKED_AT_MAX`] deliveries, so a rare condition over a long history gives short pages and not a long wait.

use std::collections::BTreeMap;

use matchpurse_domain::time::Timestamp;
use postgres_types::ToSql;
use tokio_postgres::Row;
use uuid::Uuid;

use super::list::{DELIVERY, read_attempt, read_delivery};
use super::{AttemptLine, DeliveryLine, DeliveryState, EndpointId};
use crate::time::At;
use crate::words::word;
use crate::{Client, Result, Tx};

/// How many deliveries one page looks at, where no index has what is asked for: each costs a look at its notice.
const LOOKED_AT_MAX: i64 = 2_000;

/// How many attempts of one delivery are shown: many times its schedule.
const ATTEMPTS_MAX: i64 = 200;

/// Where the page begins, how many rows it has, how many it looks at.
const FIRST_PARAMETERS: usize = 3;

/// Which deliveries are wanted; none stands for any.
#[derive(Debug, Clone, Default)]
pub struct PageFilter<'f> {
    /// Those to this endpoint, by its name.
    pub endpoint: Option<&'f str>,
    /// Those in this state.
    pub state: Option<DeliveryState>,
    /// Those of notices of this kind.
    pub kind: Option<&'f str>,
    /// Those of notices from this source.
    pub source: Option<&'f str>,
    /// Those about this subject of the source, which must be given too.
    pub subject: Option<&'f str>,
    /// Those of this notice.
    pub webhook_id: Option<Uuid>,
    /// Those made before this one, by number: the last that the page before looked at.
    pub before: Option<i64>,
}

/// A page of deliveries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliveryPage {
    /// The newest first.
    pub lines: Vec<DeliveryLine>,
    /// The number behind which the next page begins; none at the end. A page may be short, even empty, before it.
    pub next: Option<i64>,
}

/// A notice as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeLine {
    /// What it is sent under.
    pub webhook_id: Uuid,
    /// What happened.
    pub kind: String,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When it was written.
    pub created_at: Timestamp,
    /// When the endpoints that wanted it each got a delivery; none while the dispatcher has not come to it.
    pub handed_out_at: Option<Timestamp>,
}

/// The parameters of conditions, behind the [`FIRST_PARAMETERS`] of every page.
struct Conditions<'p> {
    parameters: Vec<&'p (dyn ToSql + Sync)>,
}

impl<'p> Conditions<'p> {
    fn place(&mut self, parameter: &'p (dyn ToSql + Sync)) -> String {
        self.parameters.push(parameter);
        format!("${}", FIRST_PARAMETERS + self.parameters.len())
    }
}

/// Up to `limit` deliveries, the newest first.
///
/// # Errors
/// [`crate::Error`].
pub async fn page_of_deliveries(
    client: &Client,
    filter: &PageFilter<'_>,
    limit: u32,
) -> Result<DeliveryPage> {
    let before = filter.before.unwrap_or(i64::MAX);
    // One more than is shown tells whether a page follows.
    let one_more = i64::from(limit).saturating_add(1);
    let mut made = Conditions { parameters: Vec::new() };
    // What indexes of deliveries know, and what only their notices do.
    let mut own = String::from("x.delivery_id < $1");
    let mut of_notice = String::from("true");
    if let Some(state) = filter.state {
        // A word of ours, written out: the indexes are of single states.
        own.push_str(&format!(" AND x.state = '{}'", state.as_str()));
    }
    if let Some(name) = &filter.endpoint {
        let place = made.place(name);
        own.push_str(&format!(
            " AND x.endpoint_id = (SELECT endpoint_id FROM endpoint WHERE name = {place})"
        ));
    }
    if let Some(webhook_id) = &filter.webhook_id {
        let place = made.place(webhook_id);
        own.push_str(&format!(" AND x.webhook_id = {place}"));
    }
    if let (Some(source), Some(subject)) = (&filter.source, &filter.subject) {
        let (source, subject) = (made.place(source), made.place(subject));
        own.push_str(&format!(
            " AND x.webhook_id IN (SELECT webhook_id FROM outbox WHERE source = {source} AND subject = {subject})"
        ));
    } else if let Some(source) = &filter.source {
        let place = made.place(source);
        of_notice.push_str(&format!(" AND o.source = {place}"));
    }
    if let Some(kind) = &filter.kind {
        let place = made.place(kind);
        of_notice.push_str(&format!(" AND o.kind = {place}"));
    }
    // Where notices have a say, what is looked at need not be wanted; elsewhere it is.
    let most = if of_notice == "true" { one_more } else { LOOKED_AT_MAX };
    let sql = format!(
        "WITH looked_at AS MATERIALIZED (
           SELECT x.delivery_id FROM delivery x WHERE {own} ORDER BY x.delivery_id DESC LIMIT $3)
         SELECT seen.*, wanted.*
           FROM (SELECT count(*) AS looked_at, min(delivery_id) AS last_looked_at FROM looked_at) AS seen
           LEFT JOIN ({DELIVERY} WHERE d.delivery_id IN (SELECT delivery_id FROM looked_at) AND {of_notice}
                       ORDER BY d.delivery_id DESC LIMIT $2) AS wanted ON true
          ORDER BY wanted.delivery_id DESC"
    );
    let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&before, &one_more, &most];
    parameters.extend(made.parameters);
    let rows = client.query(&sql, &parameters).await?;
    let there = |row: &&Row| matches!(row.try_get::<_, Option<i64>>("delivery_id"), Ok(Some(_)));
    let mut lines = rows.iter().filter(there).map(read_delivery).collect::<Result<Vec<_>>>()?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    if lines.len() > shown {
        lines.truncate(shown);
        return Ok(DeliveryPage { next: lines.last().map(|last| last.delivery_id), lines });
    }
    let Some(seen) = rows.first() else { return Ok(DeliveryPage::default()) };
    let all = seen.try_get::<_, i64>("looked_at")? < most;
    Ok(DeliveryPage { lines, next: if all { None } else { seen.try_get("last_looked_at")? } })
}

/// The attempts of deliveries, of each the first one first; of one with very many the last.
///
/// # Errors
/// [`crate::Error`].
pub async fn attempts_of(client: &Client, deliveries: &[i64]) -> Result<BTreeMap<i64, Vec<AttemptLine>>> {
    let sql = "SELECT d.delivery_id, a.* FROM unnest($1::bigint[]) AS d (delivery_id)
                CROSS JOIN LATERAL (
                  SELECT claim, at, took_ms, outcome, status, detail FROM delivery_attempt t
                   WHERE t.delivery_id = d.delivery_id ORDER BY claim DESC LIMIT $2) AS a
                ORDER BY d.delivery_id, a.claim";
    let mut found: BTreeMap<i64, Vec<AttemptLine>> = BTreeMap::new();
    for row in &client.query(sql, &[&deliveries, &ATTEMPTS_MAX]).await? {
        found.entry(row.try_get("delivery_id")?).or_default().push(read_attempt(row)?);
    }
    Ok(found)
}

/// What is sent of a notice; none when nobody wanted it, or the dispatcher has not come to it.
///
/// # Errors
/// [`crate::Error`].
pub async fn body_of(client: &Client, webhook_id: Uuid) -> Result<Option<Vec<u8>>> {
    let row = client.query_opt("SELECT body FROM outbox WHERE webhook_id = $1", &[&webhook_id]).await?;
    row.map_or(Ok(None), |row| Ok(row.try_get(0)?))
}

/// The notices about a subject of a source, in order, at most `limit`, those that nobody wants too.
///
/// # Errors
/// [`crate::Error`].
pub async fn notices_about(
    client: &Client,
    source: &str,
    subject: &str,
    limit: i64,
) -> Result<Vec<NoticeLine>> {
    let sql = "SELECT webhook_id, kind, occurred_at, created_at, fanned_out_at FROM outbox
                WHERE source = $1 AND subject = $2 ORDER BY position LIMIT $3";
    let line = |row: &Row| {
        Ok(NoticeLine {
            webhook_id: row.try_get("webhook_id")?,
            kind: row.try_get("kind")?,
            occurred_at: row.try_get::<_, At>("occurred_at")?.0,
            created_at: row.try_get::<_, At>("created_at")?.0,
            handed_out_at: row.try_get::<_, Option<At>>("fanned_out_at")?.map(|at| at.0),
        })
    };
    client.query(sql, &[&source, &subject, &limit]).await?.iter().map(line).collect()
}

/// Where a delivery is and whose; none when there is none, or it is too old to be kept.
///
/// # Errors
/// [`crate::Error`].
pub async fn place_in_tx(tx: &Tx<'_>, delivery_id: i64) -> Result<Option<(EndpointId, DeliveryState)>> {
    let sql = "SELECT endpoint_id, state FROM delivery WHERE delivery_id = $1";
    let rows = tx.query(sql, &[&delivery_id]).await?;
    let place =
        |row: &Row| Ok((EndpointId(row.try_get("endpoint_id")?), word(row, "state", DeliveryState::parse)?));
    rows.first().map(place).transpose()
}
