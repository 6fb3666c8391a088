use std::collections::BTreeMap;

use matchpurse_domain::event::TeamScore;
use matchpurse_domain::ids::EventId;
use matchpurse_domain::stats::{MatchStats, Winner};
use tokio_postgres::Row;
use uuid::Uuid;

use super::StatsKey;
use crate::later::own;
use crate::time::At;
use crate::words::{digest, optional_word, unknown};
use crate::{Result, Tx};

/// Locks the matches, making those that are new, and reads them; none stands for a match of which no
/// snapshot has come. Each comes with the event that speaks of it, which is noted as the first if nobody had
/// heard of the match.
///
/// # Errors
/// [`crate::Error`].
pub async fn load_in_tx(
    tx: &Tx<'_>,
    matches: &BTreeMap<StatsKey, EventId>,
) -> Result<BTreeMap<StatsKey, Option<MatchStats>>> {
    if matches.is_empty() {
        return Ok(BTreeMap::new());
    }
    let by_uuid: BTreeMap<Uuid, (&StatsKey, &EventId)> =
        matches.iter().map(|(key, event)| (key.uuid(), (key, event))).collect();
    let uuids: Vec<Uuid> = by_uuid.keys().copied().collect();
    let sources: Vec<String> = by_uuid.values().map(|(key, _)| key.source.as_str().to_owned()).collect();
    let ids: Vec<String> = by_uuid.values().map(|(key, _)| key.match_id.clone()).collect();
    let events: Vec<Uuid> = by_uuid.values().map(|(_, event)| event.uuid()).collect();
    // A conflict of any unique key, not only `stats_key`: of two workers that make one row at the same moment,
    // the second may meet the first in the other index.
    let sql = "INSERT INTO stats_match (stats_key, source, match_id, first_event_id, last_event_id)
               SELECT k, s, id, e, e FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[])
                 AS new (k, s, id, e)
                WHERE NOT EXISTS (SELECT FROM stats_match WHERE stats_key = k)
                ORDER BY k
               ON CONFLICT DO NOTHING";
    tx.later(sql, vec![own(uuids.clone()), own(sources), own(ids), own(events)]);
    let sql = "SELECT * FROM stats_match WHERE stats_key = ANY($1) ORDER BY stats_key FOR NO KEY UPDATE";
    let mut loaded = BTreeMap::new();
    for row in &tx.query(sql, &[&uuids]).await? {
        if let Some((key, _)) = by_uuid.get(&row.try_get("stats_key")?) {
            loaded.insert((*key).clone(), state(row)?);
        }
    }
    Ok(loaded)
}

/// A match as its row has it; none when no snapshot has come.
pub(super) fn state(row: &Row) -> Result<Option<MatchStats>> {
    let (Some(numbers), Some(roster)) = (digest(row, "numbers")?, digest(row, "roster")?) else {
        return Ok(None);
    };
    Ok(Some(MatchStats {
        map: row.try_get("map")?,
        team1: TeamScore { name: row.try_get("team1_name")?, score: optional_count(row, "team1_score")? },
        team2: TeamScore { name: row.try_get("team2_name")?, score: optional_count(row, "team2_score")? },
        rounds_played: optional_count(row, "rounds_played")?.unwrap_or_default(),
        history_len: optional_count(row, "history_len")?.unwrap_or_default(),
        finished: row.try_get("finished")?,
        canceled: row.try_get("canceled")?,
        cancel_reason: row.try_get("cancel_reason")?,
        winner: optional_word(row, "result", Winner::parse)?,
        counted: row.try_get("counted")?,
        numbers,
        roster,
        ended_at: row.try_get::<_, Option<At>>("ended_at")?.map(|at| at.0),
        corrections: optional_count(row, "corrections")?.unwrap_or_default(),
        overruled: row.try_get::<_, &[u8]>("overruled")?.as_chunks().0.iter().copied().collect(),
    }))
}

fn optional_count(row: &Row, column: &'static str) -> Result<Option<u32>> {
    let count: Option<i32> = row.try_get(column)?;
    count.map(|count| u32::try_from(count).map_err(|_| unknown(column))).transpose()
}
