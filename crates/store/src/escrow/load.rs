use std::collections::{BTreeMap, BTreeSet};

use matchpurse_domain::escrow::MatchState;
use matchpurse_domain::ids::EventId;
use matchpurse_domain::source::SourcePolicy;
use matchpurse_domain::time::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{MatchKey, row};
use crate::client::Params;
use crate::time::At;
use crate::{Result, Tx};

/// A match that a batch is about, with the rules that it gets if it is new.
#[derive(Debug, Clone, Copy)]
pub struct NewMatch<'b> {
    /// Which match.
    pub key: &'b MatchKey,
    /// The source's rules.
    pub policy: &'b SourcePolicy,
    /// The event that speaks of it.
    pub event_id: EventId,
}

/// A match, locked.
#[derive(Debug, Clone)]
pub struct LoadedMatch {
    /// Its number.
    pub match_no: i64,
    /// As it was before the batch; none when the batch is the first to speak of it.
    pub state: Option<MatchState>,
    /// When it ended, as it was told until now; none while it has not ended.
    pub ended_at: Option<Timestamp>,
}

/// Locks the matches, making those that are new, and reads them. Of several entries with one key the first
/// counts.
///
/// # Errors
/// [`crate::Error`].
pub async fn load_in_tx(tx: &Tx<'_>, matches: &[NewMatch<'_>]) -> Result<BTreeMap<MatchKey, LoadedMatch>> {
    let mut by_uuid: BTreeMap<Uuid, &NewMatch<'_>> = BTreeMap::new();
    for new in matches {
        by_uuid.entry(new.key.uuid()).or_insert(new);
    }
    if by_uuid.is_empty() {
        return Ok(BTreeMap::new());
    }
    let (made, rows) = insert_and_lock(tx, &by_uuid).await?;
    let keys = by_uuid.into_iter().map(|(uuid, new)| (uuid, new.key)).collect();
    locked(tx, &rows, &keys, &made).await
}

/// Locks those of the matches that there are, and reads them.
///
/// # Errors
/// [`crate::Error`].
pub async fn lock_in_tx(tx: &Tx<'_>, matches: &[MatchKey]) -> Result<BTreeMap<MatchKey, LoadedMatch>> {
    let by_uuid = matches.iter().map(|key| (key.uuid(), key)).collect();
    let uuids: Vec<Uuid> = matches.iter().map(MatchKey::uuid).collect();
    let rows = tx.query(LOCK, &[&uuids]).await?;
    locked(tx, &rows, &by_uuid, &BTreeSet::new()).await
}

const LOCK: &str = "SELECT * FROM match WHERE match_key = ANY($1) ORDER BY match_key FOR NO KEY UPDATE";

/// What the locked rows say; those that were made just now say nothing.
async fn locked(
    tx: &Tx<'_>,
    rows: &[Row],
    by_uuid: &BTreeMap<Uuid, &MatchKey>,
    made: &BTreeSet<Uuid>,
) -> Result<BTreeMap<MatchKey, LoadedMatch>> {
    let mut loaded = BTreeMap::new();
    let mut keys = BTreeMap::new();
    for row in rows {
        let match_no: i64 = row.try_get("match_no")?;
        let uuid: Uuid = row.try_get("match_key")?;
        let Some(key) = by_uuid.get(&uuid) else { continue };
        let state = if made.contains(&uuid) { None } else { Some(row::match_state(row)?) };
        if state.is_some() {
            keys.insert(match_no, *key);
        }
        let ended_at: Option<At> = row.try_get("ended_at")?;
        let ended_at = ended_at.or(row.try_get("settled_at")?).map(|at| at.0);
        loaded.insert((*key).clone(), LoadedMatch { match_no, state, ended_at });
    }
    // Only what is read after the locks are held is as new as the locked rows: a join in the locking statement
    // would show the other tables as they were before the wait.
    seats_and_deadlines(tx, &keys, &mut loaded).await?;
    Ok(loaded)
}

