//! When each source was heard: its deliveries by the hour.

use std::collections::BTreeMap;

use matchpurse_domain::event::{Event, KeyRole};
use matchpurse_domain::rhythm::{Heard, HourCount, WINDOW_HOURS};
use matchpurse_domain::time::Timestamp;

use crate::later::own;
use crate::time::At;
use crate::{Client, Result, Tx};

const HOUR_US: i64 = 3_600_000_000;

/// Deliveries of an hour, and when the latest of them came.
type Came = (i64, Timestamp);

/// Counts the deliveries that brought these events in the hours in which they came. It belongs behind the lock of their
/// sources' chains, with events that are new to the archive: so each counts once, and nobody waits here for anybody.
/// What a replay has made of a delivery is none.
pub(crate) fn count<'e>(tx: &Tx<'_>, events: impl Iterator<Item = &'e Event>, now: Timestamp) {
    let mut hours: BTreeMap<(&str, i64), Came> = BTreeMap::new();
    for event in events.filter(|event| event.id == event.delivery_id && !was_asked_for(event)) {
        // An ingress whose clock is ahead must not make a source heard tomorrow.
        let at = event.received_at.min(now);
        let (count, last) =
            hours.entry((event.source.as_str(), at.micros().div_euclid(HOUR_US))).or_insert((0, at));
        *count = count.saturating_add(1);
        *last = (*last).max(at);
    }
    if hours.is_empty() {
        return;
    }
    let begin = |hour: i64| At(Timestamp::from_micros(hour.saturating_mul(HOUR_US)));
    let sql = "INSERT INTO source_hour AS h (source, hour, deliveries, last_at)
               SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::bigint[], $4::timestamptz[])
               ON CONFLICT (source, hour) DO UPDATE
                  SET deliveries = h.deliveries + EXCLUDED.deliveries,
                      last_at = greatest(h.last_at, EXCLUDED.last_at)";
    let params = vec![
        own(hours.keys().map(|(source, _)| (*source).to_owned()).collect::<Vec<String>>()),
        own(hours.keys().map(|(_, hour)| begin(*hour)).collect::<Vec<At>>()),
        own(hours.values().map(|(count, _)| *count).collect::<Vec<i64>>()),
        own(hours.values().map(|(_, last)| At(*last)).collect::<Vec<At>>()),
    ];
    tx.later(sql, params);
}

/// Whether we have fetched it from the provider: that it answers does not say that it still sends.
fn was_asked_for(event: &Event) -> bool {
    event.provenance.vouched.is_some_and(|vouched| vouched.key == KeyRole::Api)
}

/// When these sources were heard, in as many hours before their last as their rhythm follows from; one that never was
/// is not among them.
///
/// # Errors
/// [`crate::Error`].
pub async fn heard(client: &Client, sources: &[&str]) -> Result<BTreeMap<String, Heard>> {
    let sql = "SELECT h.source, h.hour, h.deliveries, h.last_at, first.hour
                 FROM unnest($1::text[]) AS wanted (source)
                CROSS JOIN LATERAL (SELECT hour FROM source_hour s WHERE s.source = wanted.source
                                     ORDER BY hour LIMIT 1) AS first
                CROSS JOIN LATERAL (SELECT hour FROM source_hour s WHERE s.source = wanted.source
                                     ORDER BY hour DESC LIMIT 1) AS last
                 JOIN source_hour h ON h.source = wanted.source
                                   AND h.hour >= last.hour - make_interval(hours => $2)
                ORDER BY h.source, h.hour";
    let window = i32::try_from(WINDOW_HOURS).unwrap_or(i32::MAX);
    let mut heard = BTreeMap::new();
    for row in &client.query(sql, &[&sources, &window]).await? {
        let (At(hour), At(last), At(first)) = (row.try_get(1)?, row.try_get(3)?, row.try_get(4)?);
        let of = heard.entry(row.try_get(0)?).or_insert_with(|| Heard { first, last, hours: Vec::new() });
        // In the order of hours, so the last row has it.
        of.last = last;
        of.hours.push(HourCount { hour, deliveries: row.try_get(2)? });
    }
    Ok(heard)
}
