//! Rewards: what contests, matches, offerwalls and wishes for credit give to whom, once each.
//!
//! A batch is folded contest by contest in the order of arrival; what it does is decided in
//! `matchpurse_domain::grants` and written in sets.

mod batch;
mod notices;

use async_trait::async_trait;
use matchpurse_contracts::topology::Queue;
use matchpurse_domain::event::Event;
use matchpurse_domain::time::Timestamp;
use matchpurse_settings::Settings;
use matchpurse_store::{Tx, anomalies, grants, outbox, players};
use matchpurse_worker_kit::{Effects, Plan};

/// The worker's effects.
#[derive(Debug, Clone, Copy, Default)]
pub struct RewardFulfillment;

/// The whole worker; it needs no setting of its own.
///
/// # Errors
/// None; the signature is every worker's.
pub fn plan(_: &Settings) -> anyhow::Result<Plan<RewardFulfillment>> {
    Ok(Plan::new(RewardFulfillment))
}

#[async_trait]
impl Effects for RewardFulfillment {
    fn queue(&self) -> Queue {
        Queue::RewardFulfillment
    }

    async fn apply_in_tx(&self, tx: &Tx<'_>, events: &[Event], _: Timestamp) -> matchpurse_store::Result<()> {
        let batch = batch::Batch::read(events);
        let contests = grants::load_in_tx(tx, &batch.contests()).await?;
        let decided = batch.decide(contests);
        players::remember_in_tx(tx, &decided.players).await?;
        grants::save_in_tx(tx, &decided.changes).await?;
        let opened = anomalies::open_in_tx(tx, &decided.anomalies).await?;
        let mut notices = decided.notices;
        notices.extend(opened.into_iter().map(|anomaly| anomaly.notice(events)));
        outbox::append_in_tx(tx, &notices).await
    }
}
