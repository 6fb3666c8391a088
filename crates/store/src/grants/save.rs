use std::borrow::Cow;
use std::collections::BTreeMap;

use matchpurse_domain::grants::{ContestKey, Decision, Grant, GrantState, Slot, Taken, grant_id};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Cause, ContestChange};
use crate::client::Params;
use crate::later::own;
use crate::redemptions::taken_back_in_tx;
use crate::time::At;
use crate::words::storable;
use crate::{Error, Result, Tx};

/// Writes what a batch did to contests that [`super::load_in_tx`] has locked. Their players must have been
/// remembered. Most of it travels with what comes next in the transaction.
///
/// # Errors
/// [`crate::Error`].
pub async fn save_in_tx(tx: &Tx<'_>, changes: &BTreeMap<ContestKey, ContestChange>) -> Result<()> {
    decisions(tx, changes);
    grants(tx, changes);
    completed(tx, changes);
    moved(tx, changes).await?;
    counted(tx, changes);
    wishes(tx, changes);
    Ok(())
}

fn decisions(tx: &Tx<'_>, changes: &BTreeMap<ContestKey, ContestChange>) {
    let decided: BTreeMap<Uuid, &(Decision, Cause)> =
        changes.iter().filter_map(|(key, change)| Some((key.uuid(), change.decision.as_ref()?))).collect();
    if decided.is_empty() {
        return;
    }
    let sql =
        "UPDATE contest SET ending = e, outcome_digest = d, entries = list::jsonb, decided_event_id = event,
                                  decided_at = at
                 FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::uuid[], $6::timestamptz[])
                   AS decided (k, e, d, list, event, at)
                WHERE contest_key = k";
    let params = vec![
        own(decided.keys().copied().collect::<Vec<Uuid>>()),
        own(decided.values().map(|(decision, _)| decision.ending.as_str()).collect::<Vec<&str>>()),
        own(decided.values().map(|(decision, _)| decision.digest().to_vec()).collect::<Vec<Vec<u8>>>()),
        own(decided.values().map(|(decision, _)| entries(decision).to_string()).collect::<Vec<String>>()),
        own(decided.values().map(|(_, cause)| cause.event_id.uuid()).collect::<Vec<Uuid>>()),
        own(decided.values().map(|(_, cause)| At(cause.at)).collect::<Vec<At>>()),
    ];
    tx.later(sql, params);
}

/// The entries as an operator reads them, with the digests by which a repeat is told.
fn entries(decision: &Decision) -> Value {
    let entry = |entry: &matchpurse_domain::grants::Entry| {
        let digest: String = entry.digest.iter().map(|byte| format!("{byte:02x}")).collect();
        json!({
            "player": entry.player_id.as_str(),
            "outcome": entry.outcome.map(|outcome| outcome.as_str()),
            "reward_ref": entry.reward_ref,
            "digest": digest,
        })
    };
    decision.entries.iter().map(entry).collect()
}

fn grants(tx: &Tx<'_>, changes: &BTreeMap<ContestKey, ContestChange>) {
    let mut by_id: BTreeMap<Uuid, (&ContestKey, &Slot, &Grant, &Cause)> = BTreeMap::new();
    for (key, change) in changes {
        for (slot, (grant, cause)) in &change.grants {
            by_id.insert(grant_id(key, slot), (key, slot, grant, cause));
        }
    }
    if by_id.is_empty() {
        return;
    }
    let all = || by_id.values();
    let ids: Vec<Uuid> = by_id.keys().copied().collect();
    let contests: Vec<Uuid> = all().map(|(key, ..)| key.uuid()).collect();
    let sources: Vec<String> = all().map(|(key, ..)| key.source.as_str().to_owned()).collect();
    let players: Vec<Uuid> = all().map(|(key, slot, ..)| slot.player_id.key(&key.source)).collect();
    let references: Vec<String> = all().map(|(_, slot, ..)| slot.reward_ref.clone()).collect();
    let kinds: Vec<&str> = all().map(|(_, _, grant, _)| grant.kind.as_str()).collect();
    let money = || all().map(|(_, _, grant, _)| grant.amount.as_ref());
    let amounts: Vec<Option<i64>> = money().map(|amount| amount.map(|m| m.minor_units)).collect();
    let currencies: Vec<Option<String>> =
        money().map(|amount| amount.map(|m| m.currency.as_str().to_owned())).collect();
    let values: Vec<Option<String>> = all().map(|(_, _, grant, _)| grant.value.clone()).collect();
    let payloads: Vec<Option<String>> = all().map(|(_, _, grant, _)| grant.payload.clone()).collect();
    let states: Vec<&str> = all().map(|(_, _, grant, _)| grant.state.as_str()).collect();
    let reasons: Vec<Option<&str>> = all().map(|(_, _, grant, _)| grant.reason.map(|r| r.as_str())).collect();
    let details: Vec<Option<String>> =
        all().map(|(_, _, grant, _)| detail(grant).map(Cow::into_owned)).collect();
    let events: Vec<Uuid> = all().map(|(.., cause)| cause.event_id.uuid()).collect();
    let sql =
        "INSERT INTO reward_grant AS g (grant_id, contest_key, source, player_key, reward_ref, kind, amount,
                                              currency, value, payload, state, reason, detail, event_id)
               SELECT id, c, s, p, r, k, a, cur, v, pay::jsonb, st, why, d, e
                 FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[],
                             $7::bigint[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[],
                             $13::text[], $14::uuid[]) AS new (id, c, s, p, r, k, a, cur, v, pay, st, why, d, e)
                ORDER BY id
               ON CONFLICT (grant_id) DO UPDATE
                  SET kind = EXCLUDED.kind, amount = EXCLUDED.amount, currency = EXCLUDED.currency,
                      value = EXCLUDED.value, payload = EXCLUDED.payload, state = EXCLUDED.state,
                      reason = EXCLUDED.reason, detail = EXCLUDED.detail, event_id = EXCLUDED.event_id,
                      updated_at = now()
                WHERE g.state IN ('reserved', 'released')";
    let params = vec![
        own(ids),
        own(contests),
        own(sources),
        own(players),
        own(references),
        own(kinds),
        own(amounts),
        own(currencies),
        own(values),
        own(payloads),
        own(states),
        own(reasons),
        own(details),
        own(events),
    ];
    tx.later(sql, params);
}

