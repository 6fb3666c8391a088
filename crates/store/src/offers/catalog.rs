use std::collections::BTreeMap;

use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_domain::offers::{Description, Offer, OfferState};
use tokio_postgres::Row;
use uuid::Uuid;

use super::OfferKey;
use crate::later::own;
use crate::time::At;
use crate::words::{unknown, word};
use crate::{Result, Tx};

/// Locks the offers, making those that are new, and reads them; none stands for one of which nothing is
/// known yet. Each comes with the event that speaks of it.
///
/// # Errors
/// [`crate::Error`].
pub async fn load_offers_in_tx(
    tx: &Tx<'_>,
    offers: &BTreeMap<OfferKey, EventId>,
) -> Result<BTreeMap<OfferKey, Option<Offer>>> {
    if offers.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sources: Vec<&str> = offers.keys().map(|(source, _)| source.as_str()).collect();
    let ids: Vec<&str> = offers.keys().map(|(_, id)| id.as_str()).collect();
    let events: Vec<Uuid> = offers.values().map(|event| event.uuid()).collect();
    // The order of bytes, the same for every worker whatever the database's collation is.
    let sql = "INSERT INTO offer (source, offer_id, first_event_id, last_event_id)
               SELECT s, id, e, e FROM unnest($1::text[], $2::text[], $3::uuid[]) AS new (s, id, e)
                WHERE NOT EXISTS (SELECT FROM offer WHERE source = s AND offer_id = id)
                ORDER BY s COLLATE \"C\", id COLLATE \"C\"
               ON CONFLICT (source, offer_id) DO NOTHING";
    let owned = |texts: &[&str]| own(texts.iter().map(|text| (*text).to_owned()).collect::<Vec<String>>());
    tx.later(sql, vec![owned(&sources), owned(&ids), own(events)]);
    let sql = "SELECT * FROM offer
                WHERE (source, offer_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
                ORDER BY source COLLATE \"C\", offer_id COLLATE \"C\" FOR NO KEY UPDATE";
    let mut loaded = BTreeMap::new();
    for row in &tx.query(sql, &[&sources, &ids]).await? {
        let source = word(row, "source", |text| SourceName::parse(text).ok())?;
        loaded.insert((source, row.try_get("offer_id")?), offer(row)?);
    }
    Ok(loaded)
}

fn offer(row: &Row) -> Result<Option<Offer>> {
    let Some(data) = row.try_get("data")? else {
        return Ok(None);
    };
    let description = Description {
        at: row.try_get::<_, Option<At>>("data_at")?.map(|at| at.0),
        data,
        app_id: row.try_get("app_id")?,
        campaign_id: row.try_get("campaign_id")?,
    };
    let state_at = row.try_get::<_, Option<At>>("state_at")?.map(|at| at.0);
    let state = OfferState::parse(row.try_get("state")?).ok_or_else(|| unknown("offer's state"))?;
    Ok(Some(Offer { state, state_at, description }))
}

/// Writes offers that [`load_offers_in_tx`] has locked, each with the last event that changed it, with what comes next in
/// the transaction.
///
/// # Errors
/// [`crate::Error`].
pub async fn save_offers_in_tx(tx: &Tx<'_>, offers: &BTreeMap<OfferKey, (Offer, EventId)>) -> Result<()> {
    if offers.is_empty() {
        return Ok(());
    }
    let all = || offers.values().map(|(offer, _)| offer);
    let sources: Vec<String> = offers.keys().map(|(source, _)| source.as_str().to_owned()).collect();
    let ids: Vec<String> = offers.keys().map(|(_, id)| id.clone()).collect();
    let states: Vec<&str> = all().map(|offer| offer.state.as_str()).collect();
    let state_times: Vec<Option<At>> = all().map(|offer| offer.state_at.map(At)).collect();
    let data: Vec<String> = all().map(|offer| offer.description.data.clone()).collect();
    let data_times: Vec<Option<At>> = all().map(|offer| offer.description.at.map(At)).collect();
    let apps: Vec<Option<String>> = all().map(|offer| offer.description.app_id.clone()).collect();
    let campaigns: Vec<Option<String>> = all().map(|offer| offer.description.campaign_id.clone()).collect();
    let events: Vec<Uuid> = offers.values().map(|(_, event)| event.uuid()).collect();
    let sql = "UPDATE offer SET state = st, state_at = st_at, data = d, data_at = d_at, app_id = app,
                                campaign_id = campaign, last_event_id = e, updated_at = now()
                 FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[],
                             $6::timestamptz[], $7::text[], $8::text[], $9::uuid[])
                   AS new (s, id, st, st_at, d, d_at, app, campaign, e)
                WHERE source = s AND offer_id = id";
    let params = vec![
        own(sources),
        own(ids),
        own(states),
        own(state_times),
        own(data),
        own(data_times),
        own(apps),
        own(campaigns),
        own(events),
    ];
    tx.later(sql, params);
    Ok(())
}
