use std::collections::{BTreeMap, BTreeSet};

use matchpurse_domain::event::Outcome;
use matchpurse_domain::grants::{
    Contest, ContestKey, Decision, Ending, Entry, Grant, GrantKind, GrantState, ReviewReason, Slot,
};
use matchpurse_domain::ids::{EventId, PlayerId};
use matchpurse_domain::money::{CurrencyCode, Money};
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::later::own;
use crate::words::{optional_word, unknown, word};
use crate::{Result, Tx};

/// Locks the contests, making those that are new, and reads them with their grants. Each comes with the
/// event that speaks of it, which is noted as the first if nobody had heard of the contest.
///
/// The grants of the contests in `reopened` are locked too: a promise may complete what is given, and an offerwall may
/// take it back, while the dispatcher tells the studio of it. Nothing else touches what is given.
///
/// # Errors
/// [`crate::Error`].
pub async fn load_in_tx(
    tx: &Tx<'_>,
    contests: &BTreeMap<ContestKey, EventId>,
    reopened: &BTreeSet<ContestKey>,
) -> Result<BTreeMap<ContestKey, Contest>> {
    if contests.is_empty() {
        return Ok(BTreeMap::new());
    }
    let by_uuid: BTreeMap<Uuid, &ContestKey> = contests.keys().map(|key| (key.uuid(), key)).collect();
    let uuids: Vec<Uuid> = by_uuid.keys().copied().collect();
    insert(tx, contests, &by_uuid);
    let sql = "SELECT contest_key, ending, entries FROM contest
                WHERE contest_key = ANY($1) ORDER BY contest_key FOR NO KEY UPDATE";
    let mut loaded = BTreeMap::new();
    for row in &tx.query(sql, &[&uuids]).await? {
        loaded.insert(row.try_get(0)?, Contest { decision: decision(row)?, grants: BTreeMap::new() });
    }
    let is_reopened = |uuid: &Uuid| by_uuid.get(uuid).is_some_and(|key| reopened.contains(*key));
    let (locked, others): (Vec<Uuid>, Vec<Uuid>) = uuids.iter().partition(|uuid| is_reopened(uuid));
    // All of them in one statement in the order of their ids, as the dispatcher locks them.
    for (uuids, lock) in [(others, ""), (locked, "ORDER BY g.grant_id FOR NO KEY UPDATE OF g")] {
        if uuids.is_empty() {
            continue;
        }
        let sql = format!(
            "SELECT g.contest_key, p.player_id, g.reward_ref, {COLUMNS}
               FROM reward_grant g JOIN player p USING (player_key) WHERE g.contest_key = ANY($1) {lock}"
        );
        for row in &tx.query(&sql, &[&uuids]).await? {
            if let Some(contest) = loaded.get_mut(&row.try_get::<_, Uuid>(0)?) {
                contest.grants.insert(slot(row)?, grant(row)?);
            }
        }
    }
    let named = loaded.into_iter().filter_map(|(uuid, state)| Some(((*by_uuid.get(&uuid)?).clone(), state)));
    Ok(named.collect())
}

/// Makes the contests that are not there yet, with what comes next in the transaction. Another worker that makes one of
/// them at the same moment is waited for.
fn insert(tx: &Tx<'_>, contests: &BTreeMap<ContestKey, EventId>, by_uuid: &BTreeMap<Uuid, &ContestKey>) {
    let uuids: Vec<Uuid> = by_uuid.keys().copied().collect();
    let sources: Vec<String> = by_uuid.values().map(|key| key.source.as_str().to_owned()).collect();
    let kinds: Vec<&str> = by_uuid.values().map(|key| key.kind.as_str()).collect();
    let ids: Vec<String> = by_uuid.values().map(|key| key.contest_id.clone()).collect();
    let events: Vec<Option<Uuid>> =
        by_uuid.values().map(|key| contests.get(*key).map(|event| event.uuid())).collect();
    // A conflict of any unique key, not only `contest_key`: of two workers that make one row at the same moment,
    // the second may meet the first in the other index.
    let sql = "INSERT INTO contest (contest_key, source, kind, contest_id, first_event_id)
               SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[]) AS new (key)
                WHERE NOT EXISTS (SELECT FROM contest WHERE contest_key = key)
                ORDER BY key
               ON CONFLICT DO NOTHING";
    tx.later(sql, vec![own(uuids), own(sources), own(kinds), own(ids), own(events)]);
}

fn decision(row: &Row) -> Result<Option<Decision>> {
    let Some(ending) = optional_word(row, "ending", Ending::parse)? else {
        return Ok(None);
    };
    let entries: Option<Value> = row.try_get("entries")?;
    let entries = entries.as_ref().and_then(Value::as_array).ok_or_else(|| unknown("entries"))?;
    let entries = entries.iter().map(entry).collect::<Option<Vec<_>>>().ok_or_else(|| unknown("entries"))?;
    Ok(Some(Decision::new(ending, entries)))
}

fn entry(value: &Value) -> Option<Entry> {
    let text = |field: &str| value.get(field).and_then(Value::as_str);
    let outcome = match text("outcome") {
        Some(word) => Some(Outcome::parse(word)?),
        None => None,
    };
    Some(Entry {
        player_id: PlayerId::new(text("player")?),
        outcome,
        reward_ref: text("reward_ref").map(str::to_owned),
        digest: decode(text("digest")?)?,
    })
}

/// 32 bytes from 64 hexadecimal digits.
fn decode(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let pairs = hex.as_bytes().chunks_exact(2);
    if hex.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// What [`grant`] reads of `reward_grant g`.
pub(super) const COLUMNS: &str =
    "g.kind, g.state, g.reason, g.detail, g.amount, g.currency, g.value, g.payload::text AS payload";

pub(super) fn slot(row: &Row) -> Result<Slot> {
    let player_id = PlayerId::new(row.try_get::<_, String>("player_id")?);
    Ok(Slot { player_id, reward_ref: row.try_get("reward_ref")? })
}

pub(super) fn grant(row: &Row) -> Result<Grant> {
    let amount: Option<i64> = row.try_get("amount")?;
    let currency = optional_word(row, "currency", |text| CurrencyCode::parse(text).ok())?;
    Ok(Grant {
        kind: word(row, "kind", GrantKind::parse)?,
        state: word(row, "state", GrantState::parse)?,
        reason: optional_word(row, "reason", ReviewReason::parse)?,
        detail: row.try_get("detail")?,
        amount: amount.zip(currency).map(|(minor_units, currency)| Money::new(minor_units, currency)),
        value: row.try_get("value")?,
        payload: row.try_get("payload")?,
    })
}
