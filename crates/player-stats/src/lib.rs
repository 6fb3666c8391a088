//! Statistics: matches' counters, the players' totals, and who was voted out.
//!
//! A batch is folded match by match in the order of arrival, so a backlog of twenty rounds costs one write a
//! player; what counts is decided in `matchpurse_domain::stats` and written in sets. Beside it runs the job that makes
//! [leaderboards and skill ratings](boards).

mod batch;
pub mod boards;
mod notices;

use async_trait::async_trait;
use matchpurse_contracts::topology::Queue;
use matchpurse_domain::event::Event;
use matchpurse_domain::time::Timestamp;
use matchpurse_settings::Settings;
use matchpurse_store::{Tx, anomalies, outbox, players, stats};
use matchpurse_worker_kit::{Effects, Plan};

/// The worker's effects.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlayerStats;

/// The whole worker, with the job that makes leaderboards and skill ratings.
///
/// # Errors
/// None; the signature is every worker's.
pub fn plan(_: &Settings) -> anyhow::Result<Plan<PlayerStats>> {
    Ok(Plan::new(PlayerStats).job("leaderboards", boards::run))
}

#[async_trait]
impl Effects for PlayerStats {
    fn queue(&self) -> Queue {
        Queue::PlayerStats
    }

    async fn apply_in_tx(&self, tx: &Tx<'_>, events: &[Event], _: Timestamp) -> matchpurse_store::Result<()> {
        let batch = batch::Batch::read(events);
        let known = stats::load_in_tx(tx, batch.matches()).await?;
        let decided = batch.decide(&known);
        players::remember_in_tx(tx, &batch.players()).await?;
        stats::save_in_tx(tx, &decided.changes).await?;
        stats::add_history_in_tx(tx, &batch.new_history(&known)).await?;
        stats::add_totals_in_tx(tx, &decided.totals).await?;
        let kicked = stats::kick_in_tx(tx, batch.kicks()).await?;
        let opened = anomalies::open_in_tx(tx, &decided.anomalies).await?;
        let mut notices = decided.notices;
        notices.extend(kicked.into_iter().map(notices::kicked));
        notices.extend(opened.into_iter().map(|anomaly| anomaly.notice(events)));
        outbox::append_in_tx(tx, &notices).await
    }
}
