use std::collections::BTreeMap;
use std::sync::LazyLock;

use matchpurse_domain::event::{COUNTER_NAMES, PlayerStats};
use uuid::Uuid;

use super::{StatsChange, StatsKey, integer};
use crate::client::Params;
use crate::{Result, Tx};

/// Writes what a batch did to matches that [`super::load_in_tx`] has locked: the matches, and the lines of
/// their players, who must have been remembered.
///
/// # Errors
/// [`crate::Error`].
pub async fn save_in_tx(tx: &Tx<'_>, changes: &BTreeMap<StatsKey, StatsChange<'_>>) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    matches(tx, changes).await?;
    lines(tx, changes).await
}

async fn matches(tx: &Tx<'_>, changes: &BTreeMap<StatsKey, StatsChange<'_>>) -> Result<()> {
    let all = || changes.values().map(|change| &change.state);
    let keys: Vec<Uuid> = changes.keys().map(StatsKey::uuid).collect();
    let maps: Vec<Option<&str>> = all().map(|state| state.map.as_deref()).collect();
    let names1: Vec<&str> = all().map(|state| state.team1.name.as_str()).collect();
    let scores1: Vec<Option<i32>> = all().map(|state| state.team1.score.map(integer)).collect();
    let names2: Vec<&str> = all().map(|state| state.team2.name.as_str()).collect();
    let scores2: Vec<Option<i32>> = all().map(|state| state.team2.score.map(integer)).collect();
    let rounds: Vec<i32> = all().map(|state| integer(state.rounds_played)).collect();
    let history: Vec<i32> = all().map(|state| integer(state.history_len)).collect();
    let finished: Vec<bool> = all().map(|state| state.finished).collect();
    let canceled: Vec<bool> = all().map(|state| state.canceled).collect();
    let reasons: Vec<Option<&str>> = all().map(|state| state.cancel_reason.as_deref()).collect();
    let results: Vec<Option<&str>> = all().map(|state| state.winner.map(|winner| winner.as_str())).collect();
    let counted: Vec<bool> = all().map(|state| state.counted).collect();
    let numbers: Vec<&[u8]> = all().map(|state| state.numbers.as_slice()).collect();
    let rosters: Vec<&[u8]> = all().map(|state| state.roster.as_slice()).collect();
    let events: Vec<Uuid> = changes.values().map(|change| change.event_id.uuid()).collect();
    let sql = "UPDATE stats_match
                  SET map = m, team1_name = n1, team1_score = s1, team2_name = n2, team2_score = s2,
                      rounds_played = r, history_len = h, finished = f, canceled = c, cancel_reason = why,
                      result = won, counted = done, numbers = digest, roster = who, last_event_id = e,
                      updated_at = now()
                 FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::text[], $6::int[], $7::int[],
                             $8::int[], $9::bool[], $10::bool[], $11::text[], $12::text[], $13::bool[],
                             $14::bytea[], $15::bytea[], $16::uuid[])
                   AS new (k, m, n1, s1, n2, s2, r, h, f, c, why, won, done, digest, who, e)
                WHERE stats_key = k";
    let parameters: Params<'_> = &[
        &keys, &maps, &names1, &scores1, &names2, &scores2, &rounds, &history, &finished, &canceled,
        &reasons, &results, &counted, &numbers, &rosters, &events,
    ];
    tx.execute(sql, parameters).await?;
    Ok(())
}

/// The statement for lines: 5 columns and the 22 counters.
static UPSERT_LINES: LazyLock<String> = LazyLock::new(|| {
    let names = COUNTER_NAMES.join(", ");
    let arrays: Vec<String> = (6..6 + COUNTER_NAMES.len()).map(|n| format!("${n}::int[]")).collect();
    let updates: Vec<String> = COUNTER_NAMES.iter().map(|name| format!("{name} = EXCLUDED.{name}")).collect();
    format!(
        "INSERT INTO player_match_stats (stats_key, player_key, side, nickname, kicked, {names})
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bool[], {})
           AS new (k, p) ORDER BY k, p
         ON CONFLICT (stats_key, player_key) DO UPDATE
            SET side = EXCLUDED.side, nickname = EXCLUDED.nickname, kicked = EXCLUDED.kicked, {}",
        arrays.join(", "),
        updates.join(", ")
    )
});

async fn lines(tx: &Tx<'_>, changes: &BTreeMap<StatsKey, StatsChange<'_>>) -> Result<()> {
    let mut all: Vec<(Uuid, Uuid, &PlayerStats)> = Vec::new();
    let mut changed_rosters = Vec::new();
    for (key, change) in changes {
        let uuid = key.uuid();
        for (player, line) in change.lines.iter().flatten() {
            all.push((uuid, player.key(&key.source), line));
        }
        if change.lines.is_some() && change.roster_changed {
            changed_rosters.push(uuid);
        }
    }
    forget_missing(tx, &changed_rosters, &all).await?;
    if all.is_empty() {
        return Ok(());
    }
    let matches: Vec<Uuid> = all.iter().map(|(key, ..)| *key).collect();
    let players: Vec<Uuid> = all.iter().map(|(_, player, _)| *player).collect();
    let sides: Vec<&str> = all.iter().map(|(.., line)| line.side.as_str()).collect();
    let nicknames: Vec<&str> = all.iter().map(|(.., line)| line.nickname.as_str()).collect();
    let kicked: Vec<bool> = all.iter().map(|(.., line)| line.kicked).collect();
    let counters: Vec<Vec<i32>> = (0..COUNTER_NAMES.len())
        .map(|n| all.iter().map(|(.., line)| line.counters.0.get(n).copied().unwrap_or_default()).collect())
        .collect();
    let mut parameters: Vec<&(dyn postgres_types::ToSql + Sync)> =
        vec![&matches, &players, &sides, &nicknames, &kicked];
    parameters.extend(counters.iter().map(|counter| counter as &(dyn postgres_types::ToSql + Sync)));
    tx.execute(&UPSERT_LINES, &parameters).await?;
    Ok(())
}

/// Removes the lines of players who are not in the matches' new lines. Few matches ever lose a player.
async fn forget_missing(tx: &Tx<'_>, matches: &[Uuid], lines: &[(Uuid, Uuid, &PlayerStats)]) -> Result<()> {
    for key in matches {
        let stay: Vec<Uuid> =
            lines.iter().filter(|(of, ..)| of == key).map(|(_, player, _)| *player).collect();
        let sql = "DELETE FROM player_match_stats WHERE stats_key = $1 AND player_key <> ALL($2)";
        tx.execute(sql, &[key, &stay]).await?;
    }
    Ok(())
}
