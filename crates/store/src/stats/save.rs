use std::collections::BTreeMap;
use std::sync::LazyLock;

use matchpurse_domain::event::{COUNTER_NAMES, PlayerStats, Side};
use matchpurse_domain::ids::EventId;
use matchpurse_domain::stats::{MatchOutcome, MatchStats};
use uuid::Uuid;

use super::{StatsChange, StatsKey, integer};
use crate::boards::{FeedKind, feed_in_tx};
use crate::later::own;
use crate::time::At;
use crate::{Result, Tx};

/// Writes what a batch did to matches that [`super::load_in_tx`] has locked: the matches, and the lines of
/// their players, who must have been remembered. It travels with what comes next in the transaction.
///
/// # Errors
/// [`crate::Error`].
pub async fn save_in_tx(tx: &Tx<'_>, changes: &BTreeMap<StatsKey, StatsChange<'_>>) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    matches(tx, changes);
    lines(tx, changes);
    ends(tx, changes);
    // A match that counts is changed by its final, by an operator, or by an earlier time of its end.
    let counts = |change: &StatsChange<'_>| change.state.counted || change.corrected_by.is_some();
    let results = changes.iter().filter(|(_, change)| counts(change)).map(|(key, _)| key.uuid());
    feed_in_tx(tx, FeedKind::Stats, &results.collect::<Vec<_>>()).await
}

/// Where the lines stay and only the time changed, because an earlier one was told of the same end.
fn ends(tx: &Tx<'_>, changes: &BTreeMap<StatsKey, StatsChange<'_>>) {
    let counted = || changes.iter().filter(|(_, change)| change.state.counted && change.lines.is_none());
    let keys: Vec<Uuid> = counted().map(|(key, _)| key.uuid()).collect();
    if keys.is_empty() {
        return;
    }
    let ends: Vec<Option<At>> = counted().map(|(_, change)| change.state.ended_at.map(At)).collect();
    let sql = "UPDATE player_match_stats s SET ended_at = new.at
                 FROM unnest($1::uuid[], $2::timestamptz[]) AS new (key, at)
                WHERE s.stats_key = new.key AND s.ended_at <> new.at";
    tx.later(sql, vec![own(keys), own(ends)]);
}

fn matches(tx: &Tx<'_>, changes: &BTreeMap<StatsKey, StatsChange<'_>>) {
    let all = || changes.values().map(|change| &change.state);
    let keys: Vec<Uuid> = changes.keys().map(StatsKey::uuid).collect();
    let maps: Vec<Option<String>> = all().map(|state| state.map.clone()).collect();
    let names1: Vec<String> = all().map(|state| state.team1.name.clone()).collect();
    let scores1: Vec<Option<i32>> = all().map(|state| state.team1.score.map(integer)).collect();
    let names2: Vec<String> = all().map(|state| state.team2.name.clone()).collect();
    let scores2: Vec<Option<i32>> = all().map(|state| state.team2.score.map(integer)).collect();
    let rounds: Vec<i32> = all().map(|state| integer(state.rounds_played)).collect();
    let history: Vec<i32> = all().map(|state| integer(state.history_len)).collect();
    let finished: Vec<bool> = all().map(|state| state.finished).collect();
    let canceled: Vec<bool> = all().map(|state| state.canceled).collect();
    let reasons: Vec<Option<String>> = all().map(|state| state.cancel_reason.clone()).collect();
    let results: Vec<Option<&str>> = all().map(|state| state.winner.map(|winner| winner.as_str())).collect();
    let counted: Vec<bool> = all().map(|state| state.counted).collect();
    let numbers: Vec<Vec<u8>> = all().map(|state| state.numbers.to_vec()).collect();
    let rosters: Vec<Vec<u8>> = all().map(|state| state.roster.to_vec()).collect();
    let events: Vec<Uuid> = changes.values().map(|change| change.event_id.uuid()).collect();
    let ends: Vec<Option<At>> = all().map(|state| state.ended_at.map(At)).collect();
    let corrections: Vec<i32> = all().map(|state| integer(state.corrections)).collect();
    let operations: Vec<Option<Uuid>> =
        changes.values().map(|change| change.corrected_by.map(EventId::uuid)).collect();
    let overruled: Vec<Vec<u8>> =
        all().map(|state| state.overruled.iter().flatten().copied().collect()).collect();
    let sql = "UPDATE stats_match
                  SET map = m, team1_name = n1, team1_score = s1, team2_name = n2, team2_score = s2,
                      rounds_played = r, history_len = h, finished = f, canceled = c, cancel_reason = why,
                      result = won, counted = done, numbers = digest, roster = who, last_event_id = e,
                      ended_at = t, corrections = n, corrected_by = coalesce(by, corrected_by),
                      overruled = others, updated_at = now()
                 FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::text[], $6::int[], $7::int[],
                             $8::int[], $9::bool[], $10::bool[], $11::text[], $12::text[], $13::bool[],
                             $14::bytea[], $15::bytea[], $16::uuid[], $17::timestamptz[], $18::int[], $19::uuid[],
                             $20::bytea[])
                   AS new (k, m, n1, s1, n2, s2, r, h, f, c, why, won, done, digest, who, e, t, n, by, others)
                WHERE stats_key = k";
    let params = vec![
        own(keys),
        own(maps),
        own(names1),
        own(scores1),
        own(names2),
        own(scores2),
        own(rounds),
        own(history),
        own(finished),
        own(canceled),
        own(reasons),
        own(results),
        own(counted),
        own(numbers),
        own(rosters),
        own(events),
        own(ends),
        own(corrections),
        own(operations),
        own(overruled),
    ];
    tx.later(sql, params);
}

