//! The match escrow: matches' lives and the stakes that they hold.
//!
//! A batch is folded match by match in the order of arrival; what it does is decided in
//! `matchpurse_domain::escrow` and written in sets.

mod batch;
pub mod metric;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use matchpurse_contracts::topology::Queue;
use matchpurse_domain::event::Event;
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::source::SourcePolicy;
use matchpurse_domain::time::Timestamp;
use matchpurse_operations::{deadlines, match_links};
use matchpurse_settings::Settings;
use matchpurse_store::{Tx, anomalies, escrow, now, outbox};
use matchpurse_worker_kit::{Context, Effects, Plan};

/// The worker, with the rules of every configured source.
///
/// # Errors
/// None; the signature is every worker's.
pub fn plan(settings: &Settings) -> anyhow::Result<Plan<MatchEscrow>> {
    let effects = MatchEscrow::new(settings);
    let policies = Arc::clone(&effects.policies);
    let trusted = settings.sources.iter().filter(|(_, source)| source.decides_linked());
    let trusted: Vec<SourceName> = trusted.map(|(name, _)| name.clone()).collect();
    let plan = Plan::new(effects).job("deadlines", |context| sweep_deadlines(context, policies));
    if trusted.is_empty() {
        return Ok(plan);
    }
    Ok(plan.job("match-links", |context| follow_links(context, trusted)))
}

/// Between two looks for linked matches that have ended.
const LINKS_EVERY: Duration = Duration::from_secs(1);

/// Ends the matches whose linked match has ended.
async fn follow_links(context: Context, trusted: Vec<SourceName>) {
    let trusted: Vec<&str> = trusted.iter().map(SourceName::as_str).collect();
    let store = context.store.clone();
    let turn = || async {
        let followed = match_links::follow(&store, &trusted, now()).await?;
        for (count, outcome) in
            [(followed.decided, "decided"), (followed.failed, "failed"), (followed.errors, "error")]
        {
            metrics::counter!(metric::LINKS_FOLLOWED, "outcome" => outcome).increment(count);
        }
        Ok(())
    };
    context.every(LINKS_EVERY, "match-links", turn).await;
}

/// How long a worker that has just started leaves deadlines alone.
const SETTLING: Duration = Duration::from_secs(60);

/// Ends the matches that have held money for too long, or asks a person about them.
async fn sweep_deadlines(context: Context, policies: Arc<BTreeMap<SourceName, SourcePolicy>>) {
    let pause = Duration::from_millis(context.settings.workers.deadline_sweep_ms);
    let store = context.store.clone();
    let shutdown = context.shutdown.clone();
    // After an outage the archive's worker and this one begin at the same moment: what is in the queues is archived
    // and applied first.
    tokio::select! {
        () = shutdown.cancelled() => return,
        () = tokio::time::sleep(SETTLING) => {}
    }
    let turn = || async {
        while !shutdown.is_cancelled() {
            let swept = deadlines::sweep(&store, &policies, Queue::MatchEscrow.worker(), now()).await?;
            for (count, outcome) in
                [(swept.refunded, "refunded"), (swept.asked, "asked"), (swept.failed, "failed")]
            {
                metrics::counter!(metric::DEADLINES_PASSED, "outcome" => outcome).increment(count);
            }
            if !swept.more {
                break;
            }
        }
        Ok(())
    };
    context.every(pause, "deadlines", turn).await;
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
        metrics::counter!(metric::LATE_EVENTS).increment(decided.late);
        escrow::save_in_tx(tx, &decided.changes).await?;
        let opened = anomalies::open_in_tx(tx, &decided.anomalies).await?;
        let mut notices = decided.notices;
        notices.extend(opened.into_iter().map(|anomaly| anomaly.notice(events)));
        outbox::append_in_tx(tx, &notices).await
    }
}
