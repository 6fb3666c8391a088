//! What did not come, as far as the database knows it.

use anyhow::Result;
use matchpurse_domain::event::{Event, KeyRole, Method, Vouched};
use matchpurse_domain::ids::EventId;
use matchpurse_domain::rhythm::{HourCount, Silence};
use matchpurse_domain::time::Timestamp;
use matchpurse_store::gaps::{self, Gaps};
use matchpurse_store::{Store, archive, heard, now};
use matchpurse_testkit::Database;
use tokio_postgres::Client;

use crate::samples::{event, source};

const HOUR: i64 = 3_600;
/// The beginning of an hour.
const BEGIN: i64 = 1_700_002_800;
const NOW: Timestamp = Timestamp::from_seconds(BEGIN + 100 * HOUR);

fn came(source: &str, n: u32, second: i64) -> Event {
    Event { received_at: Timestamp::from_seconds(BEGIN + second), ..event(source, n) }
}

async fn append(store: &Store, events: &[Event]) -> Result<()> {
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    archive::append_in_tx(&tx, events, NOW).await?;
    Ok(tx.commit().await?)
}

async fn counts(store: &Store, source: &str) -> Result<Vec<(i64, i64)>> {
    let heard = heard::heard(&store.client().await?, &[source]).await?.remove(source);
    let hours = heard.map(|heard| heard.hours).unwrap_or_default();
    Ok(hours.iter().map(|hour| ((hour.hour.seconds() - BEGIN) / HOUR, hour.deliveries)).collect())
}

#[tokio::test]
async fn each_delivery_counts_once_in_the_hour_in_which_it_came() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let events = [came("s", 1, 10), came("other", 1, 20), came("s", 2, HOUR), came("s", 3, 3_599)];
    for _ in 0..3 {
        append(&store, &events).await?;
    }
    assert_eq!(counts(&store, "s").await?, [(0, 2), (1, 1)]);
    // Twice in a batch, with a part that is known, and later than what is there.
    append(&store, &[came("s", 4, 7), came("s", 4, 7), came("s", 3, 3_599), came("s", 5, 5 * HOUR + 1)])
        .await?;
    assert_eq!(counts(&store, "s").await?, [(0, 3), (1, 1), (5, 1)]);
    let heard = heard::heard(&store.client().await?, &["s", "other", "never"]).await?;
    assert_eq!(heard.keys().collect::<Vec<_>>(), ["other", "s"]);
    assert_eq!(heard["s"].first, Timestamp::from_seconds(BEGIN));
    assert_eq!(heard["s"].last, Timestamp::from_seconds(BEGIN + 5 * HOUR + 1));
    Ok(())
}

/// A delivery that brings three events is one; what a replay makes of it is none, and so is what we have fetched
/// ourselves; a clock ahead is not believed.
#[tokio::test]
async fn what_is_counted_is_deliveries() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let first = came("s", 1, 0);
    let part = |index| {
        let id = EventId::of_delivery(&source("s"), "POST", &first.raw, index);
        Event { id, delivery_id: first.id, ..first.clone() }
    };
    let replayed = Event { id: EventId::of_reading(first.id, 0), delivery_id: first.id, ..first.clone() };
    append(&store, &[first.clone(), part(1), part(2), replayed]).await?;
    assert_eq!(counts(&store, "s").await?, [(0, 1)]);
    let fetched = |mut event: Event, key| {
        event.provenance.vouched = Some(Vouched { method: Method::Post, key, which: None });
        event
    };
    append(&store, &[fetched(came("s", 3, 1), KeyRole::Api), fetched(came("s", 4, 1), KeyRole::Webhook)])
        .await?;
    assert_eq!(counts(&store, "s").await?, [(0, 2)]);
    append(&store, &[came("s", 2, 900 * HOUR)]).await?;
    let heard = heard::heard(&store.client().await?, &["s"]).await?.remove("s").unwrap();
    assert_eq!(heard.last, NOW);
    assert_eq!(heard.hours.last().unwrap(), &HourCount { hour: NOW, deliveries: 1 });
    Ok(())
}

/// A transaction that fails has counted nothing.
#[tokio::test]
async fn what_is_rolled_back_was_not_counted() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    archive::append_in_tx(&tx, &[came("s", 1, 0)], NOW).await?;
    drop(tx);
    drop(client);
    assert_eq!(counts(&store, "s").await?, []);
    Ok(())
}