/// Fills in what grants lack. Their state is not touched: meanwhile they may be on their way to the studio.
fn completed(tx: &Tx<'_>, changes: &BTreeMap<ContestKey, ContestChange>) {
    let mut by_id: BTreeMap<Uuid, &(Grant, Cause)> = BTreeMap::new();
    for (key, change) in changes {
        by_id.extend(change.completed.iter().map(|(slot, grant)| (grant_id(key, slot), grant)));
    }
    if by_id.is_empty() {
        return;
    }
    let ids: Vec<Uuid> = by_id.keys().copied().collect();
    let kinds: Vec<&str> = by_id.values().map(|(grant, _)| grant.kind.as_str()).collect();
    let values: Vec<Option<String>> = by_id.values().map(|(grant, _)| grant.value.clone()).collect();
    let payloads: Vec<Option<String>> = by_id.values().map(|(grant, _)| grant.payload.clone()).collect();
    let money = || by_id.values().map(|(grant, _)| grant.amount.as_ref());
    let amounts: Vec<Option<i64>> = money().map(|amount| amount.map(|m| m.minor_units)).collect();
    let currencies: Vec<Option<String>> =
        money().map(|amount| amount.map(|m| m.currency.as_str().to_owned())).collect();
    let reasons: Vec<Option<&str>> =
        by_id.values().map(|(grant, _)| grant.reason.map(|r| r.as_str())).collect();
    let details: Vec<Option<String>> =
        by_id.values().map(|(grant, _)| detail(grant).map(Cow::into_owned)).collect();
    let events: Vec<Uuid> = by_id.values().map(|(_, cause)| cause.event_id.uuid()).collect();
    // The amount of what was taken back before it came; and what is said now of why a grant is in review.
    let sql = "UPDATE reward_grant AS g
                  SET value = coalesce(g.value, v), payload = coalesce(g.payload, pay::jsonb),
                      amount = coalesce(g.amount, a), currency = coalesce(g.currency, cur),
                      reason = CASE WHEN g.state = 'needs_review' THEN why ELSE g.reason END,
                      detail = CASE WHEN g.state = 'needs_review' THEN d ELSE g.detail END,
                      event_id = e, updated_at = now()
                 FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[],
                             $8::text[], $9::uuid[]) AS said (id, k, v, pay, a, cur, why, d, e)
                WHERE g.grant_id = id AND g.kind = k AND g.state NOT IN ('reserved', 'released')
                  AND (g.value IS NULL AND v IS NOT NULL OR g.payload IS NULL AND pay IS NOT NULL
                       OR g.amount IS NULL AND a IS NOT NULL)";
    let params = vec![
        own(ids),
        own(kinds),
        own(values),
        own(payloads),
        own(amounts),
        own(currencies),
        own(reasons),
        own(details),
        own(events),
    ];
    tx.later(sql, params);
}

