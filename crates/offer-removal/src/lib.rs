//! Offers that come and go, and players who are banned from an offerwall or let in again.
//!
//! A batch is folded offer by offer and player by player; the last writer by the provider's clock is decided
//! in `matchpurse_domain::offers`, and the result is written in sets.

mod batch;
mod notices;

use std::time::Duration;

use async_trait::async_trait;
use matchpurse_contracts::topology::Queue;
use matchpurse_domain::event::Event;
use matchpurse_domain::time::Timestamp;
use matchpurse_settings::Settings;
use matchpurse_store::{Store, Tx, now, offers, outbox, players};
use matchpurse_worker_kit::{Context, Effects, Plan};

/// The metric of changes that were forgotten because they were old.
pub const CHANGES_FORGOTTEN: &str = "matchpurse_offer_changes_forgotten_total";

/// The worker's effects.
#[derive(Debug, Clone, Copy, Default)]
pub struct OfferRemoval;

/// How often it is looked for changes that are old enough to be forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(10 * 60);

/// Changes that are forgotten in one transaction.
const FORGOTTEN_AT_ONCE: u32 = 5_000;

/// The whole worker.
///
/// # Errors
/// None; the signature is every worker's.
pub fn plan(_: &Settings) -> anyhow::Result<Plan<OfferRemoval>> {
    Ok(Plan::new(OfferRemoval).job("forget-changes", forget_changes))
}

/// Forgets the changes that nobody will resume a stream from any more. Any number of processes may do so.
async fn forget_changes(context: Context) {
    let kept =
        Duration::from_secs(u64::from(context.settings.workers.offer_changes_hours).saturating_mul(3600));
    let (store, shutdown) = (context.store.clone(), context.shutdown.clone());
    let turn = || async {
        while !shutdown.is_cancelled() && forget(&store, now(), kept, FORGOTTEN_AT_ONCE).await? {}
        Ok(())
    };
    context.every(FORGET_EVERY, "forget-changes", turn).await;
}

/// Forgets at most `limit` changes that were recorded longer than `kept` ago. True when there may be more.
///
/// # Errors
/// Those of the database.
pub async fn forget(
    store: &Store,
    now: Timestamp,
    kept: Duration,
    limit: u32,
) -> matchpurse_store::Result<bool> {
    let kept_us = i64::try_from(kept.as_micros()).unwrap_or(i64::MAX);
    let before = Timestamp::from_micros(now.micros().saturating_sub(kept_us));
    let gone = offers::prune_changes(&mut store.client().await?, before, limit).await?;
    metrics::counter!(CHANGES_FORGOTTEN).increment(gone);
    Ok(gone >= u64::from(limit))
}

#[async_trait]
impl Effects for OfferRemoval {
    fn queue(&self) -> Queue {
        Queue::OfferRemoval
    }

    async fn apply_in_tx(&self, tx: &Tx<'_>, events: &[Event], _: Timestamp) -> matchpurse_store::Result<()> {
        let batch = batch::Batch::read(events);
        let known_offers = offers::load_offers_in_tx(tx, batch.offers()).await?;
        let known_players = offers::load_standings_in_tx(tx, batch.players()).await?;
        let decided = batch.decide(&known_offers, &known_players);
        let named: Vec<_> = batch.players().keys().cloned().collect();
        players::remember_in_tx(tx, &named).await?;
        offers::save_offers_in_tx(tx, &decided.offers).await?;
        offers::save_standings_in_tx(tx, &decided.standings).await?;
        offers::record_changes_in_tx(tx, &decided.changes).await?;
        outbox::append_in_tx(tx, &decided.notices).await
    }
}