/// The statement for lines: 7 columns and the 22 counters.
static UPSERT_LINES: LazyLock<String> = LazyLock::new(|| {
    let names = COUNTER_NAMES.join(", ");
    let arrays: Vec<String> = (8..8 + COUNTER_NAMES.len()).map(|n| format!("${n}::int[]")).collect();
    let updates: Vec<String> = COUNTER_NAMES.iter().map(|name| format!("{name} = EXCLUDED.{name}")).collect();
    format!(
        "INSERT INTO player_match_stats (stats_key, player_key, side, nickname, kicked, ended_at, outcome, {names})
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bool[], $6::timestamptz[],
                              $7::text[], {})
           AS new (k, p) ORDER BY k, p
         ON CONFLICT (stats_key, player_key) DO UPDATE
            SET side = EXCLUDED.side, nickname = EXCLUDED.nickname, kicked = EXCLUDED.kicked,
                ended_at = EXCLUDED.ended_at, outcome = EXCLUDED.outcome, {}",
        arrays.join(", "),
        updates.join(", ")
    )
});

/// The match, the player, and what is written of them.
type Line<'b> = (Uuid, Uuid, &'b MatchStats, &'b PlayerStats);

fn lines(tx: &Tx<'_>, changes: &BTreeMap<StatsKey, StatsChange<'_>>) {
    let mut all: Vec<Line<'_>> = Vec::new();
    let mut changed_rosters = Vec::new();
    for (key, change) in changes {
        let uuid = key.uuid();
        for (player, line) in change.lines.iter().flatten() {
            all.push((uuid, player.key(&key.source), &change.state, line));
        }
        if change.lines.is_some() && change.roster_changed {
            changed_rosters.push(uuid);
        }
    }
    forget_missing(tx, &changed_rosters, &all);
    if all.is_empty() {
        return;
    }
    let matches: Vec<Uuid> = all.iter().map(|(key, ..)| *key).collect();
    let players: Vec<Uuid> = all.iter().map(|(_, player, ..)| *player).collect();
    let sides: Vec<&str> = all.iter().map(|(.., line)| line.side.as_str()).collect();
    let nicknames: Vec<String> = all.iter().map(|(.., line)| line.nickname.clone()).collect();
    let kicked: Vec<bool> = all.iter().map(|(.., line)| line.kicked).collect();
    let counts = |state: &MatchStats, line: &PlayerStats| state.counted && line.side != Side::Spectator;
    let ends: Vec<Option<At>> =
        all.iter().map(|(.., state, line)| state.ended_at.filter(|_| counts(state, line)).map(At)).collect();
    let outcomes: Vec<Option<&str>> =
        all.iter().map(|(.., state, line)| state.outcome(line.side).map(MatchOutcome::as_str)).collect();
    let counters: Vec<Vec<i32>> = (0..COUNTER_NAMES.len())
        .map(|n| all.iter().map(|(.., line)| line.counters.0.get(n).copied().unwrap_or_default()).collect())
        .collect();
    let mut params =
        vec![own(matches), own(players), own(sides), own(nicknames), own(kicked), own(ends), own(outcomes)];
    params.extend(counters.into_iter().map(own));
    tx.later(UPSERT_LINES.as_str(), params);
}

/// Removes the lines of players who are not in the matches' new lines. Few matches ever lose a player.
fn forget_missing(tx: &Tx<'_>, matches: &[Uuid], lines: &[Line<'_>]) {
    for key in matches {
        let stay: Vec<Uuid> =
            lines.iter().filter(|(of, ..)| of == key).map(|(_, player, ..)| *player).collect();
        let sql = "DELETE FROM player_match_stats WHERE stats_key = $1 AND player_key <> ALL($2)";
        tx.later(sql, vec![own(*key), own(stay)]);
    }
}