/// Takes grants to another state. They are locked, or their contest is and nobody changes them without.
async fn moved(tx: &Tx<'_>, changes: &BTreeMap<ContestKey, ContestChange>) -> Result<()> {
    let mut by_id: BTreeMap<Uuid, &(Grant, GrantState, Cause)> = BTreeMap::new();
    for (key, change) in changes {
        by_id.extend(change.moved.iter().map(|(slot, grant)| (grant_id(key, slot), grant)));
    }
    if by_id.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = by_id.keys().copied().collect();
    let from: Vec<&str> = by_id.values().map(|(_, from, _)| from.as_str()).collect();
    let states: Vec<&str> = by_id.values().map(|(grant, ..)| grant.state.as_str()).collect();
    let reasons: Vec<Option<&str>> =
        by_id.values().map(|(grant, ..)| grant.reason.map(|r| r.as_str())).collect();
    let details: Vec<Option<Cow<'_, str>>> = by_id.values().map(|(grant, ..)| detail(grant)).collect();
    let values: Vec<Option<&str>> = by_id.values().map(|(grant, ..)| grant.value.as_deref()).collect();
    let payloads: Vec<Option<&str>> = by_id.values().map(|(grant, ..)| grant.payload.as_deref()).collect();
    let events: Vec<Uuid> = by_id.values().map(|(.., cause)| cause.event_id.uuid()).collect();
    let sql = "UPDATE reward_grant AS g
                  SET state = st, reason = why, detail = d, value = coalesce(g.value, v),
                      payload = coalesce(g.payload, pay::jsonb), event_id = e, updated_at = now()
                 FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                             $8::uuid[]) AS said (id, f, st, why, d, v, pay, e)
                WHERE g.grant_id = id AND g.state = f";
    let parameters: Params<'_> = &[&ids, &from, &states, &reasons, &details, &values, &payloads, &events];
    let written = tx.execute(sql, parameters).await?;
    if usize::try_from(written) != Ok(ids.len()) {
        // Then what the studio would be told is not so. The same work, done again, sees what is.
        let source = "a grant's state has changed although it was locked".into();
        return Err(Error::Stored { what: "grants", source });
    }
    let taken_back = by_id.iter().filter(|(_, (grant, ..))| grant.state == GrantState::Reversed);
    taken_back_in_tx(tx, &taken_back.map(|(id, _)| *id).collect::<Vec<_>>()).await
}

/// Notes in which windows grants were counted.
fn counted(tx: &Tx<'_>, changes: &BTreeMap<ContestKey, ContestChange>) {
    let mut by_id: BTreeMap<Uuid, Taken> = BTreeMap::new();
    for (key, change) in changes {
        by_id.extend(change.counted.iter().map(|(slot, taken)| (grant_id(key, slot), *taken)));
    }
    if by_id.is_empty() {
        return;
    }
    let ids: Vec<Uuid> = by_id.keys().copied().collect();
    let days: Vec<Option<At>> = by_id.values().map(|taken| taken.player_day.map(At)).collect();
    let hours: Vec<Option<At>> = by_id.values().map(|taken| taken.source_hour.map(At)).collect();
    let sql = "UPDATE reward_grant SET counted_day = day, counted_hour = hour
                 FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) AS taken (id, day, hour)
                WHERE grant_id = id";
    tx.later(sql, vec![own(ids), own(days), own(hours)]);
}

/// The longest words about why a grant is in review, in characters.
const DETAIL_CHARS_MAX: usize = 1000;

/// They may quote what a player's client has sent.
fn detail(grant: &Grant) -> Option<Cow<'_, str>> {
    grant.detail.as_deref().map(|text| storable(text, DETAIL_CHARS_MAX))
}

fn wishes(tx: &Tx<'_>, changes: &BTreeMap<ContestKey, ContestChange>) {
    let answered = |(key, change): (_, &ContestChange)| change.wish.clone().map(|wish| (key, wish));
    let answered: Vec<(&ContestKey, _)> = changes.iter().filter_map(answered).collect();
    if answered.is_empty() {
        return;
    }
    let sources: Vec<String> = answered.iter().map(|(key, _)| key.source.as_str().to_owned()).collect();
    let intents: Vec<String> = answered.iter().map(|(key, _)| key.contest_id.clone()).collect();
    let players: Vec<Uuid> =
        answered.iter().map(|(key, (wish, _))| wish.player_id.key(&key.source)).collect();
    let amounts: Vec<i64> = answered.iter().map(|(_, (wish, _))| wish.amount.minor_units).collect();
    let currencies: Vec<String> =
        answered.iter().map(|(_, (wish, _))| wish.amount.currency.as_str().to_owned()).collect();
    let converted: Vec<String> =
        answered.iter().map(|(_, (wish, _))| wish.converted_amount.as_str().to_owned()).collect();
    let answers: Vec<String> =
        answered.iter().map(|(_, (wish, _))| wish.answer.as_str().to_owned()).collect();
    let events: Vec<Uuid> = answered.iter().map(|(_, (_, cause))| cause.event_id.uuid()).collect();
    let times: Vec<At> = answered.iter().map(|(_, (_, cause))| At(cause.at)).collect();
    // The contests are locked, so nobody else writes these rows: their order does not matter.
    let sql =
        "INSERT INTO credit_conversion (source, intent_id, player_key, amount, currency, converted_amount,
                                              answer, first_event_id, at)
               SELECT * FROM unnest($1::text[], $2::text[], $3::uuid[], $4::bigint[], $5::text[], $6::text[],
                                    $7::text[], $8::uuid[], $9::timestamptz[])
               ON CONFLICT (source, intent_id) DO NOTHING";
    let params = vec![
        own(sources),
        own(intents),
        own(players),
        own(amounts),
        own(currencies),
        own(converted),
        own(answers),
        own(events),
        own(times),
    ];
    tx.later(sql, params);
}
