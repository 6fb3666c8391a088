//! Lists of which a page looks at so much and no more.

use anyhow::Result;
use matchpurse_domain::event::Event;
use matchpurse_domain::time::Timestamp;
use matchpurse_store::anomalies::{self, AnomalyFilter};
use matchpurse_store::archive::append_in_tx;
use matchpurse_store::events::{EventFilter, EventLine, newest};
use matchpurse_store::parked::ParkedFilter;
use matchpurse_store::search::LOOKED_AT_MAX;
use matchpurse_store::{Store, now};
use matchpurse_testkit::Database;

use crate::samples::event;

/// A few more than a page looks at.
const MANY: u32 = LOOKED_AT_MAX + 50;

async fn archive(store: &Store, events: &[Event]) -> Result<()> {
    let mut client = store.client().await?;
    for chunk in events.chunks(1000) {
        let tx = client.begin().await?;
        append_in_tx(&tx, chunk, Timestamp::from_seconds(1_700_000_200)).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// All pages of so many rows, one behind the other.
async fn walk(store: &Store, filter: &EventFilter, limit: u32) -> Result<Vec<Vec<EventLine>>> {
    let (client, mut pages, mut before) = (store.client().await?, Vec::new(), None);
    loop {
        let page = newest(&client, filter, before, limit).await?;
        pages.push(page.lines);
        before = page.next;
        if before.is_none() {
            return Ok(pages);
        }
    }
}

#[tokio::test]
async fn pages_of_events_have_each_of_them_once() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let events: Vec<Event> = (0..40).map(|n| event(if n % 3 == 0 { "quiet" } else { "games" }, n)).collect();
    archive(&store, &events).await?;
    let of = |source: &str| EventFilter { source: Some(source.to_owned()), ..EventFilter::default() };

    // All of them came at the same moment, so their ids tell which comes first.
    let pages = walk(&store, &EventFilter::default(), 7).await?;
    let ids: Vec<_> = pages.concat().iter().map(|line| line.event.id).collect();
    assert!(ids.is_sorted() && ids.len() == 40, "{ids:?}");
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [7, 7, 7, 7, 7, 5]);

    let pages = walk(&store, &of("quiet"), 4).await?;
    let seqs: Vec<i64> = pages.concat().iter().map(|line| line.seq).collect();
    assert_eq!(seqs, (1..=14).rev().collect::<Vec<_>>(), "the chain's order, from its end");

    // A place that is not in the chain is one in time: nothing is lost, and nothing comes twice.
    let client = store.client().await?;
    let all = newest(&client, &EventFilter::default(), None, 40).await?.lines;
    let place = all.iter().find(|line| line.event.source.as_str() == "quiet").map(EventLine::place);
    let behind = newest(&client, &of("games"), place, 40).await?.lines;
    let expected =
        all.iter().filter(|line| line.event.source.as_str() == "games" && Some(line.place()) > place);
    assert_eq!(behind.iter().collect::<Vec<_>>(), expected.collect::<Vec<_>>());

    assert_eq!(walk(&store, &of("none"), 5).await?, [vec![]]);
    let unknown = EventFilter { event_type: Some("never".to_owned()), ..EventFilter::default() };
    assert_eq!(walk(&store, &unknown, 5).await?, [vec![]], "there is no more to look at");
    Ok(())
}

#[tokio::test]
async fn a_search_for_a_rare_event_says_where_it_goes_on() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let mut events: Vec<Event> = (0..MANY).map(|n| event("games", n)).collect();
    // The one that comes last in both orders.
    events.sort_by_key(|event| std::cmp::Reverse(event.id));
    events[0].provider_type = "rare".to_owned();
    let wanted = events[0].id;
    archive(&store, &events).await?;
    let rare = EventFilter { event_type: Some("rare".to_owned()), ..EventFilter::default() };
    for source in [None, Some("games".to_owned())] {
        let filter = EventFilter { source, ..rare.clone() };
        let pages = walk(&store, &filter, 5).await?;
        let ids: Vec<Vec<_>> =
            pages.iter().map(|page| page.iter().map(|line| line.event.id).collect()).collect();
        assert_eq!(ids, [vec![], vec![wanted]], "{filter:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_search_for_what_was_parked_or_is_wrong_says_where_it_goes_on() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let fill = format!(
        "INSERT INTO parked (event_id, queue, kind, reason, body, routing_key, source, resolved_at, resolution, resolved_by)
           SELECT md5(n::text)::uuid, CASE n WHEN 1 THEN 'rare' ELSE 'usual' END, 'technical', 'r', '', 'k', 'games', now(),
                  'discarded', 'ann' FROM generate_series(1, {MANY}) n ORDER BY n;
         INSERT INTO anomaly (key, kind, source, subject, detail)
           SELECT 'a' || n, CASE n WHEN 1 THEN 'rare' ELSE 'usual' END, 'games', 'match-' || n, '{{}}'
             FROM generate_series(1, {MANY}) n ORDER BY n"
    );
    database.connection().await?.batch_execute(&fill).await?;

    let rare = ParkedFilter { resolved: true, queue: Some("rare".to_owned()), ..ParkedFilter::default() };
    let first = store.parked_page(&rare, None, 5).await?;
    let (next, _) = first.next.unwrap();
    assert_eq!((first.lines.len(), next), (0, i64::from(MANY - LOOKED_AT_MAX + 1)));
    let second = store.parked_page(&rare, Some(next), 5).await?;
    assert_eq!((second.lines.len(), second.next), (1, None));
    // Numbers go up with time, so that what was parked long before that is not looked through.
    let recent = ParkedFilter { since: Some(now().plus_seconds(7200)), ..rare };
    assert_eq!(store.parked_page(&recent, None, 5).await?.next, None);
    let none = ParkedFilter { resolved: true, source: Some("none".to_owned()), ..ParkedFilter::default() };
    assert_eq!(store.parked_page(&none, None, 5).await?.next, None);
    let all = ParkedFilter { resolved: true, ..ParkedFilter::default() };
    assert_eq!(store.parked_at_least(&all, 100).await?, 100);

    let client = store.client().await?;
    let rare = AnomalyFilter { kind: Some("rare".to_owned()), ..AnomalyFilter::default() };
    let first = anomalies::page(&client, &rare, None, 5).await?;
    let (next, _) = first.next.unwrap();
    assert_eq!(first.lines.len(), 0);
    let second = anomalies::page(&client, &rare, Some(next), 5).await?;
    assert_eq!((second.lines.len(), second.next), (1, None));
    // Of a subject all are looked at, whatever else waits.
    let subject = AnomalyFilter { subject: Some("match-1".to_owned()), ..AnomalyFilter::default() };
    assert_eq!(anomalies::list(&client, &subject, None, 5).await?.len(), 1);
    Ok(())
}
