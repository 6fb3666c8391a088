//! What an operator's correction needs beside what a batch does.

use matchpurse_domain::ids::EventId;
use matchpurse_domain::stats::MatchStats;
use uuid::Uuid;

use super::StatsKey;
use super::load::state;
use super::show::{Line, line};
use crate::{Result, Tx};

/// A match, locked; none when nobody has told its numbers.
///
/// # Errors
/// [`crate::Error`].
pub async fn lock_in_tx(tx: &Tx<'_>, key: &StatsKey) -> Result<Option<MatchStats>> {
    let sql = "SELECT * FROM stats_match WHERE stats_key = $1 FOR NO KEY UPDATE";
    match tx.query(sql, &[&key.uuid()]).await?.first() {
        Some(row) => state(row),
        None => Ok(None),
    }
}

/// The lines of a locked match.
///
/// # Errors
/// [`crate::Error`].
pub async fn lines_in_tx(tx: &Tx<'_>, key: &StatsKey) -> Result<Vec<Line>> {
    let sql = "SELECT s.*, p.player_id FROM player_match_stats s JOIN player p USING (player_key)
                WHERE s.stats_key = $1 ORDER BY s.player_key";
    tx.query(sql, &[&key.uuid()]).await?.iter().map(line).collect()
}

/// Takes the totals of those who have no counted match any more. They must have been written in this transaction.
///
/// # Errors
/// [`crate::Error`].
pub async fn forget_empty_totals_in_tx(tx: &Tx<'_>, players: &[Uuid]) -> Result<()> {
    let sql = "DELETE FROM player_totals WHERE player_key = ANY($1) AND matches = 0";
    tx.execute(sql, &[&players]).await?;
    Ok(())
}

/// Resolves the open anomalies about a match's statistics: the operation is a person's answer to them. Returns how
/// many there were.
///
/// # Errors
/// [`crate::Error`].
pub async fn resolve_anomalies_in_tx(
    tx: &Tx<'_>,
    key: &StatsKey,
    operation: EventId,
    resolved_by: &str,
) -> Result<u64> {
    let sql = "UPDATE anomaly SET resolved_at = now(), resolution = $3, resolved_by = $4
                WHERE id IN (SELECT id FROM anomaly
                              WHERE source = $1 AND subject = $2 AND detail ->> 'about' = 'statistics'
                                AND resolved_at IS NULL
                              ORDER BY id FOR NO KEY UPDATE)";
    let resolution = format!("operation {operation}");
    tx.execute(sql, &[&key.source.as_str(), &key.match_id, &resolution, &resolved_by]).await
}