/// Two workers at once, with batches of the same sources in other orders: nobody waits in a circle, and all is counted.
#[tokio::test]
async fn two_workers_count_side_by_side() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let work = |worker: u32| {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0..20 {
                let number = worker * 100 + n;
                let (one, other) = if worker == 0 { ("a", "b") } else { ("b", "a") };
                append(&store, &[came(one, number, 1), came(other, number, 2), came(one, number + 50, HOUR)])
                    .await?;
            }
            anyhow::Ok(())
        })
    };
    let (one, two) = tokio::join!(work(0), work(1));
    one??;
    two??;
    assert_eq!(counts(&store, "a").await?, [(0, 40), (1, 20)]);
    assert_eq!(counts(&store, "b").await?, [(0, 40), (1, 20)]);
    Ok(())
}

#[tokio::test]
async fn what_was_counted_stays() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    append(&store, &[came("s", 1, 0), came("s", 2, 1)]).await?;
    let owner = database.connection().await?;
    for change in [
        "UPDATE source_hour SET deliveries = 1",
        "UPDATE source_hour SET deliveries = 9, last_at = last_at - interval '1 s'",
        "UPDATE source_hour SET deliveries = 9, source = 't'",
        "DELETE FROM source_hour",
    ] {
        let refused = owner.batch_execute(change).await.unwrap_err();
        assert_eq!(refused.code().map(|code| code.code()), Some("ES026"), "{change}");
    }
    Ok(())
}

/// Four weeks of sixty an hour, and then nothing for so many hours.
async fn steady(owner: &Client, source: &str, until: Timestamp) -> Result<()> {
    let sql = "INSERT INTO source_hour
               SELECT $1, hour, 60, hour + interval '59 minutes'
                 FROM generate_series(to_timestamp($2) - interval '30 days', to_timestamp($2) - interval '1 hour',
                                      interval '1 hour') AS hours (hour)";
    #[expect(clippy::cast_precision_loss, reason = "whole seconds of this century are exact")]
    let until = (until.seconds().div_euclid(HOUR) * HOUR) as f64;
    owner.execute(sql, &[&source, &until]).await?;
    Ok(())
}

async fn found(store: &Store, sources: &[&str]) -> Result<Gaps> {
    Ok(gaps::gaps(&store.client().await?, sources, now()).await?)
}

#[tokio::test]
async fn a_silent_source_is_told_from_a_busy_a_new_and_an_unheard_one() -> Result<()> {
    let database = Database::create().await?;
    let (store, owner) = (database.store().await?, database.connection().await?);
    steady(&owner, "silent", now().plus_seconds(-6 * HOUR)).await?;
    steady(&owner, "busy", now()).await?;
    append(&store, &[came("new", 1, 0)]).await?;
    let found = found(&store, &["silent", "busy", "unheard", "new"]).await?;
    let names: Vec<&str> = found.sources.iter().map(|quiet| quiet.source.as_str()).collect();
    assert_eq!(names, ["busy", "new", "silent", "unheard"]);
    let alarms: Vec<bool> = found.sources.iter().map(|quiet| quiet.silence.is_alarming()).collect();
    assert_eq!(alarms, [false, false, true, false]);
    let Silence::Measured { expected, .. } = found.sources[2].silence else { panic!("{found:?}") };
    assert!((290..=360).contains(&expected), "{expected}");
    assert_eq!((found.sources[1].silence, found.sources[3].last), (Silence::TooNew, None));
    assert_eq!((found.missing, found.more), (Vec::new(), false));
    Ok(())
}

