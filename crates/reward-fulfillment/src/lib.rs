//! Rewards: what contests, matches, offerwalls and wishes for credit give to whom, once each.
//!
//! A batch is folded contest by contest in the order of arrival; what it does is decided in
//! `matchpurse_domain::grants` and written in sets. What the studio's schemas and limits object to is held for review.

mod batch;
mod rules;

use std::sync::Arc;

use async_trait::async_trait;
use matchpurse_contracts::topology::Queue;
use matchpurse_domain::event::Event;
use matchpurse_domain::time::Timestamp;
use matchpurse_service_kit::config::ConfigError;
use matchpurse_settings::Settings;
use matchpurse_store::{Tx, anomalies, grants, outbox, players};
use matchpurse_worker_kit::{Effects, Plan};

use crate::rules::Rules;

/// The worker's effects.
#[derive(Debug, Clone, Default)]
pub struct RewardFulfillment {
    rules: Arc<Rules>,
}

impl RewardFulfillment {
    /// With what every configured source wants of its rewards.
    ///
    /// # Errors
    /// When a schema is none; all of them are named.
    pub fn new(settings: &Settings) -> Result<Self, ConfigError> {
        Ok(Self { rules: Arc::new(Rules::read(settings)?) })
    }
}

/// The worker, with what every configured source wants of its rewards.
///
/// # Errors
/// When a schema is none.
pub fn plan(settings: &Settings) -> anyhow::Result<Plan<RewardFulfillment>> {
    Ok(Plan::new(RewardFulfillment::new(settings)?))
}

#[async_trait]
impl Effects for RewardFulfillment {
    fn queue(&self) -> Queue {
        Queue::RewardFulfillment
    }

    async fn apply_in_tx(&self, tx: &Tx<'_>, events: &[Event], _: Timestamp) -> matchpurse_store::Result<()> {
        let batch = batch::Batch::read(&self.rules, events);
        let contests = grants::load_in_tx(tx, &batch.contests(), &batch.reopened()).await?;
        let before = grants::load_allowance_in_tx(tx, &batch.windows(&contests)).await?;
        let mut allowance = before.clone();
        let decided = batch.decide(contests, &mut allowance);
        players::remember_in_tx(tx, &decided.players).await?;
        grants::save_in_tx(tx, &decided.changes).await?;
        grants::save_allowance_in_tx(tx, &before, &allowance).await?;
        let opened = anomalies::open_in_tx(tx, &decided.anomalies).await?;
        let mut notices = decided.notices;
        notices.extend(opened.into_iter().map(|anomaly| anomaly.notice(events)));
        outbox::append_in_tx(tx, &notices).await
    }
}
