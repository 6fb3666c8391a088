use anyhow::Result;
use bytes::Bytes;
use matchpurse_domain::event::{Event, Payload, Provenance};
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_domain::time::Timestamp;
use matchpurse_store::Store;
use matchpurse_worker_kit::Effects;

use crate::{Database, Dice};

/// When everything in a trial happens.
const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

/// An event of a source; its id follows from what it says, as it does at the ingress.
///
/// # Panics
/// When the text is no source's name.
#[expect(clippy::panic, reason = "a test fails by panicking")]
pub fn event(source: &str, body_authenticated: bool, payload: Payload) -> Event {
    let source = SourceName::parse(source).unwrap_or_else(|error| panic!("{error}"));
    let id = EventId::of_delivery(&source, "POST", format!("{payload:?}").as_bytes(), 0);
    Event {
        id,
        delivery_id: id,
        source,
        provider: "p".to_owned(),
        provider_type: String::new(),
        subject: String::new(),
        occurred_at: None,
        received_at: NOW,
        provenance: Provenance { body_authenticated, amount_rounded: false, vouched: None },
        raw: Bytes::new(),
        payload,
    }
}

/// A worker's effects put through what every worker must stand: any order, any batch, any repeat, and others at
/// the same rows. The inbox is left out, because correctness must not rest on it.
pub struct Trial<E> {
    /// The effects.
    pub effects: E,
    /// Events that do not contradict each other.
    pub events: Vec<Event>,
    /// Queries of all that must not depend on the order.
    pub tables: &'static [&'static str],
    /// A query of texts that change when a row is written again.
    pub versions: &'static str,
}

impl<E: Effects> Trial<E> {
    /// Applies events in one transaction.
    ///
    /// # Errors
    /// Those of the effects and the database.
    pub async fn apply(&self, store: &Store, events: &[Event]) -> Result<()> {
        let mut client = store.client().await?;
        let tx = client.begin().await?;
        self.effects.apply_in_tx(&tx, events, NOW).await?;
        Ok(tx.commit().await?)
    }

    /// What [`Trial::tables`] finds, one row a line, sorted.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn found(&self, database: &Database) -> Result<String> {
        let mut all = String::new();
        for query in self.tables {
            let texts = database.texts(&format!("SELECT t::text FROM ({query}) t")).await?;
            all.push_str(&texts.join("\n"));
            all.push_str("\n--\n");
        }
        Ok(all)
    }

    async fn straight(&self) -> Result<String> {
        let database = Database::create().await?;
        self.apply(&database.store().await?, &self.events).await?;
        self.found(&database).await
    }

    /// Twelve orders with repeats, cut into batches of other sizes, end in the same tables.
    ///
    /// # Errors
    /// Those of the effects and the database.
    pub async fn every_order_and_batch_with_repeats_ends_in_the_same_tables(&self) -> Result<()> {
        let expected = self.straight().await?;
        for seed in 0..12 {
            let mut dice = Dice::new(seed);
            let database = Database::create().await?;
            let store = database.store().await?;
            let size = dice.below(8).saturating_add(1);
            for batch in dice.shuffled_with_repeats(&self.events).chunks(size) {
                self.apply(&store, batch).await?;
            }
            assert_eq!(self.found(&database).await?, expected, "seed {seed}");
        }
        Ok(())
    }

    /// A batch that comes again writes no row again.
    ///
    /// # Errors
    /// Those of the effects and the database.
    pub async fn a_batch_that_comes_again_changes_no_row(&self) -> Result<()> {
        let database = Database::create().await?;
        let store = database.store().await?;
        self.apply(&store, &self.events).await?;
        let before = database.texts(self.versions).await?;
        assert!(!before.is_empty());
        self.apply(&store, &self.events).await?;
        assert_eq!(database.texts(self.versions).await?, before);
        Ok(())
    }

    /// Four workers at the same rows, each with an order of its own, neither deadlock nor differ.
    ///
    /// # Errors
    /// Those of the effects and the database; a deadlock is one.
    pub async fn workers_at_the_same_rows_neither_deadlock_nor_differ(&self) -> Result<()> {
        let expected = self.straight().await?;
        for seed in 100..104 {
            let database = Database::create().await?;
            let store = database.store().await?;
            let worker = |seed| {
                let store = store.clone();
                async move {
                    for batch in Dice::new(seed).shuffled_with_repeats(&self.events).chunks(5) {
                        self.apply(&store, batch).await?;
                    }
                    anyhow::Ok(())
                }
            };
            tokio::try_join!(worker(seed), worker(seed + 1000), worker(seed + 2000), worker(seed + 3000))?;
            assert_eq!(self.found(&database).await?, expected, "seed {seed}");
        }
        Ok(())
    }
}
