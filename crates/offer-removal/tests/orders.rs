//! Every order of the events of one offer, cut into batches in every way: one state, and what is told ends with it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use anyhow::Result;
use matchpurse_domain::event::*;
use matchpurse_domain::time::Timestamp;
use matchpurse_offer_removal::OfferRemoval;
use matchpurse_testkit::{Database, Trial};

/// The offer that the order's number names; each order has an offer of its own in one database.
fn event(offer: &str, change: OfferChange, at: i64) -> Event {
    matchpurse_testkit::event(
        "wall",
        true,
        Payload::OfferChanged(OfferChanged {
            offer_id: offer.to_owned(),
            change,
            changed_at: Timestamp::from_seconds(at),
            app_id: Some("1".to_owned()),
            campaign_id: None,
            data: format!("{{\"said\":\"{} at {at}\"}}", change.as_str()),
        }),
    )
}

fn orders(all: &[(OfferChange, i64)]) -> BTreeSet<Vec<(OfferChange, i64)>> {
    let Some((first, rest)) = all.split_first() else { return BTreeSet::from([Vec::new()]) };
    let put = |order: Vec<(OfferChange, i64)>| {
        (0..=order.len()).map(move |at| {
            let mut order = order.clone();
            order.insert(at, *first);
            order
        })
    };
    orders(rest).into_iter().flat_map(put).collect()
}

/// All ways to cut a list into batches, each as a bit a gap.
fn cuts(events: &[Event], mask: u32) -> Vec<Vec<Event>> {
    let mut batches: Vec<Vec<Event>> = vec![Vec::new()];
    for (at, event) in events.iter().enumerate() {
        if at > 0 && mask & (1 << (at - 1)) != 0 {
            batches.push(Vec::new());
        }
        batches.last_mut().unwrap().push(event.clone());
    }
    batches
}

async fn try_all(
    story: &[(OfferChange, i64)],
    expected: &str,
    database: &Database,
    name: &str,
) -> Result<()> {
    let store = database.store().await?;
    let trial = Trial { effects: OfferRemoval, events: Vec::new(), tables: &[], versions: "" };
    for (number, order) in orders(story).into_iter().enumerate() {
        for mask in 0..1_u32 << (order.len() - 1) {
            let offer = format!("{name}-{number}-{mask}");
            let events: Vec<Event> = order.iter().map(|(change, at)| event(&offer, *change, *at)).collect();
            // The whole story comes a second time, as one batch.
            for batch in cuts(&events, mask).into_iter().chain([events.clone()]) {
                trial.apply(&store, &batch).await?;
            }
        }
    }
    let ended = format!(
        "SELECT DISTINCT concat_ws(' ', state, extract(epoch FROM state_at)::int, data)
           FROM offer WHERE offer_id LIKE '{name}-%'"
    );
    assert_eq!(database.texts(&ended).await?, [expected]);
    // The last change that is told, and the latest notice (of two at one time the removal) say what the offer is.
    let differ = format!(
        "SELECT offer_id FROM offer o WHERE offer_id LIKE '{name}-%' AND (
           state <> (SELECT c.state FROM offer_change c WHERE (c.source, c.subject) = (o.source, o.offer_id)
                      ORDER BY xid DESC, id DESC LIMIT 1)
           OR state <> (SELECT n.payload ->> 'state' FROM outbox n
                         WHERE (n.source, n.subject) = (o.source, o.offer_id)
                         ORDER BY (n.payload ->> 'changed_at_us')::bigint DESC, n.kind = 'offer.removed' DESC LIMIT 1))"
    );
    assert_eq!(database.texts(&differ).await?, Vec::<String>::new());
    // A repeat is told to nobody: no kind of change was told twice at one time.
    let twice = format!(
        "SELECT subject FROM offer_change WHERE subject LIKE '{name}-%' AND kind <> 'offer.updated'
          GROUP BY subject, kind, changed_at HAVING count(*) > 1"
    );
    assert_eq!(database.texts(&twice).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn every_order_and_every_cut_of_events_at_one_time_ends_removed() -> Result<()> {
    use OfferChange::{Created, Removed, Updated};
    let database = Database::create().await?;
    let story = [(Created, 5), (Removed, 5), (Updated, 5), (Removed, 5), (Created, 5)];
    try_all(&story, "removed 5 {\"said\":\"updated at 5\"}", &database, "a").await
}

#[tokio::test]
async fn every_order_and_every_cut_of_a_removal_and_a_return_ends_open() -> Result<()> {
    use OfferChange::{Created, Removed, Updated};
    let database = Database::create().await?;
    let story = [(Created, 1), (Removed, 2), (Created, 3), (Updated, 2)];
    try_all(&story, "active 3 {\"said\":\"created at 3\"}", &database, "b").await?;
    // The return at the very time of the removal is none.
    let story = [(Created, 1), (Removed, 3), (Created, 3), (Updated, 4)];
    try_all(&story, "removed 3 {\"said\":\"updated at 4\"}", &database, "c").await
}
