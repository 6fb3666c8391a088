//! Offers that come and go, and players who are banned from an offerwall or let in again.
//!
//! A batch is folded offer by offer and player by player; the last writer by the provider's clock is decided
//! in `matchpurse_domain::offers`, and the result is written in sets.

mod batch;
mod notices;

use async_trait::async_trait;
use matchpurse_contracts::topology::Queue;
use matchpurse_domain::event::Event;
use matchpurse_domain::time::Timestamp;
use matchpurse_settings::Settings;
use matchpurse_store::{Tx, offers, outbox, players};
use matchpurse_worker_kit::{Effects, Plan};

/// The worker's effects.
#[derive(Debug, Clone, Copy, Default)]
pub struct OfferRemoval;

/// The whole worker; it needs no setting of its own.
///
/// # Errors
/// None; the signature is every worker's.
pub fn plan(_: &Settings) -> anyhow::Result<Plan<OfferRemoval>> {
    Ok(Plan::new(OfferRemoval))
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
