//! Waiting until everything that was accepted has been applied.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use matchpurse_contracts::topology::Queue;
use matchpurse_domain::event::PayloadName;
use uuid::Uuid;

use super::service::Service;
use super::{System, until};

/// Everything that these tests send is applied in seconds.
const PATIENCE: Duration = Duration::from_secs(60);

impl System {
    /// Waits until every accepted delivery is archived, every worker that wants one of its events has dealt
    /// with it, and each repeat has been consumed too, so that nothing is under way any more.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        let mut accepted = self.accepted().clone();
        let deliveries = accepted.len();
        // As often as it was answered: that is how often each queue has got its events.
        let mut times: BTreeMap<Uuid, u64> = BTreeMap::new();
        accepted.iter().for_each(|id| *times.entry(*id).or_default() += 1);
        accepted.sort();
        accepted.dedup();
        until(&format!("{deliveries} deliveries are applied"), PATIENCE, async || {
            if let Some(objection) = self.not_applied(&accepted).await? {
                return Ok(Some(objection));
            }
            if self.counts_whole { self.not_consumed(&times).await } else { Ok(None) }
        })
        .await
    }

    /// Nothing more to say when the database has all that these deliveries lead to.
    pub(crate) async fn not_applied(&self, deliveries: &[Uuid]) -> Result<Option<String>> {
        let sql = "SELECT count(*) FROM unnest($1::uuid[]) AS wanted
                    WHERE NOT EXISTS (SELECT FROM archive WHERE delivery_id = wanted)";
        let missing: i64 = self.client.query_one(sql, &[&deliveries]).await?.try_get(0)?;
        if missing > 0 {
            return Ok(Some(format!("{missing} are not in the archive")));
        }
        let (mut payloads, mut workers, mut queues) = (Vec::new(), Vec::new(), Vec::new());
        for queue in Queue::ALL {
            for payload in queue.payloads() {
                payloads.push(payload.as_str());
                workers.push(queue.worker());
                queues.push(queue.name());
            }
        }
        let sql = "SELECT count(*), min(worker || ': ' || payload)
                     FROM archive a
                     JOIN unnest($1::text[], $2::text[], $3::text[]) AS w (payload, worker, queue) USING (payload)
                    WHERE NOT EXISTS (SELECT FROM inbox i WHERE i.worker = w.worker AND i.event_id = a.event_id)
                      AND NOT EXISTS (SELECT FROM parked p WHERE p.queue = w.queue AND p.event_id = a.event_id)";
        let row = self.client.query_one(sql, &[&payloads, &workers, &queues]).await?;
        let (open, first): (i64, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
        if open > 0 {
            return Ok(Some(format!("{open} are not applied, as {}", first.unwrap_or_default())));
        }
        let spooled = self.count("SELECT count(*) FROM spool").await?;
        if spooled > 0 {
            return Ok(Some(format!("{spooled} are in the spool")));
        }
        let new = self.count("SELECT count(*) FROM outbox WHERE fanned_out_at IS NULL").await?;
        if new > 0 {
            return Ok(Some(format!("{new} notices were not handed to their endpoints")));
        }
        // Results that come one soon after another are taken to ratings and boards together, seconds later.
        let sql = "SELECT (SELECT count(*) FROM result_fill) + (SELECT count(*) FROM result_feed)
                        + (SELECT count(*) FROM board_todo)
                        + (SELECT count(*) FROM rating_game WHERE redo_at IS NOT NULL OR recomputing_since IS NOT NULL)
                        + (SELECT count(*)
                             FROM rating_game g JOIN result r ON r.source = ANY (g.sources)
                            WHERE cardinality(r.sides) > 0
                              AND (r.ended_at, r.result_key) > (g.rated_at, g.rated_key))";
        let behind = self.count(sql).await?;
        Ok((behind > 0).then(|| format!("{behind} results are not rated and on their boards")))
    }

    /// Nothing more to say when each worker has consumed as much as was published for it.
    async fn not_consumed(&mut self, times: &BTreeMap<Uuid, u64>) -> Result<Option<String>> {
        for (queue, published) in self.published(times).await? {
            let consumed = self.consumed(queue).await?;
            if consumed < published {
                return Ok(Some(format!("{} consumed {consumed} of {published}", queue.worker())));
            }
        }
        Ok(None)
    }

    /// How much was published for each worker of deliveries that were accepted so often.
    pub(crate) async fn published(&self, times: &BTreeMap<Uuid, u64>) -> Result<BTreeMap<Queue, u64>> {
        let ids: Vec<Uuid> = times.keys().copied().collect();
        let sql = "SELECT delivery_id, payload FROM archive WHERE delivery_id = ANY($1)";
        let mut published: BTreeMap<Queue, u64> = BTreeMap::new();
        for row in self.client.query(sql, &[&ids]).await? {
            let (id, payload): (Uuid, String) = (row.try_get(0)?, row.try_get(1)?);
            let payload = PayloadName::ALL.into_iter().find(|name| name.as_str() == payload);
            for queue in Queue::wanting(payload.context("an unknown payload in the archive")?) {
                *published.entry(queue).or_default() += times.get(&id).copied().unwrap_or_default();
            }
        }
        Ok(published)
    }

    /// How many deliveries a worker has acknowledged or parked since its start.
    pub(crate) async fn consumed(&mut self, queue: Queue) -> Result<u64> {
        let service = Service::ALL.into_iter().find(|service| service.name() == queue.worker());
        let metrics = self.service(service.context("no such worker")?)?.metrics().await?;
        let lines = metrics.lines().filter(|line| {
            line.starts_with("matchpurse_bus_deliveries_total{")
                && line.contains(queue.name())
                && !line.contains("\"retry\"")
        });
        lines.map(|line| Ok(line.rsplit(' ').next().context("no count")?.parse::<u64>()?)).sum()
    }
}
