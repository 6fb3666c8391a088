//! A small studio with something of everything: what the examples of the documents name is there.

use anyhow::{Context as _, Result};
use matchpurse_domain::event::{Event, MatchStatus, OfferChange, Payload};
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::time::Timestamp;
use matchpurse_player_stats::boards::Boards;
use matchpurse_store::now;
use serde_json::Value;

use crate::backend::{Backend, earned};
use crate::events::snapshot;
use crate::harness::{ANN, request};
use crate::{offers, statistics};

const SETTINGS: &str = r#"
[sources.main-game]
provider = "any"
currency = "USD"
custody = "studio"
fee_bps = 1000
rewards.player_day_count = 2
[leaderboards.weekly-net]
metric = "net"
season = "week"
currency = "USD"
sources = ["main-game"]
"#;

pub(crate) struct World {
    pub(crate) backend: Backend,
    /// A reward that was given, and one that is held.
    pub(crate) granted: String,
    pub(crate) held: String,
    /// An event of the archive.
    pub(crate) event: String,
    /// A correction that was applied.
    pub(crate) correction: String,
}

/// The event at `main-game`, of its players.
fn at_main_game(mut event: Event, match_id: &str) -> Result<Event> {
    match &mut event.payload {
        Payload::MatchSnapshot(snapshot) => {
            snapshot.match_id = match_id.to_owned();
            for (group, player) in snapshot.groups.iter_mut().zip(["player-1", "player-2"]) {
                group.players.iter_mut().for_each(|one| one.player_id = player.into());
            }
        }
        Payload::MatchStatsSnapshot(snapshot) => {
            for (line, player) in snapshot.players.iter_mut().zip(["player-1", "player-2"]) {
                line.player_id = player.into();
            }
        }
        _ => {}
    }
    let mut event = matchpurse_testkit::event("main-game", true, event.payload);
    event.source = SourceName::parse("main-game")?;
    event.subject = match_id.to_owned();
    event.occurred_at = Some(Timestamp::from_seconds(1_790_000_000));
    Ok(event)
}

impl World {
    pub(crate) async fn new() -> Result<Self> {
        let backend = Backend::start(SETTINGS).await?;
        for player in ["player-1", "player-2"] {
            let path = format!("/v1/players/main-game/{player}/deposits");
            said(&backend, &crate::harness::deposit(&path, &format!("first-{player}"), 10_000)).await?;
        }
        let won = |group| snapshot("main-game", MatchStatus::Closed, Some(group));
        backend.api.apply(&[at_main_game(won("g1"), "match-1")?]).await?;
        // The second end contradicts the first.
        backend.api.apply(&[at_main_game(won("g2"), "match-1")?]).await?;
        let begun = snapshot("main-game", MatchStatus::Locked, None);
        backend.api.apply(&[at_main_game(begun, "match-2")?]).await?;
        let counted = statistics::ended("match-1", 1_790_000_000, 16, 9, 30);
        statistics::apply(&backend.api, &[at_main_game(counted, "match-1")?]).await?;
        offers_and_boards(&backend).await?;
        let endpoint = backend.endpoint("game", r#", "events": ["reward.*"]"#);
        let mut asked = request(ANN, "POST", "/v1/endpoints", &endpoint);
        asked.headers.push(("idempotency-key".to_owned(), b"game".to_vec()));
        said(&backend, &asked).await?;
        for contest in ["contest-1", "contest-2", "contest-3"] {
            let Event { payload, .. } = earned(contest, "player-1", 150);
            backend.apply(&[matchpurse_testkit::event("main-game", true, payload)]).await?;
        }
        backend.dispatcher().await?.settle().await?;
        park(&backend).await?;
        let mut asked = request(
            ANN,
            "POST",
            "/v1/matches/main-game/match-2/corrections",
            r#"{"end": {"as": "refund"}, "reason": "the server crashed"}"#,
        );
        asked.headers.push(("idempotency-key".to_owned(), b"crashed".to_vec()));
        let correction = said(&backend, &asked).await?["id"].as_str().context("no correction")?.to_owned();
        let mut grants = backend.grants("player-1").await?;
        let held = grants.pop().context("no reward")?;
        let granted = grants.pop().context("one reward")?;
        let event =
            backend.api.database.texts("SELECT event_id::text FROM archive ORDER BY 1 LIMIT 1").await?;
        let event = event.into_iter().next().context("no event")?;
        Ok(Self { backend, granted, held, event, correction })
    }

    /// A template of the document with the names of what is there in its places.
    pub(crate) fn names(&self, parameter: &str, template: &str) -> Option<String> {
        Some(match parameter {
            "grant_id" if template.ends_with("/release") => self.held.clone(),
            "grant_id" => self.granted.clone(),
            "id" if template.starts_with("/v1/events") => self.event.clone(),
            "id" if template.starts_with("/v1/corrections") => self.correction.clone(),
            _ => return None,
        })
    }
}

/// Sends a request that must be done.
async fn said(backend: &Backend, asked: &crate::http::Request) -> Result<Value> {
    let answer = backend.api.send(asked).await?;
    anyhow::ensure!((200..300).contains(&answer.status), "{asked:?}: {answer:?}");
    Ok(serde_json::from_str(&answer.body)?)
}

async fn offers_and_boards(backend: &Backend) -> Result<()> {
    let told = |offer, change| -> Result<Event> {
        let Event { payload, .. } = offers::said(offer, change, 10);
        Ok(matchpurse_testkit::event("main-game", true, payload))
    };
    offers::apply(&backend.api, &[told("offer-1", OfferChange::Created)?]).await?;
    offers::apply(&backend.api, &[told("offer-2", OfferChange::Removed)?]).await?;
    let boards = Boards::new(backend.store.clone(), &backend.settings, now);
    boards.bring(&backend.settings).await?;
    Ok(boards.settle().await?)
}

/// What no worker could apply, and what nobody wants.
async fn park(backend: &Backend) -> Result<()> {
    let sql = "INSERT INTO parked (event_id, queue, kind, reason, body, routing_key, source, event_type, subject)
               VALUES (gen_random_uuid(), 'matchpurse.match-escrow', 'technical', 'given up after 20 attempts', $1,
                       'match_snapshot.any.main-game', 'main-game', 'Told', 'match-9')";
    let connection = backend.api.database.connection().await?;
    for body in [&b"no event"[..], b"no event either"] {
        connection.execute(sql, &[&body]).await?;
    }
    Ok(())
}
