//! The players' surrogate keys, with what they stand for.

use std::collections::BTreeMap;

use matchpurse_domain::ids::{PlayerId, SourceName};
use uuid::Uuid;

use crate::later::own;
use crate::{Result, Tx};

/// Makes sure that the players' keys can be read back as names; known ones stay as they are. It is done with what comes
/// next in the transaction.
///
/// # Errors
/// [`crate::Error`].
pub async fn remember_in_tx(tx: &Tx<'_>, players: &[(SourceName, PlayerId)]) -> Result<()> {
    if players.is_empty() {
        return Ok(());
    }
    let by_key: BTreeMap<Uuid, _> =
        players.iter().map(|(source, player)| (player.key(source), (source, player))).collect();
    let keys: Vec<Uuid> = by_key.keys().copied().collect();
    let sources: Vec<String> = by_key.values().map(|(source, _)| source.as_str().to_owned()).collect();
    let ids: Vec<String> = by_key.values().map(|(_, player)| player.as_str().to_owned()).collect();
    // Most are known: looking first keeps the unique index from being written to in vain.
    let sql = "INSERT INTO player (player_key, source, player_id)
               SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[]) AS seen (key)
                WHERE NOT EXISTS (SELECT FROM player WHERE player_key = seen.key)
                ORDER BY key
               ON CONFLICT DO NOTHING";
    tx.later(sql, vec![own(keys), own(sources), own(ids)]);
    Ok(())
}