/// Matches as the workers leave them, with the times of their news: made by hand, because nobody waits a day here.
const MATCHES: &str = "
    INSERT INTO match (match_key, source, kind, match_id, status, rank, custody, currency, fee_bps, tie_policy,
                       settlement, settled_at, first_event_id, last_event_id, created_at, updated_at)
    SELECT gen_random_uuid(), source, 'recreational', id, CASE WHEN ended THEN 'CLOSED' ELSE 'LOCKED' END,
           CASE WHEN ended THEN 100 ELSE 30 END, 'provider', 'USD', 0, 'refund_full',
           CASE WHEN ended THEN 'payout' END, CASE WHEN ended THEN now() END, event, coalesce(later, event),
           now() - age, now() - quiet
      FROM (VALUES
        ('games', 'quiet', false, interval '50 hours', interval '25 hours', gen_random_uuid(), NULL::uuid),
        ('games', 'fresh', false, interval '50 hours', interval '1 hour', gen_random_uuid(), NULL),
        ('games', 'asked', false, interval '50 hours', interval '40 hours', gen_random_uuid(), NULL),
        ('games', 'short', false, interval '5 hours', interval '4 hours', gen_random_uuid(), NULL),
        ('games', 'alone', true, interval '2 hours', interval '2 hours', gen_random_uuid(), NULL),
        ('games', 'told-1', true, interval '3 hours', interval '2 hours', gen_random_uuid(), gen_random_uuid()),
        ('games', 'told-2', true, interval '3 hours', interval '2 hours', gen_random_uuid(), gen_random_uuid()),
        ('games', 'told-3', true, interval '3 hours', interval '2 hours', gen_random_uuid(), gen_random_uuid()),
        ('games', 'just-now', true, interval '1 minute', interval '1 minute', gen_random_uuid(), NULL),
        ('ends', 'only-1', true, interval '2 hours', interval '2 hours', gen_random_uuid(), NULL),
        ('ends', 'only-2', true, interval '2 hours', interval '2 hours', gen_random_uuid(), gen_random_uuid()),
        ('removed', 'gone', true, interval '2 hours', interval '2 hours', gen_random_uuid(), NULL)
      ) AS made (source, id, ended, age, quiet, event, later);
    INSERT INTO match_deadline (match_no, due_at, asked_at)
    SELECT match_no, created_at + CASE match_id WHEN 'short' THEN interval '6 hours' ELSE interval '72 hours' END,
           CASE match_id WHEN 'asked' THEN now() END
      FROM match WHERE settlement IS NULL;
    INSERT INTO stats_match (stats_key, source, match_id, rounds_played, finished, counted, ended_at, first_event_id,
                             last_event_id, created_at, updated_at)
    SELECT gen_random_uuid(), 'servers', id, rounds, ended, ended, CASE WHEN ended THEN now() - quiet END, event,
           coalesce(later, event), now() - age, now() - quiet
      FROM (VALUES
        ('stuck', 7, false, interval '5 hours', interval '4 hours', gen_random_uuid(), gen_random_uuid()),
        ('played', 7, false, interval '5 hours', interval '1 minute', gen_random_uuid(), gen_random_uuid()),
        ('ancient', 7, false, interval '40 days', interval '40 days', gen_random_uuid(), NULL),
        ('no-rounds', 0, true, interval '3 hours', interval '2 hours', gen_random_uuid(), gen_random_uuid()),
        ('no-start', 24, true, interval '90 minutes', interval '90 minutes', gen_random_uuid(), NULL),
        ('whole-1', 24, true, interval '3 hours', interval '2 hours', gen_random_uuid(), gen_random_uuid()),
        ('whole-2', 24, true, interval '3 hours', interval '2 hours', gen_random_uuid(), gen_random_uuid()),
        ('whole-3', 24, true, interval '3 hours', interval '2 hours', gen_random_uuid(), gen_random_uuid())
      ) AS made (id, rounds, ended, age, quiet, event, later)";

#[tokio::test]
async fn what_is_missing_of_matches_is_found_with_its_age() -> Result<()> {
    let database = Database::create().await?;
    let (store, owner) = (database.store().await?, database.connection().await?);
    owner.batch_execute(MATCHES).await?;
    let found = found(&store, &["games", "ends", "servers"]).await?;
    let age = |since: Timestamp| (now().seconds() - since.seconds() + 60).div_euclid(HOUR);
    let lines: Vec<String> = found
        .missing
        .iter()
        .map(|one| {
            let (about, gap, hours) = (one.about.as_str(), one.gap.as_str(), age(one.since));
            format!("{}/{} {about} {gap} {hours}h", one.source, one.match_id)
        })
        .collect();
    // `ends` never tells of a beginning, or not often; `removed` was not asked for.
    let expected = [
        "games/quiet match no_news 25h",
        "games/short match no_news 4h",
        "servers/stuck statistics no_news 4h",
        "games/alone match end_without_start 2h",
        "servers/no-rounds statistics end_without_rounds 2h",
        "servers/no-start statistics end_without_start 1h",
    ];
    let mut sorted = (lines, expected.map(str::to_owned).to_vec());
    sorted.0.sort();
    sorted.1.sort();
    assert_eq!(sorted.0, sorted.1);
    assert!(found.missing.is_sorted_by_key(|one| one.since));
    Ok(())
}
