//! Many parked deliveries, resolved with one command.

use anyhow::Result;
use matchpurse_bus::{Delivery, FailureLog as _, ParkedDelivery};
use matchpurse_contracts::topology::Queue;
use matchpurse_contracts::wire::Message;
use matchpurse_domain::event::{
    Event, KeyRole, Method, Payload, PlayerKicked, Provenance, Unrecognized, UnrecognizedKind, Vouched,
};
use matchpurse_domain::ids::EventId;
use matchpurse_event_archive::EventArchive;

use crate::ground::{Played, deliver};

/// More than are read at once.
const MANY: usize = 230;

/// A delivery that nobody could read when it came, with this body.
fn unread(body: &str) -> Event {
    let reason = "it is not known".to_owned();
    let payload = Payload::Unrecognized(Unrecognized { kind: UnrecognizedKind::UnknownType, reason });
    let event = matchpurse_testkit::event("offerwall", true, payload);
    let id = EventId::of_delivery(&event.source, "POST", body.as_bytes(), 0);
    let raw = body.to_owned().into();
    let vouched = Some(Vouched { method: Method::Post, key: KeyRole::Webhook, which: None });
    let provenance = Provenance { vouched, ..event.provenance };
    Event { id, delivery_id: id, provider: "adgem".to_owned(), provenance, raw, ..event }
}

/// A kick that the statistics' worker gave up.
async fn given_up(played: &Played, n: usize) -> Result<()> {
    let payload = PlayerKicked { match_id: format!("m{n}"), player_id: "p".into() };
    let message =
        Message::new(matchpurse_testkit::event("servers", true, Payload::PlayerKicked(payload)), None);
    let delivery = Delivery {
        id: Some(message.id),
        body: message.body,
        routing_key: message.routing_key,
        traceparent: None,
        redelivered: false,
        replay: None,
    };
    let queue = Queue::PlayerStats.name();
    let parked = ParkedDelivery { queue, delivery: &delivery, reason: "a defect", by_broker: false };
    Ok(played.database.store().await?.park(&[parked]).await?)
}

async fn open(played: &Played, kind: &str) -> Result<i64> {
    let sql = "SELECT count(*) FROM parked WHERE kind = $1 AND resolved_at IS NULL";
    Ok(played.database.connection().await?.query_one(sql, &[&kind]).await?.try_get(0)?)
}

#[tokio::test]
async fn all_that_fit_are_resolved_and_no_others() -> Result<()> {
    let played = Played::nothing("parked", include_str!("../../demo/sources.toml")).await?;
    let removed = |n: usize| {
        format!(r#"{{"type":"offer.removed","timestamp":"2024-07-11T20:26:10Z","data":{{"offerId":"{n}"}}}}"#)
    };
    let mut events: Vec<Event> = (0..MANY).map(|n| unread(&removed(n))).collect();
    // Two of them cannot be read today either, one in the middle of the others.
    events.insert(100, unread("{\"type\":\"offer.capped\"}"));
    events.push(unread("no JSON"));
    for batch in events.chunks(100) {
        deliver(&played, EventArchive, batch).await?;
    }
    for n in 0..3 {
        given_up(&played, n).await?;
    }
    assert_eq!((open(&played, "unrecognized").await?, open(&played, "technical").await?), (232, 3));

    let by = ["--actor", "ann", "--reason", "the adapter knows it now", "--rate", "100000"];
    let all = |action: &'static str, more: &[&'static str]| {
        [&["parked", action, "--all"][..], more, &by[..]].concat()
    };
    // What fits no condition stays as it is; a name that nobody has fits nothing.
    assert_eq!(played.printed(&all("discard", &["--source", "nobody"]), 0)?, "");
    played.printed(&all("discard", &["--queue", "player-stats"]), 0)?;
    assert_eq!((open(&played, "unrecognized").await?, open(&played, "technical").await?), (232, 0));

    // One that is refused does not keep the others, and the command says that not all went.
    let printed = played.printed(&all("replay", &["--kind", "unrecognized"]), 1)?;
    let count = |part: &str| printed.lines().filter(|line| line.contains(part)).count();
    assert_eq!(
        (count(" replayed: it is now "), count(" not replayed: it cannot be read today either: ")),
        (MANY, 2)
    );
    assert_eq!(open(&played, "unrecognized").await?, 2);
    let waiting = "SELECT DISTINCT concat_ws(' ', payload, count(*) OVER ()) FROM spool";
    assert_eq!(played.database.texts(waiting).await?, [format!("offer_changed {MANY}")]);

    // Again it takes only what is left; by number as well.
    let printed = played.printed(&all("replay", &[]), 1)?;
    assert_eq!(printed.lines().count(), 2, "{printed}");
    played.printed(&all("discard", &[]), 0)?;
    assert_eq!(open(&played, "unrecognized").await?, 0);
    let by_whom = "SELECT DISTINCT concat_ws(' ', resolution, resolved_by, resolution_reason) FROM parked";
    let expected = ["discarded ann the adapter knows it now", "replayed ann the adapter knows it now"];
    assert_eq!(played.database.texts(by_whom).await?, expected);
    Ok(())
}
