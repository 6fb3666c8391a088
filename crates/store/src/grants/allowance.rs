use std::collections::{BTreeMap, BTreeSet};

use matchpurse_domain::grants::{Allowance, Counted, Window};
use uuid::Uuid;

use crate::later::own;
use crate::time::At;
use crate::{Result, Tx};

/// What stands for the player in the windows of a whole source.
const NOBODY: Uuid = Uuid::nil();

fn player_key(window: &Window) -> Uuid {
    window.player.as_ref().map_or(NOBODY, |player| player.key(&window.source))
}

/// The windows as columns, in the order of their keys: the order in which they are locked.
struct Columns<'w> {
    sources: Vec<&'w str>,
    players: Vec<Uuid>,
    starts: Vec<At>,
}

fn columns<'w>(windows: impl Iterator<Item = &'w Window>) -> (Columns<'w>, Vec<&'w Window>) {
    let mut ordered: Vec<&Window> = windows.collect();
    ordered.sort_by_key(|window| (window.source.as_str(), player_key(window), window.starts_at));
    let columns = Columns {
        sources: ordered.iter().map(|window| window.source.as_str()).collect(),
        players: ordered.iter().map(|window| player_key(window)).collect(),
        starts: ordered.iter().map(|window| At(window.starts_at)).collect(),
    };
    (columns, ordered)
}

/// Locks the windows, making those that are new, and reads what was given in them. Whoever else wants to give in one
/// of them waits until this transaction has ended. Lock the contests first.
///
/// # Errors
/// [`crate::Error`].
pub async fn load_allowance_in_tx(tx: &Tx<'_>, windows: &BTreeSet<Window>) -> Result<Allowance> {
    let mut allowance = Allowance::default();
    if windows.is_empty() {
        return Ok(allowance);
    }
    let (Columns { sources, players, starts }, ordered) = columns(windows.iter());
    let sql = "INSERT INTO reward_count (source, player_key, starts_at)
               SELECT s, p, at FROM unnest($1::text[], $2::uuid[], $3::timestamptz[]) AS wanted (s, p, at)
                WHERE NOT EXISTS (SELECT FROM reward_count c
                                   WHERE (c.source, c.player_key, c.starts_at) = (s, p, at))
                ORDER BY s COLLATE \"C\", p, at
               ON CONFLICT DO NOTHING";
    tx.execute(sql, &[&sources, &players, &starts]).await?;
    let sql = "SELECT c.source, c.player_key, c.starts_at, c.grants, c.amount
                 FROM reward_count c
                WHERE (c.source, c.player_key, c.starts_at)
                   IN (SELECT s, p, at FROM unnest($1::text[], $2::uuid[], $3::timestamptz[]) AS wanted (s, p, at))
                ORDER BY c.source COLLATE \"C\", c.player_key, c.starts_at FOR NO KEY UPDATE";
    let by_key: BTreeMap<_, &Window> = ordered
        .iter()
        .map(|window| ((window.source.as_str(), player_key(window), window.starts_at), *window))
        .collect();
    for row in &tx.query(sql, &[&sources, &players, &starts]).await? {
        let (source, player): (&str, Uuid) = (row.try_get(0)?, row.try_get(1)?);
        let At(starts_at) = row.try_get(2)?;
        let counted = Counted { count: row.try_get(3)?, amount: row.try_get(4)? };
        if let Some(window) = by_key.get(&(source, player, starts_at)) {
            allowance.counted.insert((*window).clone(), counted);
        }
    }
    Ok(allowance)
}

/// Writes what has changed in windows that [`load_allowance_in_tx`] has locked, with what comes next in the transaction.
///
/// # Errors
/// [`crate::Error`].
pub async fn save_allowance_in_tx(tx: &Tx<'_>, before: &Allowance, after: &Allowance) -> Result<()> {
    let changed = |(window, counted): &(&Window, &Counted)| before.counted.get(*window) != Some(*counted);
    let (columns, ordered) = columns(after.counted.iter().filter(changed).map(|(window, _)| window));
    if ordered.is_empty() {
        return Ok(());
    }
    let counted = || ordered.iter().filter_map(|window| after.counted.get(*window));
    let grants: Vec<i64> = counted().map(|counted| counted.count).collect();
    let amounts: Vec<i64> = counted().map(|counted| counted.amount).collect();
    let sql = "UPDATE reward_count AS c SET grants = g, amount = a
                 FROM unnest($1::text[], $2::uuid[], $3::timestamptz[], $4::bigint[], $5::bigint[])
                   AS counted (s, p, at, g, a)
                WHERE (c.source, c.player_key, c.starts_at) = (s, p, at)";
    let sources: Vec<String> = columns.sources.iter().map(|source| (*source).to_owned()).collect();
    let params = vec![own(sources), own(columns.players), own(columns.starts), own(grants), own(amounts)];
    tx.later(sql, params);
    Ok(())
}
