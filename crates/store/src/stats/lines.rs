use std::collections::BTreeMap;
use std::sync::LazyLock;

use matchpurse_domain::event::{COUNTER_NAMES, HistoryEntry};
use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_domain::stats::Totals;
use uuid::Uuid;

use super::{ALL_TIME, StatsKey, integer};
use crate::later::own;
use crate::time::At;
use crate::{Result, Tx};

/// A line of a match's history.
#[derive(Debug, Clone, Copy)]
pub struct HistoryLine<'b> {
    /// The match.
    pub key: &'b StatsKey,
    /// The line.
    pub entry: &'b HistoryEntry,
}

/// Adds lines of history, with what comes next in the transaction; those that are there already stay as they are.
///
/// # Errors
/// [`crate::Error`].
pub async fn add_history_in_tx(tx: &Tx<'_>, lines: &[HistoryLine<'_>]) -> Result<()> {
    let mut by_key = BTreeMap::new();
    for line in lines {
        by_key.entry((line.key.uuid(), integer(line.entry.index))).or_insert(line);
    }
    if by_key.is_empty() {
        return Ok(());
    }
    let matches: Vec<Uuid> = by_key.keys().map(|(key, _)| *key).collect();
    let places: Vec<i32> = by_key.keys().map(|(_, place)| *place).collect();
    let names: Vec<String> = by_key.values().map(|line| line.entry.name.clone()).collect();
    let times: Vec<At> = by_key.values().map(|line| At(line.entry.at)).collect();
    let player = |line: &&HistoryLine<'_>| line.entry.player_id.as_ref().map(|id| id.key(&line.key.source));
    let players: Vec<Option<Uuid>> = by_key.values().map(player).collect();
    let sql = "INSERT INTO stats_match_event (stats_key, index, name, at, player_key)
               SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::timestamptz[], $5::uuid[])
                 AS line (k, i) ORDER BY k, i
               ON CONFLICT (stats_key, index) DO NOTHING";
    tx.later(sql, vec![own(matches), own(places), own(names), own(times), own(players)]);
    Ok(())
}

/// The sums of [`Totals`], in the order of the table's columns.
const SUMS: [&str; 5] = ["matches", "wins", "losses", "draws", "rounds"];

static ADD_TOTALS: LazyLock<String> = LazyLock::new(|| {
    let columns: Vec<&str> = SUMS.iter().chain(&COUNTER_NAMES).copied().collect();
    let arrays: Vec<String> = (4..4 + columns.len()).map(|n| format!("${n}::bigint[]")).collect();
    let sums: Vec<String> =
        columns.iter().map(|name| format!("{name} = t.{name} + EXCLUDED.{name}")).collect();
    format!(
        "INSERT INTO player_totals AS t (player_key, season, source, {})
         SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], {}) AS gain (p, s) ORDER BY p, s
         ON CONFLICT (player_key, season) DO UPDATE SET {}, updated_at = now()",
        columns.join(", "),
        arrays.join(", "),
        sums.join(", ")
    )
});

/// Adds what matches gain for their players, with what comes next in the transaction. The matches must be locked, and must become `counted` in the
/// same transaction: that is what makes it once.
///
/// # Errors
/// [`crate::Error`].
pub async fn add_totals_in_tx(tx: &Tx<'_>, gains: &BTreeMap<(SourceName, PlayerId), Totals>) -> Result<()> {
    if gains.is_empty() {
        return Ok(());
    }
    let by_key: BTreeMap<Uuid, (&SourceName, &Totals)> =
        gains.iter().map(|((source, player), totals)| (player.key(source), (source, totals))).collect();
    let players: Vec<Uuid> = by_key.keys().copied().collect();
    let seasons = vec![ALL_TIME; by_key.len()];
    let sources: Vec<String> = by_key.values().map(|(source, _)| source.as_str().to_owned()).collect();
    let sums = |t: &Totals| [t.matches, t.wins, t.losses, t.draws, t.rounds].into_iter().chain(t.counters);
    let rows: Vec<Vec<i64>> = by_key.values().map(|(_, totals)| sums(totals).collect()).collect();
    let columns: Vec<Vec<i64>> = (0..SUMS.len() + COUNTER_NAMES.len())
        .map(|n| rows.iter().map(|row| row.get(n).copied().unwrap_or_default()).collect())
        .collect();
    let mut params = vec![own(players), own(seasons), own(sources)];
    params.extend(columns.into_iter().map(own));
    tx.later(ADD_TOTALS.as_str(), params);
    Ok(())
}
