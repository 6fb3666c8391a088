use std::collections::BTreeMap;

use matchpurse_domain::event::Standing;
use matchpurse_domain::ids::EventId;
use matchpurse_domain::offers::PlayerRecord;
use uuid::Uuid;

use super::PlayerKey;
use crate::later::own;
use crate::time::At;
use crate::words::optional_word;
use crate::{Result, Tx};

/// Locks the players' standings, making those that are new, and reads them; none stands for one of whom
/// nothing is known yet. Each comes with the event that speaks of it.
///
/// # Errors
/// [`crate::Error`].
pub async fn load_standings_in_tx(
    tx: &Tx<'_>,
    players: &BTreeMap<PlayerKey, EventId>,
) -> Result<BTreeMap<PlayerKey, Option<PlayerRecord>>> {
    if players.is_empty() {
        return Ok(BTreeMap::new());
    }
    let by_uuid: BTreeMap<Uuid, (&PlayerKey, &EventId)> =
        players.iter().map(|(key, event)| (key.1.key(&key.0), (key, event))).collect();
    let uuids: Vec<Uuid> = by_uuid.keys().copied().collect();
    let sources: Vec<String> = by_uuid.values().map(|((source, _), _)| source.as_str().to_owned()).collect();
    let events: Vec<Uuid> = by_uuid.values().map(|(_, event)| event.uuid()).collect();
    let sql = "INSERT INTO player_standing (player_key, source, last_event_id)
               SELECT p, s, e FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS new (p, s, e)
                WHERE NOT EXISTS (SELECT FROM player_standing WHERE player_key = p)
                ORDER BY p
               ON CONFLICT (player_key) DO NOTHING";
    tx.later(sql, vec![own(uuids.clone()), own(sources), own(events)]);
    let sql = "SELECT player_key, standing, changed_at, reason FROM player_standing
                WHERE player_key = ANY($1) ORDER BY player_key FOR NO KEY UPDATE";
    let mut loaded = BTreeMap::new();
    for row in &tx.query(sql, &[&uuids]).await? {
        let standing = optional_word(row, "standing", |text| {
            [Standing::Banned, Standing::Good].into_iter().find(|standing| standing.as_str() == text)
        })?;
        let changed_at: Option<At> = row.try_get("changed_at")?;
        let reason = row.try_get("reason")?;
        let record = standing.zip(changed_at).map(|(standing, at)| PlayerRecord {
            standing,
            changed_at: at.0,
            reason,
        });
        if let Some((key, _)) = by_uuid.get(&row.try_get("player_key")?) {
            loaded.insert((*key).clone(), record);
        }
    }
    Ok(loaded)
}

/// Writes standings that [`load_standings_in_tx`] has locked, each with the last event that changed it, with what
/// comes next in the transaction.
///
/// # Errors
/// [`crate::Error`].
pub async fn save_standings_in_tx(
    tx: &Tx<'_>,
    records: &BTreeMap<PlayerKey, (PlayerRecord, EventId)>,
) -> Result<()> {
    if records.is_empty() {
        return Ok(());
    }
    let uuids: Vec<Uuid> = records.keys().map(|(source, player)| player.key(source)).collect();
    let standings: Vec<&str> = records.values().map(|(record, _)| record.standing.as_str()).collect();
    let times: Vec<At> = records.values().map(|(record, _)| At(record.changed_at)).collect();
    let reasons: Vec<Option<String>> = records.values().map(|(record, _)| record.reason.clone()).collect();
    let events: Vec<Uuid> = records.values().map(|(_, event)| event.uuid()).collect();
    let sql = "UPDATE player_standing SET standing = st, changed_at = at, reason = why, last_event_id = e,
                                          updated_at = now()
                 FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[], $5::uuid[])
                   AS new (p, st, at, why, e)
                WHERE player_key = p";
    tx.later(sql, vec![own(uuids), own(standings), own(times), own(reasons), own(events)]);
    Ok(())
}
