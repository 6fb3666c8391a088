use std::collections::BTreeMap;

use matchpurse_domain::ids::{EventId, PlayerId};
use matchpurse_domain::time::Timestamp;
use uuid::Uuid;

use super::StatsKey;
use crate::time::At;
use crate::{Result, Tx};

/// A player who was voted out of a match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kick {
    /// The match.
    pub key: StatsKey,
    /// The player.
    pub player_id: PlayerId,
    /// The event that says so.
    pub event_id: EventId,
    /// When.
    pub at: Timestamp,
}

/// Notes who was voted out, and returns what was not known before.
///
/// # Errors
/// [`crate::Error`].
pub async fn kick_in_tx<'k>(tx: &Tx<'_>, kicks: &'k [Kick]) -> Result<Vec<&'k Kick>> {
    let mut by_key: BTreeMap<(Uuid, Uuid), &Kick> = BTreeMap::new();
    for kick in kicks {
        by_key.entry((kick.key.uuid(), kick.player_id.key(&kick.key.source))).or_insert(kick);
    }
    if by_key.is_empty() {
        return Ok(Vec::new());
    }
    let matches: Vec<Uuid> = by_key.keys().map(|(key, _)| *key).collect();
    let players: Vec<Uuid> = by_key.keys().map(|(_, player)| *player).collect();
    let sources: Vec<&str> = by_key.values().map(|kick| kick.key.source.as_str()).collect();
    let ids: Vec<&str> = by_key.values().map(|kick| kick.key.match_id.as_str()).collect();
    let events: Vec<Uuid> = by_key.values().map(|kick| kick.event_id.uuid()).collect();
    let times: Vec<At> = by_key.values().map(|kick| At(kick.at)).collect();
    let sql = "INSERT INTO player_kick (stats_key, player_key, source, match_id, event_id, at)
               SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::uuid[],
                                    $6::timestamptz[]) AS new (k, p) ORDER BY k, p
               ON CONFLICT (stats_key, player_key) DO NOTHING
               RETURNING stats_key, player_key";
    let rows = tx.query(sql, &[&matches, &players, &sources, &ids, &events, &times]).await?;
    let mut added = Vec::with_capacity(rows.len());
    for row in &rows {
        added.extend(by_key.get(&(row.try_get(0)?, row.try_get(1)?)).copied());
    }
    Ok(added)
}