/// Makes the matches that are not there yet, and returns which, with the rows of all, locked. Another worker that makes
/// one of them at the same moment is waited for.
async fn insert_and_lock(
    tx: &Tx<'_>,
    matches: &BTreeMap<Uuid, &NewMatch<'_>>,
) -> Result<(BTreeSet<Uuid>, Vec<Row>)> {
    let uuids: Vec<Uuid> = matches.keys().copied().collect();
    let all = || matches.values();
    let sources: Vec<&str> = all().map(|m| m.key.source.as_str()).collect();
    let kinds: Vec<&str> = all().map(|m| m.key.kind.as_str()).collect();
    let ids: Vec<&str> = all().map(|m| m.key.match_id.as_str()).collect();
    let custody: Vec<&str> = all().map(|m| m.policy.custody.as_str()).collect();
    let currencies: Vec<&str> = all().map(|m| m.policy.currency.code.as_str()).collect();
    let fees: Vec<i32> = all().map(|m| i32::from(m.policy.fee_bps)).collect();
    let ties: Vec<&str> = all().map(|m| m.policy.tie_policy.as_str()).collect();
    let events: Vec<Uuid> = all().map(|m| m.event_id.uuid()).collect();
    // Of any unique key, not only `match_key`: of two workers that make one match at the same moment, the
    // second may meet the first in the other index.
    let sql = "INSERT INTO match (match_key, source, kind, match_id, status, rank, custody, currency, fee_bps,
                                  tie_policy, first_event_id, last_event_id)
               SELECT k, s, kind, id, 'OPEN', 10, c, cur, f, t, e, e
                 FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[],
                             $8::text[], $9::uuid[]) AS new (k, s, kind, id, c, cur, f, t, e)
                WHERE NOT EXISTS (SELECT FROM match WHERE match_key = k)
                ORDER BY k
               ON CONFLICT DO NOTHING
               RETURNING match_key";
    let params: Params<'_> = &[&uuids, &sources, &kinds, &ids, &custody, &currencies, &fees, &ties, &events];
    let (made, rows) = tx.query_both((sql, params), (LOCK, &[&uuids])).await?;
    Ok((made.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<_>>()?, rows))
}

/// Of matches that were there before; others have none.
async fn seats_and_deadlines(
    tx: &Tx<'_>,
    keys: &BTreeMap<i64, &MatchKey>,
    loaded: &mut BTreeMap<MatchKey, LoadedMatch>,
) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let numbers: Vec<i64> = keys.keys().copied().collect();
    // The match's own lock covers its seats: nobody writes them without it.
    let seats = "SELECT p.*, player.player_id FROM match_participant p JOIN player USING (player_key)
                  WHERE p.match_no = ANY($1)";
    let deadlines =
        "SELECT match_no, due_at, asked_at IS NOT NULL FROM match_deadline WHERE match_no = ANY($1)";
    let (seats, deadlines) = tx.query_both((seats, &[&numbers]), (deadlines, &[&numbers])).await?;
    for row in &seats {
        if let Some(state) = state_of(row.try_get("match_no")?, keys, loaded) {
            let (player, seat) = row::seat(row)?;
            state.seats.insert(player, seat);
        }
    }
    for row in &deadlines {
        if let Some(state) = state_of(row.try_get(0)?, keys, loaded) {
            let At(due_at) = row.try_get(1)?;
            state.deadline = Some(due_at);
            state.arbitration_asked = row.try_get(2)?;
        }
    }
    Ok(())
}

fn state_of<'l>(
    match_no: i64,
    keys: &BTreeMap<i64, &MatchKey>,
    loaded: &'l mut BTreeMap<MatchKey, LoadedMatch>,
) -> Option<&'l mut MatchState> {
    loaded.get_mut(*keys.get(&match_no)?)?.state.as_mut()
}
