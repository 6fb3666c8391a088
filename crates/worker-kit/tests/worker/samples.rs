//! Effects for tests: each event makes one notice, and some events make trouble.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use bytes::Bytes;
use matchpurse_bus::Delivery;
use matchpurse_contracts::topology::Queue;
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::{Event, Payload, PlayerKicked, Provenance};
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_domain::time::Timestamp;
use matchpurse_store::outbox::{self, Notice};
use matchpurse_store::{Error, Tx};
use matchpurse_testkit::{Database, FaultProxy};
use matchpurse_worker_kit::{Effects, Worker, WorkerOptions};
use serde_json::json;

/// What an event does, by its subject.
pub(crate) const FINE: &str = "fine";
/// PostgreSQL refuses it: a NUL in a text.
pub(crate) const POISON: &str = "poison";
/// It can never be applied.
pub(crate) const REJECTED: &str = "rejected";
/// It brings out a defect of ours.
pub(crate) const PANIC: &str = "panic";
/// Its row cannot be had in time.
pub(crate) const LOCKED: &str = "locked";
/// Its statement takes longer than any may; see [`slow_down`].
pub(crate) const SLOW: &str = "slow";

/// Makes the notices of [`SLOW`] events take a minute to write.
pub(crate) async fn slow_down(database: &Database) -> Result<()> {
    let sql = "CREATE FUNCTION slow_down() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$;
               CREATE TRIGGER slow_down BEFORE INSERT ON outbox FOR EACH ROW
                 WHEN (NEW.kind = 'test.slow') EXECUTE FUNCTION slow_down()";
    Ok(database.connection().await?.batch_execute(sql).await?)
}

/// Writes one notice an event; counts how often it was asked.
#[derive(Default)]
pub(crate) struct Noticing {
    pub(crate) calls: Arc<AtomicU32>,
    /// The database to cut off in the middle of the first transaction.
    pub(crate) cut_off: Option<Arc<Database>>,
    /// The way to the database, on which nothing is heard any more from the middle of the first transaction on.
    pub(crate) abandon: Option<Arc<FaultProxy>>,
}

#[async_trait]
impl Effects for Noticing {
    fn queue(&self) -> Queue {
        Queue::PlayerStats
    }

    async fn apply_in_tx(
        &self,
        tx: &Tx<'_>,
        events: &[Event],
        now: Timestamp,
    ) -> matchpurse_store::Result<()> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut notices = Vec::new();
        for event in events {
            match event.provider_type.as_str() {
                REJECTED => return Err(Error::rejected("the match is of another currency")),
                PANIC => panic!("index out of bounds"),
                LOCKED => {
                    let (code, message) = ("55P03".to_owned(), "lock timeout".to_owned());
                    return Err(Error::Database { code, message, constraint: None });
                }
                _ => notices.push(notice(event, now)),
            }
        }
        outbox::append_in_tx(tx, &notices).await?;
        if let (0, Some(database)) = (call, &self.cut_off) {
            database.cut_off().await.unwrap();
        }
        if let (0, Some(proxy)) = (call, &self.abandon) {
            proxy.abandon();
        }
        Ok(())
    }
}

fn notice(event: &Event, now: Timestamp) -> Notice {
    let nul = if event.provider_type == POISON { "\0" } else { "" };
    Notice {
        source: event.source.clone(),
        kind: if event.provider_type == SLOW { "test.slow" } else { "test.seen" },
        subject: format!("{}{nul}", event.subject),
        // Not derived from the event alone, so that an event that is applied twice shows.
        discriminator: format!("{}-{now:?}", event.id),
        payload: json!({"subject": event.subject}),
        occurred_at: now,
        cause: Some(event.id),
    }
}

pub(crate) fn delivery(n: u32, what: &str) -> Delivery {
    let source = SourceName::parse("main").unwrap();
    let raw = Bytes::from(format!("{n} {what}"));
    let id = EventId::of_delivery(&source, "POST", &raw, 0);
    let message = Message::new(
        Event {
            id,
            delivery_id: id,
            source,
            provider: "some".to_owned(),
            provider_type: what.to_owned(),
            subject: format!("{n:03}"),
            occurred_at: None,
            received_at: Timestamp::from_seconds(1_700_000_000),
            provenance: Provenance { body_authenticated: true, amount_rounded: false, vouched: None },
            raw,
            payload: Payload::PlayerKicked(PlayerKicked { match_id: "m".to_owned(), player_id: "7".into() }),
        },
        None,
    );
    Delivery {
        id: Some(message.id),
        body: message.body,
        routing_key: message.routing_key,
        traceparent: None,
        redelivered: false,
        replay: None,
    }
}

/// A batch in which all are fine but those at the given places.
pub(crate) fn batch(len: u32, trouble: &[(u32, &str)]) -> Vec<Delivery> {
    let what = |n| trouble.iter().find(|(place, _)| *place == n).map_or(FINE, |(_, what)| *what);
    (0..len).map(|n| delivery(n, what(n))).collect()
}

/// A worker that does not wait for the database.
pub(crate) async fn worker(database: &Database, effects: Noticing) -> Result<Worker<Noticing>> {
    let options = WorkerOptions { attempts_max: 3, hold_max: Duration::ZERO, ..WorkerOptions::default() };
    Ok(Worker::new(database.store().await?, effects, options))
}

/// The subjects of the notices, each as often as it was applied.
pub(crate) async fn applied(database: &Database) -> Result<Vec<String>> {
    let rows = database.connection().await?.query("SELECT subject FROM outbox ORDER BY subject", &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The subjects that a batch of this length has, but those at the given places.
pub(crate) fn subjects(len: u32, without: &[u32]) -> Vec<String> {
    (0..len).filter(|n| !without.contains(n)).map(|n| format!("{n:03}")).collect()
}
