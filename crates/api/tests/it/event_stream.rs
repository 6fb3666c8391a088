//! The stream of the archive, as somebody holds it open who looks on.

use anyhow::{Context as _, Result};
use matchpurse_domain::event::{Event, MatchStatus, OfferChange};
use matchpurse_domain::time::Timestamp;
use matchpurse_store::archive;
use serde_json::Value;

use crate::events::snapshot;
use crate::harness::{Api, READER, WRITER, request};
use crate::offer_stream::Client;
use crate::offers::said;

const PATH: &str = "/v1/events/stream";

/// The next event as `payload of subject at source, place in its chain`.
async fn short(client: &mut Client) -> Result<String> {
    let event = client.next().await?.context("the stream has ended")?;
    let (name, data) = event.split_once(' ').context("no data")?;
    anyhow::ensure!(name == "event", "{event}");
    let data: Value = serde_json::from_str(data)?;
    let text = |field: &str| data[field].as_str().unwrap_or("?").to_owned();
    Ok(format!("{} of {} at {}, {}", text("payload"), text("subject"), text("source"), data["seq"]))
}

/// Keeps what is another worker's to apply.
async fn archive(api: &Api, events: &[Event]) -> Result<()> {
    let store = api.database.store().await?;
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    archive::append_in_tx(&tx, events, Timestamp::from_seconds(1_790_000_000)).await?;
    Ok(tx.commit().await?)
}

#[tokio::test]
async fn what_is_archived_is_told_and_resumed_from_any_place() -> Result<()> {
    let api = Api::start().await?;
    api.apply(&[snapshot("theirs", MatchStatus::Open, None)]).await?;
    let mut client = Client::open_at(&api, READER, PATH, None).await?;
    client.opened().await?;
    assert_eq!(client.id, "theirs:1", "what was there before is not told");
    api.apply(&[snapshot("theirs", MatchStatus::Confirmed, None)]).await?;
    assert_eq!(short(&mut client).await?, "match_snapshot of m1 at theirs, 2");
    let early = client.id.clone();
    api.apply(&[
        snapshot("ours", MatchStatus::Open, None),
        snapshot("theirs", MatchStatus::Closed, Some("g1")),
    ])
    .await?;
    let mut both = vec![short(&mut client).await?, short(&mut client).await?];
    both.sort();
    assert_eq!(both, ["match_snapshot of m1 at ours, 1", "match_snapshot of m1 at theirs, 3"]);
    assert_eq!(client.id, "ours:1,theirs:3");

    // A source that was not there yet is told from its beginning; the header counts more than the query.
    let by_query = format!("{PATH}?after=theirs:0");
    let mut again = Client::open_at(&api, READER, &by_query, Some(&early)).await?;
    let mut rest = vec![short(&mut again).await?, short(&mut again).await?];
    rest.sort();
    assert_eq!(rest, both);
    let mut from_the_first =
        Client::open_at(&api, READER, &format!("{PATH}?after=0&source=theirs"), None).await?;
    for seq in 1..=3 {
        assert_eq!(short(&mut from_the_first).await?, format!("match_snapshot of m1 at theirs, {seq}"));
    }
    api.stop().await
}

#[tokio::test]
async fn only_what_is_asked_for_is_told() -> Result<()> {
    let api = Api::start().await?;
    let mut by_source = Client::open_at(&api, READER, &format!("{PATH}?source=ours"), None).await?;
    let mut by_type = Client::open_at(&api, READER, &format!("{PATH}?type=offer_changed"), None).await?;
    let mut by_subject = Client::open_at(&api, READER, &format!("{PATH}?subject=m1"), None).await?;
    for client in [&mut by_source, &mut by_type, &mut by_subject] {
        client.opened().await?;
        assert_eq!(client.id, "0", "the archive is empty");
    }
    archive(&api, &[Event { subject: "1".to_owned(), ..said("1", OfferChange::Created, 10) }]).await?;
    api.apply(&[snapshot("ours", MatchStatus::Open, None)]).await?;
    assert_eq!(short(&mut by_source).await?, "match_snapshot of m1 at ours, 1");
    assert!(short(&mut by_type).await?.starts_with("offer_changed of 1 at theirs"));
    assert_eq!(short(&mut by_subject).await?, "match_snapshot of m1 at ours, 1");
    api.stop().await
}

#[tokio::test]
async fn who_is_too_far_behind_is_told_so_and_goes_on_from_now() -> Result<()> {
    let api = Api::start().await?;
    api.apply(&[snapshot("theirs", MatchStatus::Open, None)]).await?;
    // As if many had come: nothing is read of them, which is what is shown here.
    let connection = api.database.connection().await?;
    connection.execute("UPDATE archive_head SET seq = 10002 WHERE source = 'theirs'", &[]).await?;
    let mut client = Client::open_at(&api, READER, &format!("{PATH}?after=theirs:1"), None).await?;
    let event = client.next().await?.context("ended")?;
    assert_eq!(event, r#"reset {"missed":10001,"source":"theirs"}"#);
    assert_eq!(client.id, "theirs:10002");
    api.stop().await
}

#[tokio::test]
async fn a_stream_needs_a_token_that_reads_and_a_place_that_is_one() -> Result<()> {
    let api = Api::start().await?;
    let answer = api.send(&request(WRITER, "GET", PATH, "")).await?;
    assert_eq!(answer.status, 403);
    for bad in ["?after=x", "?after=theirs:-1", "?type=", "?source=A", "?until=1"] {
        let answer = api.send(&request(READER, "GET", &format!("{PATH}{bad}"), "")).await?;
        assert_eq!(answer.status, 400, "{bad}: {answer:?}");
    }
    api.stop().await
}

#[tokio::test]
async fn a_stream_ends_with_the_service() -> Result<()> {
    let api = Api::start().await?;
    let mut client = Client::open_at(&api, READER, PATH, None).await?;
    client.opened().await?;
    api.stop().await?;
    assert_eq!(client.next().await?, None);
    Ok(())
}
