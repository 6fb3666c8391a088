//! The match escrow: matches' lives and the stakes that they hold.
//!
//! A batch is folded match by match in the order of arrival; what it does is decided in
//! `matchpurse_domain::escrow` and written in sets.

mod batch;
mod notices;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use matchpurse_contracts::topology::Queue;
use matchpurse_domain::event::Event;
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::source::SourcePolicy;
use matchpurse_domain::time::Timestamp;
use matchpurse_settings::Settings;
use matchpurse_store::{Tx, anomalies, escrow, outbox};
use matchpurse_worker_kit::{Effects, Plan};

/// The worker, with the rules of every configured source.
///
/// # Errors
/// None; the signature is every worker's.
pub fn plan(settings: &Settings) -> anyhow::Result<Plan<MatchEscrow>> {
    Ok(Plan::new(MatchEscrow::new(settings)))
}

/// The worker's effects.
pub struct MatchEscrow {
    policies: Arc<BTreeMap<SourceName, SourcePolicy>>,
}

impl MatchEscrow {
    /// With the rules of every configured source.
    pub fn new(settings: &Settings) -> Self {
        let policies = settings.sources.iter().map(|(name, source)| (name.clone(), source.policy().clone()));
        Self { policies: Arc::new(policies.collect()) }
    }
}

#[async_trait]
impl Effects for MatchEscrow {
    fn queue(&self) -> Queue {
        Queue::MatchEscrow
    }

    async fn apply_in_tx(
        &self,
        tx: &Tx<'_>,
        events: &[Event],
        _now: Timestamp,
    ) -> matchpurse_store::Result<()> {
        let mut batch = batch::Batch::new(&self.policies, events)?;
        batch.load(tx).await?;
        let decided = batch.decide()?;
        escrow::save_in_tx(tx, &decided.changes).await?;
        let opened = anomalies::open_in_tx(tx, &decided.anomalies).await?;
        let mut notices = decided.notices;
        notices.extend(opened.into_iter().map(|anomaly| anomaly.notice(events)));
        outbox::append_in_tx(tx, &notices).await
    }
}
