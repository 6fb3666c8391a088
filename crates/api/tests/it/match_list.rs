//! Matches in pages, by what is asked for.

use anyhow::{Context as _, Result};
use matchpurse_domain::event::{Event, MatchKind, MatchStatus, Payload};
use serde_json::Value;

use crate::events::of_kind;
use crate::harness::{Api, READER, request};

/// A match of this id at a source.
fn one(source: &str, id: &str, kind: MatchKind, status: MatchStatus) -> Event {
    let mut event = of_kind(kind, source, status, (status == MatchStatus::Closed).then_some("g1"));
    if let Payload::MatchSnapshot(snapshot) = &mut event.payload {
        snapshot.match_id = id.to_owned();
        if id == "m4" {
            snapshot.groups.iter_mut().flat_map(|group| &mut group.players).for_each(|player| {
                player.player_id = format!("{}2", player.player_id.as_str()).as_str().into();
            });
        }
    }
    let mut event = matchpurse_testkit::event(source, true, event.payload);
    event.subject = id.to_owned();
    event
}

async fn page(api: &Api, query: &str) -> Result<Value> {
    let answer = api.send(&request(READER, "GET", &format!("/v1/matches{query}"), "")).await?;
    anyhow::ensure!(answer.status == 200, "{query}: {answer:?}");
    Ok(serde_json::from_str(&answer.body)?)
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap();
    items.iter().map(|item| item["match_id"].as_str().unwrap().to_owned()).collect()
}

/// Five matches, each in a transaction of its own.
async fn five(api: &Api) -> Result<()> {
    for event in [
        one("theirs", "m1", MatchKind::Recreational, MatchStatus::Confirmed),
        one("theirs", "m2", MatchKind::FreeToPlay, MatchStatus::Closed),
        one("theirs", "m3", MatchKind::Recreational, MatchStatus::Closed),
        one("theirs", "m4", MatchKind::Recreational, MatchStatus::Dispute),
        one("ours", "m5", MatchKind::Recreational, MatchStatus::Open),
    ] {
        api.apply(&[event]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn matches_are_listed_by_what_is_asked_for() -> Result<()> {
    let api = Api::start().await?;
    five(&api).await?;
    for (query, expected) in [
        ("", &["m5", "m4", "m3", "m2", "m1"][..]),
        ("?source=theirs", &["m4", "m3", "m2", "m1"]),
        ("?source=nobody", &[]),
        ("?kind=free_to_play", &["m2"]),
        ("?status=CLOSED", &["m3", "m2"]),
        ("?status=CLOSED&kind=recreational", &["m3"]),
        ("?source=theirs&player=a", &["m3", "m2", "m1"]),
        ("?source=theirs&player=a2", &["m4"]),
        ("?source=theirs&player=a&status=CLOSED", &["m3", "m2"]),
        ("?source=ours&player=zoe", &[]),
    ] {
        let page = page(&api, query).await?;
        assert_eq!(
            (ids(&page), &page["next"]),
            (expected.iter().map(ToString::to_string).collect(), &Value::Null),
            "{query}"
        );
    }
    let all = page(&api, "").await?;
    let when = |place: usize| all["items"][place]["created_at"].as_str().unwrap().to_owned();
    assert_eq!(ids(&page(&api, &format!("?since={}&until={}", when(3), when(1))).await?), ["m3", "m2"]);
    assert_eq!(ids(&page(&api, &format!("?source=theirs&player=a&since={}", when(3))).await?), ["m3", "m2"]);
    let m3 = &all["items"][2];
    assert_eq!(
        (
            &m3["pot"]["minor_units"],
            &m3["paid"]["minor_units"],
            &m3["in_escrow"]["minor_units"],
            &m3["players"]
        ),
        (&2000.into(), &1800.into(), &0.into(), &2.into())
    );
    assert_eq!(all["items"][1]["in_escrow"], serde_json::json!({ "minor_units": 2000, "currency": "USD" }));
    api.stop().await
}

#[tokio::test]
async fn pages_of_matches_neither_repeat_nor_hide_one() -> Result<()> {
    let api = Api::start().await?;
    five(&api).await?;
    for filter in ["", "&source=theirs", "&source=theirs&player=a", "&status=CLOSED"] {
        let whole = ids(&page(&api, &format!("?limit=200{filter}")).await?);
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let one = page(&api, &format!("?limit=1{filter}{cursor}")).await?;
            seen.extend(ids(&one));
            // What comes meanwhile belongs before what was seen.
            let Some(next) = one["next"].as_str() else { break };
            api.apply(&[one_more(seen.len(), filter.len())]).await?;
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen, whole, "{filter}");
    }
    api.stop().await
}

fn one_more(number: usize, of: usize) -> Event {
    one("theirs", &format!("later-{of}-{number}"), MatchKind::Recreational, MatchStatus::Closed)
}

#[tokio::test]
async fn what_is_refused_of_a_list_of_matches() -> Result<()> {
    let api = Api::start().await?;
    for (query, field) in [
        ("status=CLOSING", "status"),
        ("kind=any", "kind"),
        ("player=a", "player"),
        ("since=yesterday", "since"),
        ("until=1", "until"),
        ("source=A", "source"),
        ("limit=0", "limit"),
    ] {
        let answer = api.send(&request(READER, "GET", &format!("/v1/matches?{query}"), "")).await?;
        let problem: Value = serde_json::from_str(&answer.body)?;
        assert_eq!((answer.status, &problem["field"]), (400, &field.into()), "{query}");
    }
    api.stop().await
}

/// The status is in no index: a page looks at so many, and says where to go on.
#[tokio::test]
async fn a_rare_status_is_found_behind_pages_that_have_none() -> Result<()> {
    let api = Api::start().await?;
    let sql = "INSERT INTO match (match_key, source, kind, match_id, status, rank, custody, currency, fee_bps, tie_policy,
                                  first_event_id, last_event_id, created_at)
               SELECT gen_random_uuid(), 'theirs', 'recreational', 'bulk-' || n,
                      CASE n WHEN 1 THEN 'DISPUTE' ELSE 'OPEN' END, CASE n WHEN 1 THEN 50 ELSE 10 END,
                      'provider', 'USD', 0, 'refund_full', gen_random_uuid(), gen_random_uuid(),
                      timestamptz '2026-01-01' + n * interval '1 second'
                 FROM generate_series(1, 25000) n";
    api.database.connection().await?.execute(sql, &[]).await?;
    for filter in ["status=DISPUTE", "status=DISPUTE&source=theirs"] {
        let (mut pages, mut cursor) = (Vec::new(), String::new());
        loop {
            let one = page(&api, &format!("?{filter}{cursor}")).await?;
            pages.push(ids(&one));
            let Some(next) = one["next"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(pages.len(), 3, "10,000 are looked at a page: {filter}");
        assert_eq!(pages.last().context("no page")?, &["bulk-1"], "{filter}");
    }
    api.stop().await
}
